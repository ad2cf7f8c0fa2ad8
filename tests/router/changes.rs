//! Changes: what a rule rewrites, adds and takes away, and the answers that it gives itself.

use selvedge_tests::origin::Origin;

use crate::{Mesh, ask, orders, rule, told};

fn with(rules: &str) -> (Mesh, Origin) {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-gone: 1\r\nx-old: 1\r\n\r\nok");
    (Mesh::of(&[orders(&[origin.address]), rule("rules", rules)]), origin)
}

#[test]
fn a_rewrite_changes_the_path_and_the_host_that_the_backend_sees() {
    let (mesh, origin) = with(
        "[{matches: [{path: {prefix: /v1}}], rewrite: {prefix: /}}, \
          {matches: [{path: {prefix: /in}}], rewrite: {prefix: /deep/er}}, \
          {matches: [{path: {regex: '/any/.*'}}], rewrite: {path: /fixed}}, \
          {matches: [{path: {exact: /host}}], rewrite: {host: orders.internal}}]",
    );
    let mut client = mesh.client();
    for (line, wanted, host) in [
        ("GET /v1/orders?a=b", "GET /orders?a=b HTTP/1.1", "orders.shop"),
        ("GET /v1", "GET / HTTP/1.1", "orders.shop"),
        ("GET /in/x", "GET /deep/er/x HTTP/1.1", "orders.shop"),
        ("GET /any/thing?q", "GET /fixed?q HTTP/1.1", "orders.shop"),
        ("GET /host", "GET /host HTTP/1.1", "orders.internal"),
        ("GET /else", "GET /else HTTP/1.1", "orders.shop"),
    ] {
        assert_eq!(ask(&mut client, line, "").status, 200);
        let seen = origin.seen().pop().unwrap();
        assert_eq!((seen.line.as_str(), seen.field("host")), (wanted, Some(host)), "{line}");
        assert_eq!(seen.field("x-forwarded-host"), Some("orders.shop"), "{line}");
    }
}

#[test]
fn headers_of_the_request_are_removed_set_and_added() {
    let (mesh, origin) =
        with("[{headers: {request: {set: {x-set: new}, add: {x-add: two}, remove: [x-gone]}}}]");
    let fields = "X-Set: old\r\nX-Set: older\r\nX-Add: one\r\nX-Gone: 1\r\nX-Kept: 1\r\n";
    assert_eq!(ask(&mut mesh.client(), "GET /", fields).status, 200);
    let seen = origin.only();
    let all = |name: &str| -> Vec<String> {
        let named = seen.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.clone()).collect()
    };
    assert_eq!((all("x-set"), all("x-add")), (vec!["new".to_owned()], vec!["one".into(), "two".into()]));
    assert_eq!((all("x-gone").len(), all("x-kept").len()), (0, 1));
}

#[test]
fn headers_of_the_response_are_removed_set_and_added() {
    let (mesh, _origin) =
        with("[{headers: {response: {set: {x-old: new}, add: {x-add: two}, remove: [x-gone]}}}]");
    let answer = mesh.get("/");
    assert_eq!(answer.text(), "ok");
    let fields = ["x-old", "x-add", "x-gone"].map(|name| answer.field(name));
    assert_eq!(fields, [Some("new"), Some("two"), None]);
}

#[test]
fn a_redirect_says_where_to_and_sends_nothing_on() {
    let (mesh, origin) = with(
        "[{matches: [{path: {prefix: /a}}], redirect: {scheme: https, host: new.example.com, status: 301}}, \
          {matches: [{path: {prefix: /b}}], redirect: {host: new.example.com, port: 8443}}, \
          {matches: [{path: {prefix: /c}}], redirect: {path: /there, port: 80, status: 307}}, \
          {matches: [{path: {prefix: /d}}], redirect: {prefix: /e, scheme: http, status: 308}}]",
    );
    let mut client = mesh.client();
    for (path, status, location) in [
        ("/a/x?y", 301, "https://new.example.com/a/x?y"),
        ("/b", 302, "http://new.example.com:8443/b"),
        ("/c/d?q", 307, "http://orders.shop/there?q"),
        ("/d/x?q", 308, "http://orders.shop/e/x?q"),
    ] {
        let answer = client.get("orders.shop", path);
        assert_eq!((answer.status, answer.field("location")), (status, Some(location)), "{path}");
        assert_eq!(answer.field("x-selvedge-reason"), Some("redirect"));
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn a_rule_may_answer_itself_with_status_body_and_type() {
    let (mesh, origin) = with(
        "[{matches: [{path: {exact: /json}}], respond: {status: 418, body: '{}', contentType: application/json}}, \
          {matches: [{path: {exact: /text}}], respond: {status: 503, body: away}}, \
          {matches: [{path: {exact: /none}}], respond: {status: 204}}, \
          {matches: [{path: {exact: /head}}], respond: {status: 200}, headers: {response: {set: {x-a: b}}}}]",
    );
    let mut client = mesh.client();
    for (path, status, body, kind) in [
        ("/json", 418, "{}", Some("application/json")),
        ("/text", 503, "away", Some("text/plain; charset=utf-8")),
    ] {
        let answer = client.get("orders.shop", path);
        assert_eq!(told(&answer), (status, Some("respond")), "{path}");
        assert_eq!((answer.text().as_str(), answer.field("content-type")), (body, kind), "{path}");
    }
    let answer = client.get("orders.shop", "/none");
    assert_eq!((answer.status, answer.body.len(), answer.field("content-length")), (204, 0, None));
    let answer = client.get("orders.shop", "/head");
    assert_eq!((answer.text().as_str(), answer.field("x-a")), ("", Some("b")));
    assert!(origin.seen().is_empty());
}
