//! The shops of [`manifests`](crate::manifests), created through an API server by several writers at once.

use std::net::SocketAddr;

use futures_util::{StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::{Value, json};

use crate::manifests::host;

/// Writers at once.
const WRITERS: usize = 16;
/// Services that the shops share, as a real server takes only some hundred objects per second.
const SERVICES: usize = 100;

/// Creates the class and shops `0..count` in namespace `default`, with one Service for many of them. Its endpoints are
/// not ready, so that requests are answered 503: API servers take no address of loopback, where somebody could be.
///
/// # Errors
/// What the server refuses.
pub async fn create_shops(client: &Client, count: usize) -> kube::Result<()> {
    let class = json!({"metadata": {"name": "edge"}, "spec": {"controller": "selvedge.dev/ingress"}});
    post(client, "/apis/networking.k8s.io/v1/ingressclasses", &class).await?;
    for number in 0..SERVICES {
        create_service(client, number).await?;
    }
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let shops =
        stream::iter(0..count).map(async |number| post(client, ingresses, &ingress(number, "/")).await);
    shops.buffer_unordered(WRITERS).try_collect::<()>().await
}

async fn create_service(client: &Client, number: usize) -> kube::Result<()> {
    let name = service(number);
    let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    post(client, "/api/v1/namespaces/default/services", &service).await?;
    let slice = json!({"metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": false}}]});
    post(client, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await
}

fn service(number: usize) -> String {
    format!("service-{}", number % SERVICES)
}

fn ingress(number: usize, path: &str) -> Value {
    let backend = json!({"service": {"name": service(number), "port": {"number": 80}}});
    let paths = json!([{"path": path, "pathType": "Prefix", "backend": backend}]);
    json!({"metadata": {"name": format!("shop-{number}")}, "spec": {"ingressClassName": "edge",
        "rules": [{"host": host(number), "http": {"paths": paths}}]}})
}

/// Lets requests of the Service of a shop end at an endpoint, which is ready.
///
/// # Errors
/// What the server refuses.
pub async fn change_endpoint(client: &Client, number: usize, endpoint: SocketAddr) -> kube::Result<()> {
    let patch = json!({"ports": [{"name": "", "port": endpoint.port(), "protocol": "TCP"}],
        "endpoints": [{"addresses": [endpoint.ip()], "conditions": {"ready": true}}]});
    let name = service(number);
    let address = format!("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/{name}");
    merge(client, address, &patch).await
}

/// Gives a shop another path.
///
/// # Errors
/// What the server refuses.
pub async fn change_shop(client: &Client, number: usize, path: &str) -> kube::Result<()> {
    let patch = json!({"spec": ingress(number, path)["spec"]});
    let address = format!("/apis/networking.k8s.io/v1/namespaces/default/ingresses/shop-{number}");
    merge(client, address, &patch).await
}

async fn merge(client: &Client, address: String, patch: &Value) -> kube::Result<()> {
    let request = http::Request::patch(address).header("content-type", "application/merge-patch+json");
    let request = request.body(patch.to_string().into_bytes()).expect("a request can be made");
    client.request::<Value>(request).await.map(drop)
}

async fn post(client: &Client, address: &str, object: &Value) -> kube::Result<()> {
    let request = http::Request::post(address).header("content-type", "application/json");
    let request = request.body(object.to_string().into_bytes()).expect("a request can be made");
    client.request::<Value>(request).await.map(drop)
}
