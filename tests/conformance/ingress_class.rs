//! Feature "Ingress class": an Ingress of an unknown class is left alone.

use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client};
use selvedge_tests::{
    api_server::ApiServer,
    edge::{self, Edge, eventually},
};
use serde_json::{Value, json};

use crate::backends::surroundings;

fn ingress(name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "ingressClassName": class,
            "rules": [{"host": name, "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "ingress-class-prefix", "port": {"number": 8080}}},
            }]}}],
        },
    })
}

async fn status(client: &Client, name: &str) -> Vec<Option<String>> {
    let api: Api<Ingress> = Api::namespaced(client.clone(), "default");
    let status = api.get(name).await.expect("it is there").status.and_then(|status| status.load_balancer);
    let ingress = status.and_then(|balancer| balancer.ingress).unwrap_or_default();
    ingress.into_iter().map(|point| point.ip.or(point.hostname)).collect()
}

/// Scenario 1: the status of an Ingress with an invalid class stays empty. The other features begin with an address
/// in the status of theirs, as the neighbour has here.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ingress_of_an_unknown_class_has_no_address_and_no_traffic_while_its_neighbour_has_both() {
    let server = ApiServer::start().await;
    let client = server.client();
    for object in surroundings(&["ingress-class-prefix"], 1) {
        server.create(object).await;
    }
    server.create(ingress("test-ingress-class", "some-invalid-class-name")).await;
    server.create(ingress("neighbour", "conformance")).await;
    let folder = edge::folder();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).expect("the folder can be written to");
    let ours = client.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let kubeconfig = kubeconfig.to_str().expect("paths of tests are text");
        let edge = Edge::start(&["--kubeconfig", kubeconfig, "--publish-address", "192.0.2.7"]);
        let runtime = tokio::runtime::Handle::current();
        eventually("the neighbour's address", || {
            let addresses = runtime.block_on(status(&ours, "neighbour"));
            (addresses == [Some("192.0.2.7".to_owned())]).then_some(())
        });
        [edge.get("neighbour", "/").status, edge.get("test-ingress-class", "/").status]
    });
    assert_eq!(asking.await.expect("the edge runs"), [200, 404]);
    assert_eq!(status(&client, "test-ingress-class").await, []);
}
