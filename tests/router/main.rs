//! The router on real sockets, whole: objects in a folder, what callers get, and what passes through.

#![allow(clippy::unwrap_used, reason = "a test fails by its panics, in whatever function")]

mod backends;
mod balance;
mod callers;
mod changes;
mod connections;
mod faults;
mod grpc;
mod limits;
mod matching;
mod policies;
mod protocols;
mod reasons;
mod traces;
mod tries;
mod ways_in;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
};

use selvedge_tests::{
    client::{Answer, Client},
    edge::{folder, write},
    origin::{After, Origin},
    router::{Router, service},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running router with the folder that its objects are in.
struct Mesh {
    router: Router,
    folder: TempDir,
}

impl Mesh {
    /// A router that knows these objects.
    fn of(objects: &[Vec<Value>]) -> Self {
        Self::with_flags(objects, &[])
    }

    /// A router with these flags that knows these objects.
    fn with_flags(objects: &[Vec<Value>], flags: &[&str]) -> Self {
        let folder = folder();
        write(folder.path(), "first.json", &objects.concat());
        let manifests = ["--manifests", folder.path().to_str().expect("paths of tests are text")];
        let router = Router::start(&[&manifests, flags].concat());
        Self { router, folder }
    }

    /// Replaces all objects.
    fn change(&self, objects: &[Vec<Value>]) {
        write(self.folder.path(), "first.json", &objects.concat());
    }

    /// A new connection.
    fn client(&self) -> Client {
        Client::connect(self.router.http)
    }

    /// A new connection from this address of loopback.
    fn client_from(&self, last: u8) -> Client {
        Client::connect_from(address(last), self.router.http)
    }

    /// A GET to `orders.shop` on a connection of its own.
    fn get(&self, path: &str) -> Answer {
        self.client().get("orders.shop", path)
    }

    /// What the admin address says.
    fn admin(&self, path: &str) -> String {
        Client::connect(self.router.admin).get("admin", path).text()
    }
}

/// An address of loopback that a caller can come from.
fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 7, last)
}

/// Service `orders` in namespace `shop`, port 80, with these endpoints.
fn orders(endpoints: &[SocketAddr]) -> Vec<Value> {
    service("shop", "orders", 80, endpoints)
}

/// Another Service of namespace `shop`, port 80, with one endpoint.
fn other(name: &str, origin: &Origin) -> Vec<Value> {
    service("shop", name, 80, &[origin.address])
}

/// Says what the first port of a Service speaks.
fn speaking(protocol: &str, mut service: Vec<Value>) -> Vec<Value> {
    service[0]["spec"]["ports"][0]["appProtocol"] = protocol.into();
    service
}

/// Something written in YAML.
fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("the YAML of tests is right")
}

/// A RouteRule of namespace `shop` for Service `orders` with these rules.
fn rule(name: &str, rules: &str) -> Vec<Value> {
    let spec = json!({"targets": [{"service": "orders"}], "rules": yaml(rules)});
    vec![object("RouteRule", name, spec)]
}

/// A TrafficPolicy of namespace `shop` for Service `orders` that says this.
fn policy(spec: &str) -> Vec<Value> {
    policy_for("orders", "{kind: Service, name: orders}", spec)
}

/// A TrafficPolicy of namespace `shop` for this target.
fn policy_for(name: &str, target: &str, spec: &str) -> Vec<Value> {
    let mut spec = yaml(spec);
    spec["targets"] = json!([yaml(target)]);
    vec![object("TrafficPolicy", name, spec)]
}

/// An object of ours in namespace `shop`.
fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "selvedge.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
    })
}

/// A pod of this name, `namespace/account/name`, at [`address`] `last`.
fn pod(name: &str, last: u8) -> Vec<Value> {
    let parts: Vec<_> = name.split('/').collect();
    let [namespace, account, name] = parts[..] else { panic!("{name} has three parts") };
    vec![json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"serviceAccountName": account, "containers": []},
        "status": {"phase": "Running", "podIP": address(last), "podIPs": [{"ip": address(last)}]},
    })]
}

/// Sends a request without body to `orders.shop`, with further fields (each with its line end), and reads the answer.
fn ask(client: &mut Client, line: &str, fields: &str) -> Answer {
    client.send(format!("{line} HTTP/1.1\r\nHost: orders.shop\r\n{fields}\r\n"));
    client.answer()
}

/// Status and reason of an answer.
fn told(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.field("x-selvedge-reason"))
}

/// An origin that answers every request with this status and its name as body.
fn answering(status: u16, body: &'static str) -> Origin {
    Origin::scripted(move |_, stream| {
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).is_ok() { After::KeepOpen } else { After::Close }
    })
}

/// An origin that reads requests and never answers.
fn silent() -> Origin {
    Origin::after_head(|_, stream| {
        let _ = stream.read(&mut [0]);
        After::Close
    })
}

/// An origin that greets, sends back what it gets, and says goodbye at the end of that.
fn echo() -> Origin {
    Origin::raw(|_, mut stream| {
        stream.write_all(b"hi").unwrap();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).unwrap();
        }
        let _ = stream.write_all(b"bye");
    })
}
