//! Requests that are sent again, and those that must not be.

use std::{
    io::{BufReader, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use selvedge_tests::{
    client::{Answer, Client},
    origin::{After, Origin, read_head},
    proxy::{Proxy, nowhere},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An origin that answers `/first` and closes each connection on its second request, which it does not answer; a
/// request on a fresh connection is always answered. Its requests are counted.
fn closing_when_used_again() -> (Origin, Arc<AtomicUsize>) {
    let unanswered = Arc::new(AtomicUsize::new(0));
    let count = unanswered.clone();
    let origin = Origin::after_head(move |seen, stream| {
        if count.load(SeqCst) == 0 && !seen.line.contains("/first") {
            count.fetch_add(1, SeqCst);
            return After::Close;
        }
        let length = seen.field("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        if seen.field("transfer-encoding").is_some() {
            body = vec![0; 5];
            let mut end = [0; 10];
            stream.read_exact(&mut end[..3]).unwrap();
            stream.read_exact(&mut body).unwrap();
            stream.read_exact(&mut end[..7]).unwrap();
        }
        assert!(body.iter().all(|byte| *byte == b'x'), "{body:?}");
        stream.write_all(OK).unwrap();
        After::KeepOpen
    });
    (origin, unanswered)
}

/// Uses a connection once, then sends this on it.
fn second(request: &str) -> (Answer, Origin) {
    let (origin, unanswered) = closing_when_used_again();
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get("a", "/first").status, 200);
    client.send(request);
    let answer = client.answer();
    assert_eq!(unanswered.load(SeqCst), 1);
    (answer, origin)
}

fn put(size: usize) -> String {
    format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size))
}

#[test]
fn a_connection_that_closes_as_it_is_used_again_costs_an_idempotent_request_nothing() {
    let requests = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n".to_owned(),
        put(0),
        put(10),
        put(20_000),
        put(64 << 10),
    ];
    for request in requests {
        let (answer, origin) = second(&request);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{}", request.len());
        let seen: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(seen, [0, 0, 1], "the other try uses a new connection");
    }
}

#[test]
fn a_request_with_effects_is_not_sent_twice() {
    let posts = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nxxxxx",
        "PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nxxxxx",
    ];
    for request in posts {
        let (answer, origin) = second(request);
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (502, Some("upstream_closed")));
        assert_eq!(origin.seen().len(), 2, "{request:?}");
    }
}

#[test]
fn a_body_too_large_to_keep_is_not_sent_twice() {
    let (origin, _) = closing_when_used_again();
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get("a", "/first").status, 200);
    // The origin may be gone before the proxy has taken all of it.
    let _ = client.try_send(put(1 << 20));
    assert_eq!(client.answer().status, 502);
    assert_eq!(origin.seen().len(), 2);
}

#[test]
fn a_route_says_how_much_of_a_body_is_kept() {
    for (body_bytes, status) in [(10, 200), (9, 502)] {
        let (origin, _) = closing_when_used_again();
        let mut proxy = Proxy::to(&[origin.address]);
        proxy.edit_host("*", |host| host.routes[0].retry.body_bytes = body_bytes);
        proxy.apply(&[]);
        let mut client = Client::connect(proxy.http());
        assert_eq!(client.get("a", "/first").status, 200);
        client.send(put(10));
        assert_eq!(client.answer().status, status, "{body_bytes}");
    }
}

#[test]
fn a_body_that_is_still_coming_is_sent_again_too() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let origin = Origin::raw(move |connection, mut stream| {
        let mut reader = BufReader::with_capacity(1, stream.try_clone().unwrap());
        read_head(&mut reader).unwrap();
        if connection == 0 {
            reader.read_exact(&mut [0; 5]).unwrap();
            drop((reader, stream));
            closed.send(()).unwrap();
            return;
        }
        let mut body = [0; 10];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"helloworld");
        stream.write_all(OK).unwrap();
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    is_closed.recv().unwrap();
    client.send("world");
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn who_cannot_be_connected_to_is_passed_over_for_every_method() {
    let origin = Origin::named("ok");
    for request in ["GET", "PUT", "POST"] {
        let proxy = Proxy::to(&[nowhere(), origin.address]);
        let mut client = Client::connect(proxy.http());
        for _ in 0..4 {
            client.send(format!("{request} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
            assert_eq!(client.answer().text(), "ok", "{request}");
        }
    }
}

#[test]
fn a_backend_that_closes_without_an_answer_is_tried_once_more_elsewhere() {
    let bad = Origin::scripted(|_, _| After::Close);
    let good = Origin::named("ok");
    let proxy = Proxy::to(&[bad.address, good.address]);
    let mut client = Client::connect(proxy.http());
    for _ in 0..4 {
        assert_eq!(client.get("a", "/").text(), "ok");
    }
    let proxy = Proxy::to(&[bad.address]);
    let before = bad.seen().len();
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 502);
    assert_eq!(bad.seen().len() - before, 2, "once more, not more often");
}

#[test]
fn retries_can_be_switched_off() {
    let bad = Origin::scripted(|_, _| After::Close);
    let mut proxy = Proxy::to(&[bad.address]);
    proxy.edit_host("*", |host| host.routes[0].retry.attempts = 0);
    proxy.apply(&[]);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 502);
    assert_eq!(bad.seen().len(), 1);
}

#[test]
fn a_backend_in_trouble_is_not_flooded_with_retries() {
    let bad = Origin::scripted(|_, _| After::Close);
    let proxy = Proxy::to(&[bad.address]);
    let mut client = Client::connect(proxy.http());
    let requests = 600;
    for _ in 0..requests {
        assert_eq!(client.get("a", "/").status, 502);
    }
    let retries = bad.seen().len() - requests;
    // 100 saved ones, one for five requests, and ten a second; without a budget it would be 600.
    assert!((200..500).contains(&retries), "{retries} retries of {requests} requests");
}
