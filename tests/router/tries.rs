//! Tries: how long requests may take, and which of them are sent again, how often and to whom.

use std::{
    io::Write,
    net::{Shutdown, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use http::{Request, Response};
use selvedge_tests::{
    http2::{Http2Client, Http2Origin, full},
    origin::{After, Origin},
    proxy::nowhere,
};
use serde_json::Value;

use crate::{Mesh, answering, ask, orders, policy, rule, silent, speaking, told};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Endpoints that take turns, with these rules.
fn with(endpoints: &[SocketAddr], rules: &str) -> Mesh {
    Mesh::of(&[orders(endpoints), rule("rules", rules), in_turn()])
}

fn in_turn() -> Vec<Value> {
    policy("{balance: {algorithm: RoundRobin}, outlier: {failures: 0}}")
}

/// An origin that closes the connection of each request without an answer.
fn resetting() -> Origin {
    Origin::scripted(|_, stream| {
        let _ = stream.shutdown(Shutdown::Both);
        After::Close
    })
}

/// Statuses of two requests, which begin at different endpoints.
fn two(mesh: &Mesh, line: &str) -> [u16; 2] {
    let mut client = mesh.client();
    let length = if line.starts_with("GET") { "" } else { "Content-Length: 0\r\n" };
    [(); 2].map(|()| ask(&mut client, line, length).status)
}

#[test]
fn a_request_that_takes_too_long_gets_504_and_its_connection_goes_on() {
    let silent = silent();
    let mesh = with(
        &[silent.address],
        "[{matches: [{path: {prefix: /slow}}], timeouts: {request: 50ms}}, \
          {matches: [{path: {prefix: /try}}], timeouts: {backend: 50ms, request: 0s}}, \
          {matches: [{path: {prefix: /else}}], respond: {status: 200}}]",
    );
    let mut client = mesh.client();
    for path in ["/slow", "/try"] {
        assert_eq!(told(&client.get("orders.shop", path)), (504, Some("timeout")), "{path}");
    }
    assert_eq!(client.get("orders.shop", "/else").status, 200);
}

#[test]
fn a_try_that_takes_too_long_is_followed_by_one_at_another_endpoint() {
    let good = Origin::named("good");
    let timeouts = "timeouts: {backend: 50ms, request: 30s}";
    for (retry, slow) in
        [("{when: [timeout]}", 0), ("{when: [reset]}", 1), ("{when: [timeout], attempts: 0}", 1)]
    {
        let mesh = with(&[silent().address, good.address], &format!("[{{{timeouts}, retry: {retry}}}]"));
        let late = two(&mesh, "GET /").iter().filter(|status| **status == 504).count();
        assert_eq!(late, slow, "{retry}");
    }
}

#[test]
fn without_a_rule_a_failed_connection_is_tried_elsewhere_even_with_a_post() {
    let good = Origin::named("good");
    let mesh = Mesh::of(&[orders(&[nowhere(), good.address]), in_turn()]);
    assert_eq!((two(&mesh, "POST /"), two(&mesh, "GET /")), ([200; 2], [200; 2]));
}

#[test]
fn who_lists_outcomes_means_just_these() {
    let good = Origin::named("good");
    // What the bad endpoint is, what is listed, and how many of two requests fail.
    let rows = [
        ("refusing", "[connect-failure]", 0),
        ("refusing", "[503]", 1),
        ("resetting", "[reset]", 0),
        ("resetting", "[connect-failure]", 1),
        ("busy", "[503]", 0),
        ("busy", "['503']", 0),
        ("busy", "[gateway-error]", 0),
        ("busy", "[5xx]", 0),
        ("busy", "[500, 502]", 1),
        ("conflict", "[retriable-4xx]", 0),
        ("conflict", "[5xx]", 1),
        ("resetting", "[5xx]", 0),
        ("refusing", "[5xx]", 0),
    ];
    for (bad, on, failing) in rows {
        let origin = match bad {
            "resetting" => Some(resetting()),
            "busy" => Some(answering(503, "busy")),
            "conflict" => Some(answering(409, "conflict")),
            _ => None,
        };
        let bad_address = origin.as_ref().map_or_else(nowhere, |origin| origin.address);
        let mesh = with(&[bad_address, good.address], &format!("[{{retry: {{when: {on}, backoff: 1ms}}}}]"));
        let failed = two(&mesh, "GET /").iter().filter(|status| **status != 200).count();
        assert_eq!(failed, failing, "{bad} with {on}");
    }
}

#[test]
fn a_request_is_tried_again_as_often_as_the_rule_says_and_the_last_answer_counts() {
    for (attempts, times) in [(0, 1), (1, 2), (4, 5)] {
        let busy = answering(503, "busy");
        let mesh = with(
            &[busy.address],
            &format!("[{{retry: {{attempts: {attempts}, when: [503], backoff: 1ms}}}}]"),
        );
        let answer = mesh.get("/");
        assert_eq!((told(&answer), answer.text().as_str()), ((503, None), "busy"));
        assert_eq!(busy.seen().len(), times);
    }
}

#[test]
fn what_may_not_bear_being_done_twice_is_sent_once_unless_the_rule_insists() {
    for (insists, times) in [("", 1), (", nonIdempotent: true", 2)] {
        let busy = answering(503, "busy");
        let mesh = with(&[busy.address], &format!("[{{retry: {{when: [503]{insists}}}}}]"));
        let mut client = mesh.client();
        client.send("POST / HTTP/1.1\r\nHost: orders.shop\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.answer().text(), "busy");
        let bodies: Vec<_> = busy.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies, vec![b"hello".to_vec(); times], "{insists}");
    }
}

#[test]
fn a_budget_of_nothing_allows_no_retry() {
    for (name, rules, policies) in [
        ("rule", "[{retry: {when: [503], budget: {percent: 0, perSecond: 0}}}]", in_turn()),
        ("policy", "[{retry: {when: [503]}}]", policy("{retryBudget: {percent: 0, perSecond: 0}}")),
    ] {
        let busy = answering(503, "busy");
        let mesh = Mesh::of(&[orders(&[busy.address]), rule("rules", rules), policies]);
        assert_eq!(mesh.get("/").text(), "busy");
        assert_eq!(busy.seen().len(), 1, "{name}");
    }
}

#[test]
fn a_budget_is_shared_by_the_requests_of_a_rule_and_earned_by_them() {
    let busy = answering(503, "busy");
    // Two requests earn one retry.
    let mesh = with(&[busy.address], "[{retry: {when: [503], budget: {percent: 50, perSecond: 0}}}]");
    let mut client = mesh.client();
    let mut asked = || {
        let before = busy.seen().len();
        assert_eq!(client.get("orders.shop", "/").text(), "busy");
        busy.seen().len() - before
    };
    assert_eq!([(); 6].map(|()| asked()), [1, 2, 1, 2, 1, 2]);
}

#[test]
fn an_answer_that_has_begun_is_never_tried_again() {
    let broken = Origin::scripted(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
        After::Close
    });
    let mesh = with(&[broken.address], "[{retry: {attempts: 5, when: [reset, 5xx, timeout]}}]");
    let mut client = mesh.client();
    client.send("GET / HTTP/1.1\r\nHost: orders.shop\r\n\r\n");
    assert!(client.try_answer().is_err(), "it breaks off for the caller, too");
    assert_eq!(broken.seen().len(), 1);
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_costs_nobody_a_request() {
    let origin = Origin::scripted(|_, stream| {
        // Closed without a word after each answer.
        stream.write_all(OK).unwrap();
        After::Close
    });
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    let mut client = mesh.client();
    for _ in 0..20 {
        assert_eq!(client.get("orders.shop", "/").text(), "ok");
    }
}

#[tokio::test]
async fn grpc_statuses_are_outcomes_too() {
    for (on, calls) in [("[unavailable]", 3), ("[internal, cancelled]", 1)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let origin = Http2Origin::start(100, move |_| {
            let code = if count.fetch_add(1, SeqCst) < 2 { "14" } else { "0" };
            let builder = Response::builder().header("content-type", "application/grpc");
            let answer = builder.header("grpc-status", code).body(full("")).unwrap();
            async { answer }
        });
        let service = speaking("grpc", orders(&[origin.address]));
        let rules = rule("rules", &format!("[{{retry: {{when: {on}, attempts: 2, nonIdempotent: true}}}}]"));
        let mesh = Mesh::of(&[service, rules]);
        let call = Request::post("http://orders.shop/a.B/C").header("content-type", "application/grpc");
        let answer = Http2Client::connect(mesh.router.http).await.whole(call.body(full("x")).unwrap()).await;
        let wanted = if calls == 3 { "0" } else { "14" };
        assert_eq!((answer.field("grpc-status"), asked.load(SeqCst)), (wanted, calls), "{on}");
    }
}
