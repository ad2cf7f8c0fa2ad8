//! Faults that rules make on purpose, to see how callers bear them.

use selvedge_tests::origin::Origin;

use crate::{Mesh, ask, orders, rule, told};

fn with(rules: &str) -> (Mesh, Origin) {
    let origin = Origin::named("ok");
    (Mesh::of(&[orders(&[origin.address]), rule("rules", rules)]), origin)
}

#[test]
fn an_abort_answers_with_its_status_and_asks_nobody() {
    let (mesh, origin) = with("[{fault: {abort: {status: 418}}}]");
    let mut client = mesh.client();
    (0..5).for_each(|_| assert_eq!(told(&client.get("orders.shop", "/")), (418, Some("fault_abort"))));
    assert!(origin.seen().is_empty());
}

#[test]
fn an_abort_of_a_grpc_call_has_its_grpc_status() {
    let (mesh, origin) = with("[{fault: {abort: {grpcStatus: 8}}}]");
    let answer =
        ask(&mut mesh.client(), "POST /a.B/C", "Content-Type: application/grpc\r\nContent-Length: 0\r\n");
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("8")));
    assert!(origin.seen().is_empty());
}

#[test]
fn a_share_of_requests_is_aborted() {
    let (mesh, _origin) = with(
        "[{matches: [{path: {prefix: /none}}], fault: {abort: {percent: 0, status: 500}}}, \
          {matches: [{path: {prefix: /half}}], fault: {abort: {percent: 50, status: 500}}}]",
    );
    let mut client = mesh.client();
    let mut aborted = |path: &str| (0..200).filter(|_| client.get("orders.shop", path).status == 500).count();
    assert_eq!(aborted("/none"), 0);
    let half = aborted("/half");
    // Seven standard deviations on either side.
    assert!((50..150).contains(&half), "{half}");
}

#[test]
fn a_delayed_request_arrives_in_the_end() {
    let (mesh, origin) = with("[{fault: {delay: {duration: 20ms}}}]");
    assert_eq!(mesh.get("/late").text(), "ok");
    assert_eq!(origin.only().line, "GET /late HTTP/1.1");
}

#[test]
fn a_delay_counts_against_the_time_of_the_request() {
    let (mesh, origin) = with("[{fault: {delay: {duration: 1h}}, timeouts: {request: 50ms}}]");
    assert_eq!(told(&mesh.get("/")), (504, Some("timeout")));
    assert!(origin.seen().is_empty());
}

#[test]
fn a_request_may_be_delayed_and_then_aborted() {
    let (mesh, origin) = with("[{fault: {delay: {duration: 10ms}, abort: {status: 500}}}]");
    assert_eq!(told(&mesh.get("/")), (500, Some("fault_abort")));
    assert!(origin.seen().is_empty());
}
