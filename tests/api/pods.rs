//! The whole edge between Ingresses that want the same: which pod answers, and who is told that his does not.

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice, networking::v1::Ingress};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use selvedge_tests::{own_network, waiting::eventually};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    edge::{Edges, with_edge},
    servers::{create, flags, on_each_with_kubeconfig, until_told},
};

/// A port of a pod that answers each request with a text.
async fn pod(text: &'static str) -> u16 {
    let listener = TcpListener::bind("10.244.1.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Who goes away early needs no answer.
            let _ = stream.read(&mut [0; 4096]).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
            let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
        }
    });
    port
}

/// Creates a Service whose named ports, 80 and up, lead to these ports of the pod.
async fn create_service(client: &Client, namespace: &str, name: &str, ports: &[(&str, u16)]) {
    let numbered = ports.iter().zip(80..);
    let declared: Vec<_> = numbered.map(|((name, _), port)| json!({"name": name, "port": port})).collect();
    let service = json!({"metadata": {"name": name}, "spec": {"ports": declared}});
    let service: Service = serde_json::from_value(service).unwrap();
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &service).await.unwrap();
    let listening = ports.iter().map(|(name, port)| json!({"name": name, "port": port, "protocol": "TCP"}));
    let slice = json!({
        "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": listening.collect::<Vec<_>>(),
        "endpoints": [{"addresses": ["10.244.1.1"], "conditions": {"ready": true}}]});
    let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &slice).await.unwrap();
}

fn ingress(name: &str, spec: Value) -> Ingress {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

fn rules(host: &str, backend: Value) -> Value {
    json!({"rules": [{"host": host, "http":
        {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]})
}

fn backend(service: &str, port: Value) -> Value {
    json!({"service": {"name": service, "port": port}})
}

/// Creates an Ingress that is younger than another one by the clock of the server, which counts seconds.
async fn create_later(client: &Client, namespace: &str, wanted: &Ingress, than: &Ingress) {
    let api: Api<Ingress> = Api::namespaced(client.clone(), namespace);
    eventually(async || {
        let created = create(client, namespace, wanted).await;
        if created.metadata.creation_timestamp > than.metadata.creation_timestamp {
            return Some(());
        }
        api.delete(wanted.metadata.name.as_deref().unwrap(), &DeleteParams::default()).await.unwrap();
        None
    })
    .await;
}

async fn until_answered(edge: &Edges, host: &str, text: &str) {
    eventually(async || edge.answer(host).await.ends_with(&format!("\r\n\r\n{text}")).then_some(())).await;
}

async fn a_backend_port_is_found_by_its_name(client: Client, namespace: String, kubeconfig: String) {
    let ports = [("web", pod("web").await), ("api", pod("api").await)];
    create_service(&client, &namespace, "shop", &ports).await;
    for name in ["web", "api"] {
        let spec = rules(&format!("{name}.test"), backend("shop", json!({"name": name})));
        create(&client, &namespace, &ingress(name, spec)).await;
    }
    with_edge(&flags(&namespace, &kubeconfig), async |edge| {
        edge.ready().await;
        until_answered(edge, "web.test", "web").await;
        until_answered(edge, "api.test", "api").await;
    })
    .await;
}

/// The older of two Ingresses answers, though its name comes last, until it is gone; the other's owner is told.
async fn the_oldest_wins(
    (client, namespace, kubeconfig): (Client, String, String),
    spec: impl Fn(Value) -> Value,
    reason: &str,
) {
    for name in ["older", "later"] {
        create_service(&client, &namespace, name, &[("web", pod(name).await)]).await;
    }
    let wanted = |name, service| ingress(name, spec(backend(service, json!({"number": 80}))));
    let older = create(&client, &namespace, &wanted("z", "older")).await;
    create_later(&client, &namespace, &wanted("a", "later"), &older).await;
    with_edge(&flags(&namespace, &kubeconfig), async |edge| {
        edge.ready().await;
        until_answered(edge, "a.test", "older").await;
        until_told(&client, &namespace, ("Ingress", "a"), reason).await;
        let api: Api<Ingress> = Api::namespaced(client.clone(), &namespace);
        api.delete("z", &DeleteParams::default()).await.unwrap();
        until_answered(edge, "a.test", "later").await;
    })
    .await;
}

async fn the_oldest_default_backend_wins(client: Client, namespace: String, kubeconfig: String) {
    let spec = |backend| json!({"defaultBackend": backend});
    the_oldest_wins((client, namespace, kubeconfig), spec, "DefaultBackendConflict").await;
}

async fn the_oldest_of_one_host_and_path_wins(client: Client, namespace: String, kubeconfig: String) {
    the_oldest_wins((client, namespace, kubeconfig), |backend| rules("a.test", backend), "PathConflict")
        .await;
}

/// One test, as each network of its own needs a real server of its own, which takes long to start.
#[tokio::test]
async fn what_ingresses_say_together_decides_which_pod_answers() {
    if !own_network::is_inside("pods::what_ingresses_say_together_decides_which_pod_answers") {
        return;
    }
    on_each_with_kubeconfig(a_backend_port_is_found_by_its_name).await;
    on_each_with_kubeconfig(the_oldest_default_backend_wins).await;
    on_each_with_kubeconfig(the_oldest_of_one_host_and_path_wins).await;
}
