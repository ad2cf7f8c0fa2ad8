//! The whole edge against API servers and folders: what is written there is what clients get.

use std::{fs, net::SocketAddr, path::Path};

use clap::Parser;
use k8s_openapi::api::{events::v1::Event, networking::v1 as networking};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use selvedge_ingress::{
    app::Edge,
    args::{Arguments, Command, RunArgs},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use crate::servers::{create, ingress, on_each_with_kubeconfig};
use selvedge_tests::{api_server::ApiServer, waiting::eventually};

fn arguments(flags: &[&str]) -> Box<RunArgs> {
    let usual =
        ["--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"];
    let quiet = ["--access-log", "off", "--lameduck", "0", "--drain-deadline", "5s"];
    let all = ["selvedge-ingress", "run"].iter().chain(&usual).chain(&quiet).chain(flags);
    match Arguments::try_parse_from(all).unwrap().command {
        Command::Run(args) => args,
        _ => unreachable!("the command is run"),
    }
}

/// Runs an edge beside a test, and drains it after.
pub async fn with_edge(flags: &[&str], test: impl AsyncFnOnce(&Edges)) {
    let edge = Edge::start(arguments(flags)).await.unwrap();
    let address = |name: &str| edge.addresses()[&name.into()];
    let edges =
        Edges { http: address("http"), https: address("https"), admin: edge.admin_address().unwrap() };
    let (stop, stopped) = oneshot::channel::<()>();
    let running = edge.run(async move { drop(stopped.await) });
    let testing = async {
        test(&edges).await;
        drop(stop);
    };
    tokio::join!(running, testing);
}

/// The addresses of a running edge.
pub struct Edges {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub admin: SocketAddr,
}

impl Edges {
    /// The status that a host gets.
    pub async fn status(&self, host: &str) -> u16 {
        get(self.http, host, "/").await
    }

    /// Asks until a host gets this status.
    pub async fn until(&self, host: &str, status: u16) {
        eventually(async || (self.status(host).await == status).then_some(())).await;
    }

    /// What `/readyz` says.
    pub async fn readiness(&self) -> u16 {
        get(self.admin, "admin", "/readyz").await
    }

    pub async fn ready(&self) {
        eventually(async || (self.readiness().await == 200).then_some(())).await;
    }

    /// The whole answer that a host gets, as text.
    pub async fn answer(&self, host: &str) -> String {
        answer(self.http, host, "/").await
    }
}

async fn get(address: SocketAddr, host: &str, path: &str) -> u16 {
    let answer = answer(address, host, path).await;
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

async fn answer(address: SocketAddr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    // What came of a connection that broke is no status, and is asked for again.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn told_events(client: &Client, namespace: &str) -> usize {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    api.list(&ListParams::default()).await.unwrap().items.len()
}

#[tokio::test]
async fn what_an_api_server_says_is_served_and_told() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let class = serde_json::json!({"metadata": {"name": format!("class-{namespace}")},
            "spec": {"controller": "selvedge.dev/ingress"}});
        let class: networking::IngressClass = serde_json::from_value(class).unwrap();
        let class_name = class.metadata.name.clone().unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &class).await.unwrap();
        let flags = ["--kubeconfig", &kubeconfig, "--namespace", &namespace, "--lease-namespace", &namespace];
        let flags = [&flags[..], &["--publish-address", "192.0.2.1"]].concat();
        with_edge(&flags, async |edge| {
            edge.ready().await;
            assert_eq!(edge.status("a.test").await, 404);
            let mut wanted = ingress("a", "a.test");
            wanted.spec.as_mut().unwrap().ingress_class_name = Some(class_name);
            create(&client, &namespace, &wanted).await;
            // Its Service is missing; the owner is told, and the status has our address.
            edge.until("a.test", 503).await;
            let api: Api<networking::Ingress> = Api::namespaced(client.clone(), &namespace);
            eventually(async || {
                let status = api.get("a").await.unwrap().status?.load_balancer?.ingress?;
                (status.first()?.ip.as_deref() == Some("192.0.2.1")).then_some(())
            })
            .await;
            eventually(async || (told_events(&client, &namespace).await == 1).then_some(())).await;
            api.delete("a", &DeleteParams::default()).await.unwrap();
            edge.until("a.test", 404).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn endpoints_of_pods_answer_and_follow() {
    if !selvedge_tests::own_network::is_inside("edge::endpoints_of_pods_answer_and_follow") {
        return;
    }
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let pod = tokio::net::TcpListener::bind("10.244.1.1:0").await.unwrap();
        let port = pod.local_addr().unwrap().port();
        let answering = tokio::spawn(async move {
            while let Ok((mut stream, _)) = pod.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            }
        });
        let api = |path: &str, object: serde_json::Value| {
            let request = http::Request::post(format!("{path}?fieldManager=test"));
            request.header("content-type", "application/json").body(object.to_string().into_bytes()).unwrap()
        };
        let in_namespace = |group: &str, plural: &str| format!("/{group}/namespaces/{namespace}/{plural}");
        let service = serde_json::json!({"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}});
        let slice = serde_json::json!({"metadata": {"name": "shop-1", "labels": {"kubernetes.io/service-name": "shop"}},
            "addressType": "IPv4", "ports": [{"name": "", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.244.1.1"], "conditions": {"ready": true}}]});
        let _: serde_json::Value =
            client.request(api(&in_namespace("api/v1", "services"), service)).await.unwrap();
        let mut wanted = ingress("a", "a.test");
        wanted.spec.as_mut().unwrap().ingress_class_name = None;
        create(&client, &namespace, &wanted).await;
        let flags = ["--kubeconfig", &kubeconfig, "--namespace", &namespace, "--watch-ingress-without-class"];
        with_edge(&[&flags[..], &["--read-only"]].concat(), async |edge| {
            edge.ready().await;
            assert_eq!(edge.status("a.test").await, 503);
            let slices = in_namespace("apis/discovery.k8s.io/v1", "endpointslices");
            let _: serde_json::Value = client.request(api(&slices, slice)).await.unwrap();
            edge.until("a.test", 200).await;
            let request = http::Request::delete(format!("{slices}/shop-1")).body(Vec::new()).unwrap();
            let _: serde_json::Value = client.request(request).await.unwrap();
            edge.until("a.test", 503).await;
        })
        .await;
        answering.abort();
    })
    .await;
}

#[tokio::test]
async fn an_edge_without_custom_resources_is_ready_and_serves() {
    let server = ApiServer::start().await;
    for plural in ["routerules", "trafficpolicies", "routegrants", "edgeparameters"] {
        server.forget(plural);
    }
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    create(&server.client(), "default", &ingress("a", "a.test")).await;
    let flags =
        ["--kubeconfig", kubeconfig.to_str().unwrap(), "--watch-ingress-without-class", "--read-only"];
    with_edge(&flags, async |edge| {
        edge.ready().await;
        assert_eq!((edge.status("a.test").await, edge.status("b.test").await), (503, 404));
    })
    .await;
}

const CLASS: &str = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: edge}\n\
    spec: {controller: selvedge.dev/ingress}\n";

fn write(folder: &Path, name: &str, host: &str) {
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  \
         ingressClassName: edge\n  defaultBackend: {{service: {{name: gone, port: {{number: 80}}}}}}\n  \
         rules:\n  - host: {host}\n"
    );
    fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
}

#[tokio::test]
async fn what_a_folder_says_is_served_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    with_edge(&["--manifests", folder.path().to_str().unwrap()], async |edge| {
        edge.ready().await;
        assert_eq!(edge.status("a.test").await, 404);
        fs::write(folder.path().join("class.yaml"), CLASS).unwrap();
        write(folder.path(), "a", "a.test");
        edge.until("a.test", 503).await;
        // What turns invalid stays as it was, and the rest goes on.
        fs::write(folder.path().join("a.yaml"), "kind: [").unwrap();
        fs::remove_file(folder.path().join("class.yaml")).unwrap();
        edge.until("a.test", 404).await;
        fs::write(folder.path().join("class.yaml"), CLASS).unwrap();
        edge.until("a.test", 503).await;
        fs::remove_file(folder.path().join("a.yaml")).unwrap();
        edge.until("a.test", 404).await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let missing = format!("{folder}/none");
    for (flags, wanted) in [
        (["--manifests", &missing, "--retries", "1"], "none"),
        (["--kubeconfig", &missing, "--retries", "1"], "none"),
        (["--manifests", folder, "--http", &address], &*address),
        (["--manifests", folder, "--admin", &address], &*address),
    ] {
        let Command::Run(args) =
            Arguments::try_parse_from(["x", "run"].iter().chain(&flags)).unwrap().command
        else {
            panic!("the command is run")
        };
        let mut args = args;
        if !flags.contains(&"--http") {
            args.listen.http.set_port(0);
        }
        args.listen.https.set_port(0);
        if !flags.contains(&"--admin") {
            args.listen.admin.set_port(0);
        }
        let Err(error) = Edge::start(args).await else { panic!("{flags:?} works") };
        let line = format!("{error:#}");
        assert!(line.contains(wanted) && !line.contains('\n'), "{flags:?}: {line}");
    }
}
