//! What callers are told: why the router answered itself, and where the time went.

use std::io::Write;

use selvedge_tests::{
    origin::{After, Origin},
    proxy::nowhere,
    router::service,
};

use crate::{Mesh, ask, orders, other, rule, silent, told};

/// A Service of its own for each way to fail.
fn failing() -> Mesh {
    let closing = Origin::scripted(|_, _| After::Close);
    let talking = Origin::scripted(|_, stream| {
        stream.write_all(b"NONSENSE\r\n\r\n").unwrap();
        After::Close
    });
    Mesh::of(&[
        orders(&[]),
        service("shop", "nowhere", 80, &[nowhere()]),
        other("closing", &closing),
        other("talking", &talking),
        other("silent", &silent()),
        rule(
            "rules",
            "[{matches: [{path: {prefix: /gone}}], backends: [{service: nobody}]}, \
              {matches: [{path: {prefix: /port}}], backends: [{service: nowhere, port: 81}]}, \
              {matches: [{path: {prefix: /bank}}], backends: [{service: a, namespace: bank}]}, \
              {matches: [{path: {prefix: /late}}], backends: [{service: silent}], timeouts: {request: 30ms}}, \
              {matches: [{path: {prefix: /fault}}], fault: {abort: {status: 500}}}, \
              {matches: [{path: {prefix: /respond}}], respond: {status: 200}}, \
              {matches: [{path: {prefix: /redirect}}], redirect: {path: /}}]",
        ),
    ])
}

#[test]
fn every_answer_of_the_router_says_why_it_is_none_of_a_backend() {
    let mesh = failing();
    for (host, path, status, reason) in [
        ("nobody.shop", "/", 404, "no_route"),
        ("orders.shop", "/", 503, "no_endpoint"),
        ("orders.shop", "/gone", 503, "service_not_found"),
        ("orders.shop", "/port", 503, "port_not_found"),
        ("orders.shop", "/bank", 503, "forbidden_backend"),
        ("orders.shop", "/late", 504, "timeout"),
        ("orders.shop", "/fault", 500, "fault_abort"),
        ("orders.shop", "/respond", 200, "respond"),
        ("orders.shop", "/redirect", 302, "redirect"),
        ("nowhere.shop", "/", 502, "connect"),
        ("closing.shop", "/", 502, "upstream_closed"),
        ("talking.shop", "/", 502, "upstream_protocol"),
    ] {
        let answer = mesh.client().get(host, path);
        assert_eq!(told(&answer), (status, Some(reason)), "{host}{path}");
    }
    for (line, fields, status, reason) in [
        ("OPTIONS *", "", 405, "not_proxied"),
        ("GET /", "Via: 1.1 selvedge-router, 1.1 selvedge-router, 1.1 selvedge-router\r\n", 508, "loop"),
        ("GET /", "X-Selvedge-Service: no host\r\n", 400, "bad_host"),
        ("GET /", "Host: b\r\n", 400, "bad_host"),
    ] {
        let answer = ask(&mut mesh.client(), line, fields);
        assert_eq!(answer.status, status, "{line} {fields}");
        let told = answer.field("x-selvedge-reason");
        assert!(
            told == Some(reason) || (reason == "bad_host" && told.is_some()),
            "{line} {fields}: {told:?}"
        );
    }
}

#[test]
fn answers_of_backends_say_nothing_of_ours_but_what_they_hold() {
    let origin = Origin::answering("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    assert_eq!(told(&mesh.get("/")), (503, None));
    let seen = origin.only();
    let via = seen.field("via").unwrap();
    assert_eq!(via, "1.1 selvedge-router", "loops are told by it");
}

#[test]
fn who_asks_is_told_where_the_time_went() {
    let mesh = Mesh::of(&[orders(&[Origin::named("ok").address]), service("shop", "empty", 80, &[])]);
    let mut client = mesh.client();
    let answer = ask(&mut client, "GET /", "X-Selvedge-Timing: 1\r\n");
    let timing = answer.field("server-timing").unwrap();
    assert!(timing.starts_with("selvedge;dur=") && timing.contains(", upstream;dur="), "{timing}");
    assert_eq!(ask(&mut client, "GET /", "").field("server-timing"), None);
    client.send("GET / HTTP/1.1\r\nHost: empty.shop\r\nX-Selvedge-Timing: 1\r\n\r\n");
    let answer = client.answer();
    let timing = answer.field("server-timing").unwrap();
    assert!(timing.starts_with("selvedge;dur=") && !timing.contains("upstream"), "{timing}");
}
