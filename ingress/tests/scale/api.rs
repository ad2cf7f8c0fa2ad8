//! Ten thousand Ingresses of an API server.

use kube::Client;
use selvedge_tests::{
    api_server::{ApiServer, Break, Request},
    manifests::host,
    process::EdgeProcess,
    real_api_server::{RealApiServer, find_binaries},
    shops::{change_shop, create_shops},
    waiting::eventually,
};

use crate::{SHOPS, hosts_translated, is_count, program};

async fn serves_them_and_follows_one(client: &Client, kubeconfig: &str) -> EdgeProcess {
    // No endpoint is ready: what is known is answered 503, and anything else 404.
    create_shops(client, SHOPS).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let flags = ["--kubeconfig".to_owned(), file.to_str().unwrap().to_owned(), "--read-only".to_owned()];
    let edge = tokio::task::spawn_blocking(move || {
        EdgeProcess::start(program(), &flags.each_ref().map(String::as_str))
    });
    let edge = edge.await.unwrap();
    eventually(async || edge.is_ready().then_some(())).await;
    let last = host(SHOPS - 1);
    assert_eq!(edge.status(&last, "/"), 503);
    assert!(is_count(hosts_translated(&edge), SHOPS), "each host once: {}", hosts_translated(&edge));
    change_shop(client, SHOPS - 1, "/new").await.unwrap();
    eventually(async || (edge.status(&last, "/") == 404).then_some(())).await;
    assert_eq!(edge.status(&last, "/new"), 503);
    assert!(is_count(hosts_translated(&edge), SHOPS + 1), "that host alone: {}", hosts_translated(&edge));
    edge
}

/// All that there is is listed anew, though nothing has changed; the next change is the only one.
async fn lists_all_anew_and_changes_nothing(server: &ApiServer, edge: &EdgeProcess) {
    let generation = || edge.metric("selvedge_snapshot_generation");
    let (before, translated) = (generation(), hosts_translated(edge));
    server.take_requests();
    server.compact();
    server.break_watches(Break::Expired);
    let ingresses = "/apis/networking.k8s.io/v1/ingresses";
    let mut requests = Vec::new();
    eventually(async || {
        requests.extend(server.take_requests());
        let is_watch = |request: &Request| request.verb == "WATCH" && request.path == ingresses;
        requests.iter().any(is_watch).then_some(())
    })
    .await;
    assert!(requests.iter().filter(|request| request.verb == "GET" && request.path == ingresses).count() > 1);
    change_shop(&server.client(), 0, "/new").await.unwrap();
    eventually(async || (edge.status(&host(0), "/") == 404).then_some(())).await;
    assert!(
        (generation() - before - 1.0).abs() < 0.5,
        "the change alone is a swap: {}",
        generation() - before
    );
    assert!(is_count(hosts_translated(edge) - translated, 1), "and its host alone is translated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_ingresses_of_an_api_server_are_served_and_followed() {
    let server = ApiServer::start().await;
    let edge = serves_them_and_follows_one(&server.client(), &server.kubeconfig()).await;
    lists_all_anew_and_changes_nothing(&server, &edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_ingresses_of_a_real_api_server_are_served_and_followed() {
    let Some(binaries) = find_binaries() else { return };
    let server = RealApiServer::start(binaries).await.unwrap();
    serves_them_and_follows_one(&server.client(), &server.kubeconfig()).await;
}
