//! Limits: how much a Service bears at once and in a time, and what those hear that are too many.

use std::{
    io::Write,
    sync::{Mutex, mpsc},
};

use selvedge_tests::origin::{After, Origin};

use crate::{Mesh, ask, orders, other, policy, policy_for, rule, told};

fn with(spec: &str) -> (Mesh, Origin) {
    let origin = Origin::named("ok");
    (Mesh::of(&[orders(&[origin.address]), policy(spec)]), origin)
}

#[test]
fn requests_beyond_what_a_service_bears_are_refused_at_once() {
    let ((come, came), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
    let gone = Mutex::new(gone);
    let origin = Origin::scripted(move |_, stream| {
        let _ = come.send(());
        // When the test has ended, everything may go.
        let _ = gone.lock().unwrap().recv();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).is_ok() { After::KeepOpen } else { After::Close }
    });
    for breaking in ["{requests: 2}", "{connections: 2, pending: 0}"] {
        let carts = Origin::named("carts");
        let breaking = policy(&format!("{{circuitBreaking: {breaking}}}"));
        let mesh = Mesh::of(&[orders(&[origin.address]), other("carts", &carts), breaking]);
        let mut two = [mesh.client(), mesh.client()];
        for client in &mut two {
            client.send("GET / HTTP/1.1\r\nHost: orders.shop\r\n\r\n");
            came.recv().unwrap();
        }
        let mut third = mesh.client();
        (0..5).for_each(|_| assert_eq!(told(&third.get("orders.shop", "/")), (503, Some("overload"))));
        assert_eq!(third.get("carts.shop", "/").text(), "carts", "others are not in the way of it");
        (0..2).for_each(|_| go.send(()).unwrap());
        assert_eq!(two.each_mut().map(|client| client.answer().status), [200, 200]);
        go.send(()).unwrap();
        assert_eq!(two[0].get("orders.shop", "/").status, 200, "there is room again");
        came.recv().unwrap();
    }
}

#[test]
fn requests_beyond_a_rate_get_429_and_are_told_when_to_come_again() {
    let (mesh, origin) = with("{rateLimit: {requests: 3, per: 1h}}");
    let mut client = mesh.client();
    let statuses = [(); 5].map(|()| ask(&mut client, "GET /", "").status);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let answer = ask(&mut client, "GET /", "");
    assert_eq!(told(&answer), (429, Some("rate_limited")));
    let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
    assert_eq!(origin.seen().len(), 3);
}

#[test]
fn a_burst_is_what_comes_at_once_and_the_status_is_as_written() {
    let (mesh, _origin) = with("{rateLimit: {requests: 1, per: 1h, burst: 4, status: 503}}");
    let mut client = mesh.client();
    let statuses = [(); 6].map(|()| ask(&mut client, "GET /", "").status);
    assert_eq!(statuses, [200, 200, 200, 200, 503, 503]);
    assert_eq!(told(&ask(&mut client, "GET /", "")), (503, Some("rate_limited")));
}

#[test]
fn a_rate_is_counted_by_header_or_by_address() {
    let (mesh, _origin) = with("{rateLimit: {requests: 1, per: 1h, key: {header: X-Tenant}}}");
    let mut client = mesh.client();
    let fields = ["X-Tenant: a\r\n", "x-tenant: b\r\n", "x-tenant: a\r\n", "", ""];
    assert_eq!(fields.map(|field| ask(&mut client, "GET /", field).status), [200, 200, 429, 200, 429]);
    let (mesh, _origin) = with("{rateLimit: {requests: 1, per: 1h, key: {source: true}}}");
    let statuses = [1, 2, 1, 2].map(|last| ask(&mut mesh.client_from(last), "GET /", "").status);
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn a_limit_of_a_rule_counts_its_requests_alone_and_one_of_a_service_all_of_them() {
    let origin = Origin::named("ok");
    let rules = || rule("admin", "[{matches: [{path: {prefix: /admin}}]}]");
    let of_rule =
        policy_for("limit", "{kind: RouteRule, name: admin}", "{rateLimit: {requests: 1, per: 1h}}");
    let mesh = Mesh::of(&[orders(&[origin.address]), rules(), of_rule]);
    let paths = ["/admin", "/", "/admin", "/"];
    assert_eq!(paths.map(|path| mesh.get(path).status), [200, 200, 429, 200]);
    let of_service = policy("{rateLimit: {requests: 2, per: 1h}}");
    let mesh = Mesh::of(&[orders(&[origin.address]), rules(), of_service]);
    assert_eq!(paths.map(|path| mesh.get(path).status), [200, 200, 429, 429]);
}

#[test]
fn a_limit_holds_for_rules_that_answer_themselves_and_outlives_other_changes() {
    let origin = Origin::named("ok");
    let limit = || policy("{rateLimit: {requests: 1, per: 1h}}");
    let rules = |status| rule("own", &format!("[{{respond: {{status: {status}}}}}]"));
    let mesh = Mesh::of(&[orders(&[origin.address]), limit(), rules(200)]);
    assert_eq!(mesh.get("/").status, 200);
    mesh.change(&[orders(&[origin.address]), limit(), rules(201), other("carts", &origin)]);
    selvedge_tests::waiting::until(|| (mesh.client().get("carts.shop", "/").status == 200).then_some(()));
    assert_eq!(mesh.get("/").status, 429, "what was used before is still used");
}
