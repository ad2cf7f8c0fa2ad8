//! The API server dies while requests are served.

use std::{
    io,
    time::{Duration, Instant},
};

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::{Api, Client, api::PostParams};
use selvedge_tests::{
    api_server::ApiServer,
    process::EdgeProcess,
    real_api_server::{RealApiServer, find_binaries},
    size::{figure, size},
    waiting::{eventually, eventually_within},
};

use crate::program;

/// How long the server stays away in the full size.
const AWAY: Duration = Duration::from_secs(600);

/// A server that can be killed and started again.
trait Mortal {
    fn client(&self) -> Client;
    fn kubeconfig(&self) -> String;
    fn kill(&mut self);
    async fn restart(&mut self) -> io::Result<()>;
}

impl Mortal for ApiServer {
    fn client(&self) -> Client {
        self.client()
    }

    fn kubeconfig(&self) -> String {
        self.kubeconfig()
    }

    fn kill(&mut self) {
        self.stop();
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.restart().await;
        Ok(())
    }
}

impl Mortal for RealApiServer {
    fn client(&self) -> Client {
        self.client()
    }

    fn kubeconfig(&self) -> String {
        self.kubeconfig()
    }

    fn kill(&mut self) {
        self.kill();
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.restart().await
    }
}

/// An Ingress whose Service is missing, so that its host is answered 503 and any other one 404.
fn ingress(name: &str) -> Ingress {
    let backend = serde_json::json!({"service": {"name": "gone", "port": {"number": 80}}});
    let object = serde_json::json!({"metadata": {"name": name}, "spec": {"ingressClassName": "edge", "rules": [
        {"host": format!("{name}.test"), "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}});
    serde_json::from_value(object).expect("it is an Ingress")
}

/// Creates the class of our Ingresses.
pub async fn create_class(client: &Client) {
    let class =
        serde_json::json!({"metadata": {"name": "edge"}, "spec": {"controller": "selvedge.dev/ingress"}});
    let class: IngressClass = serde_json::from_value(class).expect("it is an IngressClass");
    Api::all(client.clone()).create(&PostParams::default(), &class).await.expect("the server works");
}

/// Creates an Ingress of this name, for the host `NAME.test`.
pub async fn create(client: &Client, name: &str) {
    let api: Api<Ingress> = Api::namespaced(client.clone(), "default");
    // The namespace of a server that has just started may be a moment late.
    eventually(async || api.create(&PostParams::default(), &ingress(name)).await.ok()).await;
}

/// Waits until a host is answered this status.
pub async fn until(edge: &EdgeProcess, host: &str, status: u16) {
    eventually(async || (edge.status(host, "/") == status).then_some(())).await;
}

async fn outlives(mut server: impl Mortal) {
    let client = server.client();
    create_class(&client).await;
    create(&client, "before").await;
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).expect("the folder is there");
    let flags = ["--kubeconfig", kubeconfig.to_str().expect("temporary folders are UTF-8")];
    // On a thread of its own, as starting waits for lines and the small server needs this one.
    let mut edge = start(&flags.map(str::to_owned)).await;
    until(&edge, "before.test", 503).await;
    server.kill();
    let generation = edge.metric("selvedge_snapshot_generation");
    let (gone, mut asked) = (Instant::now(), 0);
    eventually_within(AWAY * 2, async || {
        assert_eq!(edge.status("before.test", "/"), 503, "what was known is served");
        asked += 1;
        (asked >= 100 && gone.elapsed() >= size(Duration::ZERO, AWAY)).then_some(())
    })
    .await;
    assert!(edge.is_ready(), "it can serve, so it is ready");
    server.restart().await.expect("the server starts again");
    let (away, back) = (gone.elapsed(), Instant::now());
    create(&client, "after").await;
    until(&edge, "after.test", 503).await;
    figure(&format!(
        "API server away for {away:.1?}: {asked} requests, failed 0; a change is answered {:.1?} after its return",
        back.elapsed()
    ));
    assert_eq!(edge.status("before.test", "/"), 503);
    let changes = edge.metric("selvedge_snapshot_generation") - generation;
    assert!((changes - 1.0).abs() < 0.5, "the new Ingress alone is a change, not {changes}");
    edge.terminate();
    let ended = tokio::task::spawn_blocking(move || edge.ended()).await.expect("waiting does not panic");
    assert!(ended.success());
}

/// Starts an edge with these two flags and a lease.
pub async fn start(flags: &[String; 2]) -> EdgeProcess {
    let flags = flags.clone();
    let starting = tokio::task::spawn_blocking(move || {
        EdgeProcess::start(program(), &[flags[0].as_str(), flags[1].as_str(), "--lease", "edge"])
    });
    starting.await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_on_without_an_api_server_and_follows_it_again() {
    outlives(ApiServer::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_on_without_a_real_api_server_and_follows_it_again() {
    let Some(binaries) = find_binaries() else { return };
    outlives(RealApiServer::start(binaries).await.expect("a server whose binaries are there starts")).await;
}
