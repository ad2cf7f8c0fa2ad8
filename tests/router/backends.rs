//! Backends: where a rule sends requests, by weight and across namespaces, and who gets copies.

use std::collections::BTreeMap;

use selvedge_tests::{origin::Origin, proxy::nowhere, router::service, waiting::until};
use serde_json::{Value, json};

use crate::{Mesh, ask, orders, other, rule, silent, told};

/// How often each status and body comes in so many requests.
fn counts(mesh: &Mesh, requests: usize) -> BTreeMap<(u16, String), usize> {
    let mut client = mesh.client();
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = client.get("orders.shop", "/");
        let body = if answer.status == 200 { answer.text() } else { String::new() };
        *counts.entry((answer.status, body)).or_default() += 1;
    }
    counts
}

#[test]
fn requests_are_shared_out_by_weight() {
    let origins = ["a", "b", "c"].map(Origin::named);
    let rules = rule(
        "split",
        "[{backends: [{service: a, weight: 75}, {service: b, port: 80, weight: 25}, {service: c, weight: 0}]}]",
    );
    let services = (origins.iter().zip(["a", "b", "c"])).map(|(origin, name)| other(name, origin));
    let mesh = Mesh::of(&[services.collect(), vec![orders(&[]), rules]].concat());
    let counts = counts(&mesh, 600);
    // More than seven standard deviations around 450 and 150.
    assert!((370..530).contains(&counts[&(200, "a".into())]), "{counts:?}");
    assert!((70..230).contains(&counts[&(200, "b".into())]), "{counts:?}");
    assert!(origins[2].seen().is_empty());
}

#[test]
fn a_backend_that_is_not_there_keeps_its_share() {
    let origin = Origin::named("a");
    let rules = rule("split", "[{backends: [{service: a, weight: 1}, {service: nobody, weight: 1}]}]");
    let mesh = Mesh::of(&[orders(&[]), other("a", &origin), rules]);
    let counts = counts(&mesh, 300);
    assert!((90..210).contains(&counts[&(503, String::new())]), "{counts:?}");
    assert_eq!(counts.len(), 2, "{counts:?}");
}

/// A RouteGrant of namespace `bank`.
fn grant(spec: &str) -> Vec<Value> {
    vec![json!({
        "apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteGrant",
        "metadata": {"name": "grant", "namespace": "bank"}, "spec": crate::yaml(spec),
    })]
}

#[test]
fn another_namespace_is_reached_only_where_it_grants_that() {
    let origin = Origin::named("bank");
    let objects = |grants: Vec<Value>| {
        let rules = rule("bank", "[{backends: [{service: accounts, namespace: bank}]}]");
        [orders(&[]), service("bank", "accounts", 80, &[origin.address]), rules, grants]
    };
    let mesh = Mesh::of(&objects(vec![]));
    assert_eq!(told(&mesh.get("/")), (503, Some("forbidden_backend")));
    for spec in [
        "{from: [{namespace: web}]}",
        "{from: [{namespace: shop, kind: Ingress}]}",
        "{from: [{namespace: shop}], to: [{service: others}]}",
    ] {
        assert_eq!(Mesh::of(&objects(grant(spec))).get("/").status, 503, "{spec}");
    }
    assert_eq!(origin.connections(), 0);
    mesh.change(&objects(grant("{from: [{namespace: shop, kind: RouteRule}], to: [{service: accounts}]}")));
    until(|| (mesh.get("/").text() == "bank").then_some(()));
    mesh.change(&objects(vec![]));
    until(|| (told(&mesh.get("/")) == (503, Some("forbidden_backend"))).then_some(()));
}

/// A router that copies requests to `shadow` and answers from an origin.
fn mirroring(shadow: std::net::SocketAddr, percent: u8) -> (Mesh, Origin) {
    let origin = Origin::named("main");
    let rules = rule("copies", &format!("[{{mirror: [{{service: shadow, percent: {percent}}}]}}]"));
    let shadow = service("shop", "shadow", 80, &[shadow]);
    (Mesh::of(&[orders(&[origin.address]), shadow, rules]), origin)
}

#[test]
fn a_mirror_gets_a_copy_with_the_body_and_its_answer_is_dropped() {
    let shadow = Origin::named("shadow");
    let (mesh, _origin) = mirroring(shadow.address, 100);
    let mut client = mesh.client();
    client.send("POST /a?b HTTP/1.1\r\nHost: orders.shop\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().text(), "main");
    let copy = until(|| shadow.seen().pop());
    assert_eq!((copy.line.as_str(), &copy.body[..]), ("POST /a?b HTTP/1.1", &b"hello"[..]));
    assert_eq!(copy.field("x-selvedge-mirror"), Some("true"));
}

#[test]
fn no_mirror_is_in_the_way_whether_it_is_silent_dead_or_not_there() {
    for shadow in [silent().address, nowhere()] {
        let (mesh, origin) = mirroring(shadow, 100);
        let mut client = mesh.client();
        (0..20).for_each(|_| assert_eq!(client.get("orders.shop", "/").text(), "main"));
        assert_eq!(origin.seen().len(), 20);
    }
    let origin = Origin::named("main");
    let rules = rule("copies", "[{mirror: [{service: nobody}]}]");
    assert_eq!(Mesh::of(&[orders(&[origin.address]), rules]).get("/").text(), "main");
}

#[test]
fn a_mirror_of_no_percent_gets_nothing() {
    let shadow = Origin::named("shadow");
    let (mesh, _origin) = mirroring(shadow.address, 0);
    let mut client = mesh.client();
    (0..50).for_each(|_| assert_eq!(ask(&mut client, "GET /", "").text(), "main"));
    assert_eq!(shadow.connections(), 0);
}
