//! Balancing: which endpoint gets a request, as TrafficPolicies say.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{Mutex, mpsc},
};

use selvedge_tests::{
    origin::{After, Origin},
    waiting::until,
};
use serde_json::{Value, json};

use crate::{Mesh, answering, ask, orders, policy};

fn origins<const N: usize>() -> [Origin; N] {
    std::array::from_fn(|_| Origin::named("ok"))
}

fn addresses(origins: &[Origin]) -> Vec<SocketAddr> {
    origins.iter().map(|origin| origin.address).collect()
}

fn with(origins: &[Origin], spec: &str) -> Mesh {
    Mesh::of(&[orders(&addresses(origins)), policy(spec)])
}

/// Requests that each origin has seen.
fn seen(origins: &[Origin]) -> Vec<usize> {
    origins.iter().map(|origin| origin.seen().len()).collect()
}

/// How many origins have seen a request.
fn reached(origins: &[Origin]) -> usize {
    seen(origins).into_iter().filter(|count| *count > 0).count()
}

#[test]
fn round_robin_takes_one_after_the_other() {
    let origins = origins::<3>();
    let mesh = with(&origins, "{balance: {algorithm: RoundRobin}}");
    let mut client = mesh.client();
    (0..30).for_each(|_| assert_eq!(ask(&mut client, "GET /", "").status, 200));
    assert_eq!(seen(&origins), [10, 10, 10]);
}

/// An origin that answers when it is told to, and tells when a request has come.
fn held() -> (Origin, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((come, came), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
    let gone = Mutex::new(gone);
    let origin = Origin::scripted(move |_, stream| {
        let _ = come.send(());
        // When the test has ended, everything may go.
        let _ = gone.lock().unwrap().recv();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nheld";
        if stream.write_all(answer).is_ok() { After::KeepOpen } else { After::Close }
    });
    (origin, came, go)
}

#[test]
fn least_requests_passes_a_busy_endpoint_over() {
    let ((slow, came, go), quick) = (held(), Origin::named("quick"));
    let only = |origins: &[&Origin]| {
        let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
        [orders(&addresses), policy("{balance: {algorithm: LeastRequests}}")]
    };
    let mesh = Mesh::of(&only(&[&slow]));
    let mut waiting = mesh.client();
    waiting.send("GET / HTTP/1.1\r\nHost: orders.shop\r\n\r\n");
    came.recv().unwrap();
    mesh.change(&only(&[&slow, &quick]));
    until(|| mesh.admin("/snapshot").contains(&quick.address.port().to_string()).then_some(()));
    let mut client = mesh.client();
    (0..20).for_each(|_| assert_eq!(ask(&mut client, "GET /", "").text(), "quick"));
    go.send(()).unwrap();
    assert_eq!(waiting.answer().text(), "held");
}

#[test]
fn hash_sends_the_same_key_to_the_same_endpoint_and_spreads_keys() {
    for (key, same, differing) in [
        ("{header: x-user}", "x-user: ann\r\n", "x-user: {}\r\n"),
        ("{cookie: user}", "Cookie: a=b; user=ann\r\n", "Cookie: user={}; a=b\r\n"),
    ] {
        let spec = format!("{{balance: {{algorithm: Hash, hash: {key}}}}}");
        let pinned = origins::<4>();
        let mesh = with(&pinned, &spec);
        (0..20).for_each(|_| assert_eq!(ask(&mut mesh.client(), "GET /", same).status, 200));
        assert_eq!(reached(&pinned), 1, "{key}");
        let spread = origins::<4>();
        let mesh = with(&spread, &spec);
        let mut client = mesh.client();
        for index in 0..100 {
            ask(&mut client, "GET /", &differing.replace("{}", &index.to_string()));
        }
        assert_eq!(reached(&spread), 4, "{key}");
    }
}

#[test]
fn hash_by_source_keeps_each_address_at_one_endpoint() {
    let origins = origins::<4>();
    let mesh = with(&origins, "{balance: {algorithm: Hash, hash: {source: true}}}");
    for last in 1..=60 {
        let before = seen(&origins);
        (0..2).for_each(|_| assert_eq!(ask(&mut mesh.client_from(last), "GET /", "").status, 200));
        let grown = seen(&origins).iter().zip(before).filter(|(now, before)| **now == before + 2).count();
        assert_eq!(grown, 1, "both went to the same one");
    }
    assert_eq!(reached(&origins), 4);
}

#[test]
fn a_cookie_keeps_a_client_at_its_endpoint() {
    let origins = origins::<4>();
    let mesh = with(&origins, "{affinity: {cookie: {name: at, ttl: 1h, path: /shop}}}");
    let first = mesh.get("/");
    let set = first.field("set-cookie").expect("it is told where it is").to_owned();
    let (cookie, rest) = set.split_once("; ").unwrap();
    assert!(cookie.starts_with("at="), "{set}");
    assert!(rest.contains("Path=/shop") && rest.contains("Max-Age=3600"), "{set}");
    for _ in 0..12 {
        let answer = ask(&mut mesh.client(), "GET /", &format!("Cookie: {cookie}\r\n"));
        assert_eq!((answer.status, answer.field("set-cookie")), (200, None));
    }
    let mut counts = seen(&origins);
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 0, 13]);
}

#[test]
fn an_endpoint_that_keeps_failing_is_left_out() {
    // A server error is a failure of the endpoint, an answer that blames the client is none.
    for (status, wanted) in [(500, 3), (503, 3), (404, 10)] {
        let origins = [answering(status, "bad"), Origin::named("ok")];
        let mesh = with(&origins, "{balance: {algorithm: RoundRobin}, outlier: {failures: 3, ejection: 1h}}");
        let mut client = mesh.client();
        (0..20).for_each(|_| drop(ask(&mut client, "GET /", "")));
        assert_eq!(seen(&origins)[0], wanted, "{status}");
    }
}

#[test]
fn no_more_are_left_out_than_allowed_and_never_is_a_switch() {
    for (outlier, wanted) in
        [("{failures: 1, mostEjectedPercent: 0}", 10), ("{failures: 0}", 10), ("{failures: 1}", 1)]
    {
        let origins = [answering(500, "bad"), Origin::named("ok")];
        let mesh = with(&origins, &format!("{{balance: {{algorithm: RoundRobin}}, outlier: {outlier}}}"));
        let mut client = mesh.client();
        (0..20).for_each(|_| drop(ask(&mut client, "GET /", "")));
        assert_eq!(seen(&origins)[0], wanted, "{outlier}");
    }
}

#[test]
fn a_new_endpoint_begins_slowly_and_every_request_is_served() {
    let origins = origins::<2>();
    let spec = "{balance: {algorithm: RoundRobin}, slowStart: {window: 10h}}";
    let mesh = with(&origins[..1], spec);
    let mut client = mesh.client();
    assert_eq!(ask(&mut client, "GET /", "").status, 200);
    mesh.change(&[orders(&addresses(&origins)), policy(spec)]);
    until(|| mesh.admin("/snapshot").contains(&origins[1].address.port().to_string()).then_some(()));
    (0..300).for_each(|_| assert_eq!(ask(&mut client, "GET /", "").status, 200));
    let new = seen(&origins)[1];
    // A tenth where a full share would be half: 300 requests that each take the new one with at most 0.1.
    assert!(new < 90, "{new}");
}

/// Endpoints with the zones that they are in and meant for.
fn zoned(origins: &[Origin], hints: bool) -> Vec<Value> {
    let mut objects = orders(&addresses(origins));
    for (slice, zone) in objects[1..].iter_mut().zip(["a", "b"]) {
        slice["endpoints"][0]["zone"] = zone.into();
        if hints {
            slice["endpoints"][0]["hints"] = json!({"forZones": [{"name": zone}]});
        }
    }
    objects
}

#[test]
fn endpoints_of_the_routers_own_zone_come_first_by_hints_or_where_a_policy_prefers_them() {
    for (hints, spec, flags, wanted) in [
        (true, "{}", &["--zone=a"][..], [10, 0]),
        (true, "{}", &["--zone=b"], [0, 10]),
        (true, "{}", &["--zone=c"], [5, 5]),
        (true, "{}", &[], [5, 5]),
        (false, "{}", &["--zone=a"], [5, 5]),
        (false, "{zone: {prefer: true}}", &["--zone=a"], [10, 0]),
    ] {
        let origins = origins::<2>();
        let turn = crate::policy_for("turn", "{kind: Namespace}", "{balance: {algorithm: RoundRobin}}");
        let mesh = Mesh::with_flags(&[zoned(&origins, hints), policy(spec), turn], flags);
        let mut client = mesh.client();
        (0..10).for_each(|_| assert_eq!(ask(&mut client, "GET /", "").status, 200));
        assert_eq!(seen(&origins), wanted, "{hints} {spec} {flags:?}");
    }
}
