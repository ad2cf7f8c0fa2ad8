//! Ten thousand Ingresses of an API server.

use kube::Client;
use selvedge_tests::{
    api_server::ApiServer,
    manifests::host,
    process::EdgeProcess,
    real_api_server::{RealApiServer, find_binaries},
    shops::{change_shop, create_shops},
    waiting::eventually,
};

use crate::{SHOPS, hosts_translated, is_count, program};

async fn serves_them_and_follows_one(client: &Client, kubeconfig: &str) {
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_ingresses_of_an_api_server_are_served_and_followed() {
    let server = ApiServer::start().await;
    serves_them_and_follows_one(&server.client(), &server.kubeconfig()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_ingresses_of_a_real_api_server_are_served_and_followed() {
    let Some(binaries) = find_binaries() else { return };
    let server = RealApiServer::start(binaries).await.unwrap();
    serves_them_and_follows_one(&server.client(), &server.kubeconfig()).await;
}
