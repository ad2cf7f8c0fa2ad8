//! Rules at the edge, from manifests to sockets, and the way from the edge through the router.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
};

use selvedge_tests::{
    client::Client,
    edge::{Edge, folder, write},
    origin::{After, Origin},
    router::{Router, service},
    waiting::until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const HOST: &str = "api.example";

/// A class of ours and an Ingress of it, whose paths lead to Services of namespace `shop`.
fn ingress(paths: &[(&str, &str)], annotations: &Value) -> Vec<Value> {
    let path = |(path, service): &(&str, &str)| {
        json!({
            "path": path, "pathType": "Prefix",
            "backend": {"service": {"name": service, "port": {"number": 80}}},
        })
    };
    let paths: Vec<_> = paths.iter().map(path).collect();
    vec![
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "edge"},
            "spec": {"controller": "selvedge.dev/ingress"},
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "web", "namespace": "shop", "annotations": annotations},
            "spec": {"ingressClassName": "edge", "rules": [{"host": HOST, "http": {"paths": paths}}]},
        }),
    ]
}

fn rule(target: &Value, rules: &Value) -> Value {
    json!({
        "apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteRule",
        "metadata": {"name": "rule", "namespace": "shop"},
        "spec": {"targets": [target], "rules": rules},
    })
}

fn prefix(path: &str) -> Value {
    json!([{"path": {"prefix": path}}])
}

/// A folder with these objects.
fn manifests(objects: Vec<Vec<Value>>) -> TempDir {
    let folder = folder();
    write(folder.path(), "objects.json", &objects.concat());
    folder
}

/// Fails the first request with 503 and answers all others with their number.
fn failing_once() -> Origin {
    let count = AtomicUsize::new(0);
    Origin::scripted(move |_, stream: &mut TcpStream| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let status = if number == 0 { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 1\r\n\r\n{number}");
        match stream.write_all(answer.as_bytes()) {
            Ok(()) => After::KeepOpen,
            Err(_) => After::Close,
        }
    })
}

#[test]
fn a_rule_of_a_host_does_all_that_it_says() {
    let [v1, v2, shadow] = ["v1", "v2", "shadow"].map(Origin::named);
    let flaky = failing_once();
    let rules = json!([
        {"matches": prefix("/split"), "backends": [{"service": "v1"}, {"service": "v2"}]},
        {"matches": prefix("/mirror"), "backends": [{"service": "v1"}], "mirror": [{"service": "shadow", "percent": 100}]},
        {"matches": prefix("/retry"), "backends": [{"service": "flaky"}], "retry": {"attempts": 1, "when": [503]}},
        {"matches": prefix("/fault"), "backends": [{"service": "v1"}], "fault": {"abort": {"percent": 100, "status": 429}}},
        {"matches": prefix("/old"), "redirect": {"prefix": "/new", "status": 308}},
        {"matches": prefix("/v1"), "backends": [{"service": "v1"}], "rewrite": {"prefix": "/", "host": "v1.internal"}},
    ]);
    let origins = [("v1", &v1), ("v2", &v2), ("shadow", &shadow), ("flaky", &flaky)];
    let mut objects: Vec<_> =
        origins.map(|(name, origin)| service("shop", name, 80, &[origin.address])).to_vec();
    objects.push(vec![rule(&json!({"host": HOST}), &rules)]);
    let manifests = manifests(objects);
    let edge = Edge::with_manifests(manifests.path());
    for wanted in ["v1", "v2"] {
        until(|| (edge.get(HOST, "/split").text() == wanted).then_some(()));
    }
    assert_eq!(edge.get(HOST, "/mirror/x").text(), "v1");
    until(|| shadow.seen().iter().any(|seen| seen.line == "GET /mirror/x HTTP/1.1").then_some(()));
    let answer = edge.get(HOST, "/retry");
    assert_eq!((answer.status, answer.text(), flaky.seen().len()), (200, "1".into(), 2));
    assert_eq!(edge.get(HOST, "/fault").status, 429);
    let answer = edge.get(HOST, "/old/a?b");
    assert_eq!((answer.status, answer.field("location")), (308, Some("http://api.example/new/a?b")));
    let before = v1.seen().len();
    assert_eq!(edge.get(HOST, "/v1/a").text(), "v1");
    let seen = v1.seen()[before].clone();
    assert_eq!((&*seen.line, seen.field("host")), ("GET /a HTTP/1.1", Some("v1.internal")));
    assert_eq!(edge.get(HOST, "/other").status, 404);
}

#[test]
fn rules_of_a_service_come_and_go_behind_an_ingress() {
    let [orders, v2] = ["orders", "v2"].map(Origin::named);
    let objects = vec![
        ingress(&[("/", "orders")], &json!({})),
        service("shop", "orders", 80, &[orders.address]),
        service("shop", "v2", 80, &[v2.address]),
    ];
    let manifests = manifests(objects);
    let edge = Edge::with_manifests(manifests.path());
    assert_eq!(edge.get(HOST, "/new").text(), "orders");
    let rules = json!([{"matches": prefix("/new"), "backends": [{"service": "v2"}]}]);
    write(manifests.path(), "rule.json", &[rule(&json!({"service": "orders"}), &rules)]);
    until(|| (edge.get(HOST, "/new").text() == "v2").then_some(()));
    assert_eq!(edge.get(HOST, "/old").text(), "orders");
    std::fs::remove_file(manifests.path().join("rule.json")).unwrap();
    until(|| (edge.get(HOST, "/new").text() == "orders").then_some(()));
}

/// A router with a rule that sends `/new` of Service `orders` to `v2`, and an edge that sends requests there.
fn through_router() -> (Edge, Router, [TempDir; 2], [Origin; 3]) {
    let origins = ["orders", "v2", "secret"].map(Origin::named);
    let services = || {
        ["orders", "v2", "secret"]
            .iter()
            .zip(&origins)
            .map(|(name, origin)| service("shop", name, 80, &[origin.address]))
    };
    let rules = json!([{"matches": prefix("/new"), "backends": [{"service": "v2"}]}]);
    let mut of_router: Vec<_> = services().collect();
    of_router.push(vec![rule(&json!({"service": "orders"}), &rules)]);
    let of_router = manifests(of_router);
    let router = Router::with_manifests(of_router.path());
    let mut of_edge: Vec<_> = services().collect();
    of_edge.push(ingress(&[("/", "orders")], &json!({"selvedge.dev/via": "router"})));
    of_edge.push(service("selvedge-system", "selvedge-router", 80, &[router.http]));
    of_edge.push(vec![json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "router", "namespace": "selvedge-system"},
        "spec": {"ingressClassName": "edge", "rules": [{"host": "router.example", "http": {"paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "selvedge-router", "port": {"number": 80}}},
        }]}}]},
    })]);
    let of_edge = manifests(of_edge);
    let edge = Edge::with_manifests(of_edge.path());
    (edge, router, [of_router, of_edge], origins)
}

#[test]
fn a_rule_in_the_router_counts_for_requests_from_outside_and_the_host_stays() {
    let (edge, _router, _manifests, [orders, v2, _]) = through_router();
    assert_eq!(edge.get(HOST, "/new/a?b").text(), "v2");
    assert_eq!(edge.get(HOST, "/old").text(), "orders");
    for (origin, line) in [(&v2, "GET /new/a?b HTTP/1.1"), (&orders, "GET /old HTTP/1.1")] {
        let seen = origin.only();
        assert_eq!((&*seen.line, seen.field("host")), (line, Some(HOST)));
        assert_eq!(seen.field("x-selvedge-service"), None);
    }
}

#[test]
fn a_client_cannot_choose_a_service_of_the_router() {
    let (edge, _router, _manifests, [orders, _, secret]) = through_router();
    let mut client = Client::connect(edge.http);
    let ask = |client: &mut Client, host: &str| {
        let claim = "X-Selvedge-Service: secret.shop:80\r\nx-selvedge-service: secret.shop\r\n";
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{claim}\r\n"));
        client.answer()
    };
    assert_eq!(ask(&mut client, HOST).text(), "orders");
    // Nor can it name the edge's own field as one that concerns this hop only.
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: x-selvedge-service\r\n\r\n"));
    assert_eq!(client.answer().text(), "orders");
    // A route to the router itself tells it nothing but the host.
    let answer = ask(&mut client, "router.example");
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (404, Some("no_route")));
    assert_eq!((orders.seen().len(), secret.seen().len()), (2, 0));
}
