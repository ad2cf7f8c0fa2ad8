//! An API server that answers nonsense, or takes all rights away: what is known is served, and later changes arrive.

use std::fs;

use selvedge_tests::{
    api_server::{ApiServer, Nonsense},
    process::EdgeProcess,
    waiting::eventually,
};

use crate::cluster::{create, create_class, start, until};

/// Wrong answers about Ingresses until it counts as heard.
const HEARD: usize = 3;

/// Waits until the edge has asked for Ingresses again and again and was told nonsense each time.
async fn heard(server: &ApiServer, edge: &EdgeProcess) {
    server.take_requests();
    let mut asked = 0;
    eventually(async || {
        assert_eq!(edge.status("before.test", "/"), 503, "what was known is served");
        asked += server.take_requests().iter().filter(|request| request.path.ends_with("/ingresses")).count();
        (asked >= HEARD).then_some(())
    })
    .await;
}

async fn survives(all: &[Nonsense]) {
    let server = ApiServer::start().await;
    let client = server.client();
    create_class(&client).await;
    create(&client, "before").await;
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, server.kubeconfig()).expect("the folder is there");
    let flags = ["--kubeconfig", kubeconfig.to_str().expect("temporary folders are UTF-8")];
    let edge = start(&flags.map(str::to_owned)).await;
    until(&edge, "before.test", 503).await;
    for (number, nonsense) in all.iter().enumerate() {
        let generation = edge.metric("selvedge_snapshot_generation");
        server.talk(Some(*nonsense));
        heard(&server, &edge).await;
        assert!(edge.is_ready(), "{nonsense:?}: it can serve, so it is ready");
        let changes = edge.metric("selvedge_snapshot_generation") - generation;
        assert!(changes < 0.5, "{nonsense:?} is no change");
        server.talk(None);
        let name = format!("after-{number}");
        create(&client, &name).await;
        until(&edge, &format!("{name}.test"), 503).await;
        let changes = edge.metric("selvedge_snapshot_generation") - generation;
        assert!(
            (changes - 1.0).abs() < 0.5,
            "{nonsense:?}: the new Ingress alone is a change, not {changes}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_no_lists_and_no_events_change_nothing() {
    survives(&[Nonsense::Html, Nonsense::Cut, Nonsense::Nothing, Nonsense::OtherKind]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_change_nothing() {
    survives(&[Nonsense::Failure, Nonsense::Unknown]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_taken_away_leave_what_was_known() {
    survives(&[Nonsense::Forbidden]).await;
}
