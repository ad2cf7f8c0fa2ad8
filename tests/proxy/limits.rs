//! Limits in time and number: whoever is slow, silent or too many is answered or closed.

use std::{
    io::{ErrorKind, Read, Write},
    time::Duration,
};

use selvedge_common::model::Limits;
use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::{Proxy, Setup},
    waiting::until,
};

const SHORT: Duration = Duration::from_millis(200);

fn limited(origin: &Origin, change: impl FnOnce(&mut Limits)) -> Proxy {
    let mut proxy = crate::proxy_with(|setup| change(&mut setup.limits));
    proxy.route_all(&[origin.address]);
    proxy
}

/// Status and reason of the answer; the connection must be closed behind it.
fn last_words(client: &mut Client) -> (u16, Option<String>) {
    let answer = client.answer();
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(client.is_closed());
    (answer.status, answer.field("x-selvedge-reason").map(str::to_owned))
}

#[test]
fn a_head_that_comes_too_slowly_is_408() {
    let origin = Origin::named("ok");
    let proxy = limited(&origin, |limits| limits.head_time = SHORT);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(last_words(&mut client), (408, Some("head_timeout".into())));
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get("a", "/").status, 200);
    client.send("G");
    assert_eq!(last_words(&mut client).0, 408);
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let origin = Origin::named("ok");
    let proxy = limited(&origin, |limits| limits.keep_alive_idle = SHORT);
    assert!(Client::connect(proxy.http()).is_closed(), "before the first request");
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get("a", "/").status, 200);
    assert!(client.is_closed(), "after a request");
}

#[test]
fn a_client_that_pauses_is_served_again_on_its_connection() {
    let origin = Origin::named("ok");
    let proxy = limited(&origin, |_| {});
    let mut client = Client::connect(proxy.http());
    for pause in [Duration::from_millis(1), Duration::from_millis(600)] {
        assert_eq!(client.get("a", "/").status, 200);
        client.tcp().set_read_timeout(Some(pause)).unwrap();
        let end = client.tcp().peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::WouldBlock), "neither an end nor a word");
        client.tcp().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    }
    assert_eq!(client.get("a", "/").status, 200);
}

#[test]
fn a_body_that_falls_silent_is_408() {
    let origin = Origin::named("never");
    let proxy = limited(&origin, |limits| limits.body_idle = SHORT);
    for framing in ["Content-Length: 5\r\n\r\nhel", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"] {
        let mut client = Client::connect(proxy.http());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        assert_eq!(last_words(&mut client), (408, Some("client_body_timeout".into())));
    }
    assert_eq!(origin.seen(), [], "half a request is none");
}

#[test]
fn a_body_that_trickles_is_408() {
    let origin = Origin::named("never");
    let proxy = limited(&origin, |limits| {
        limits.body_idle = Duration::from_millis(900);
        limits.body_min_rate_bytes = 1000;
    });
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.tcp().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut answer = Vec::new();
    // A byte whenever nothing came back for a while: never silent, and never fast enough.
    while answer.is_empty() {
        let _ = client.try_send("x");
        let mut bytes = [0; 1024];
        if let Ok(count) = client.tcp().read(&mut bytes) {
            answer.extend_from_slice(&bytes[..count]);
            assert!(count > 0, "an answer comes before the end");
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", answer.escape_ascii());
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    const MUCH: usize = 64 << 20;
    let (sender, ended) = std::sync::mpsc::channel();
    let origin = Origin::scripted(move |_, stream| {
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n").as_bytes()).unwrap();
        sender.send(stream.write_all(&vec![b'x'; MUCH]).is_err()).unwrap();
        After::Close
    });
    let proxy = limited(&origin, |limits| limits.write_stall = SHORT);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(ended.recv_timeout(Duration::from_secs(60)).unwrap(), "the backend is let go");
    assert!(client.try_answer().is_err(), "the answer is not whole");
}

#[test]
fn a_backend_that_is_silent_for_too_long_is_504_or_a_broken_answer() {
    let origin = Origin::scripted(|seen, stream| {
        if seen.line.contains("/body") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello").unwrap();
        }
        // Ends when the proxy closes the connection.
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        After::Close
    });
    let mut proxy = Proxy::to(&[origin.address]);
    proxy.edit_host("*", |host| {
        host.routes[0].timeouts.request = SHORT;
        host.routes[0].timeouts.backend_idle = SHORT;
    });
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.http());
    for _ in 0..2 {
        let answer = client.get("a", "/");
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (504, Some("timeout")));
    }
    client.send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_answer().is_err());
    assert_eq!(origin.seen().len(), 3, "a timeout is not tried again");
}

#[test]
fn interim_answers_do_not_put_the_end_of_patience_off() {
    let origin = Origin::scripted(|_, stream| {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        // Never silent as long as its limit, yet it never answers.
        for _ in 0..100 {
            if stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_err() {
                break;
            }
            let _ = stream.read(&mut [0]);
        }
        After::Close
    });
    let mut proxy = Proxy::to(&[origin.address]);
    proxy.edit_host("*", |host| host.routes[0].timeouts.request = Duration::from_millis(400));
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut last = client.answer();
    while last.status == 102 {
        last = client.answer();
    }
    assert_eq!((last.status, last.field("x-selvedge-reason")), (504, Some("timeout")));
}

#[test]
fn a_full_listener_closes_an_idle_connection_for_a_new_one() {
    let origin = Origin::named("ok");
    let proxy = limited(&origin, |limits| limits.connections = 2);
    let mut old = Client::connect(proxy.http());
    assert_eq!(old.get("a", "/").status, 200);
    let mut young = Client::connect(proxy.http());
    assert_eq!(young.get("a", "/").status, 200);
    let mut new = Client::connect(proxy.http());
    assert_eq!(new.get("a", "/").status, 200);
    assert!(old.is_closed(), "the one that was idle for longest goes");
    assert_eq!(young.get("a", "/").status, 200);
}

#[test]
fn a_worker_without_idle_connections_has_another_one_close_one() {
    let origin = Origin::named("ok");
    let mut proxy = crate::proxy_with(|setup| {
        setup.limits.connections = 1;
        setup.workers = 4;
    });
    proxy.route_all(&[origin.address]);
    // The system chooses the worker of each connection, so that most rounds have two of them.
    for _ in 0..8 {
        let mut idle = until(|| {
            let mut client = Client::connect(proxy.http());
            client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
            client.try_answer().ok().map(|_| client)
        });
        let _another = Client::connect(proxy.http());
        assert!(idle.is_closed(), "it makes room for the other one, or for the next");
    }
}

#[test]
fn a_listener_full_of_busy_connections_refuses_new_ones() {
    let (open, opened) = std::sync::mpsc::channel::<()>();
    let (begun, begin) = std::sync::mpsc::channel();
    let opened = std::sync::Mutex::new(opened);
    let origin = Origin::scripted(move |_, stream| {
        begun.send(()).unwrap();
        opened.lock().unwrap().recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        After::KeepOpen
    });
    let proxy = limited(&origin, |limits| limits.connections = 1);
    let mut busy = Client::connect(proxy.http());
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    begin.recv().unwrap();
    assert!(Client::connect(proxy.http()).is_closed());
    open.send(()).unwrap();
    assert_eq!(busy.answer().text(), "ok");
}

#[test]
fn one_source_cannot_take_all_connections() {
    let origin = Origin::named("ok");
    let proxy = limited(&origin, |limits| limits.connections_per_source = 2);
    let mut kept: Vec<_> = (0..2).map(|_| Client::connect(proxy.http())).collect();
    for client in &mut kept {
        assert_eq!(client.get("a", "/").status, 200);
    }
    assert!(Client::connect(proxy.http()).is_closed());
    for client in &mut kept {
        assert_eq!(client.get("a", "/").status, 200, "those that are there stay");
    }
}

#[test]
fn an_old_connection_is_closed_after_a_request() {
    let origin = Origin::named("ok");
    let proxy = limited(&origin, |limits| limits.connection_age = Duration::ZERO);
    let mut client = Client::connect(proxy.http());
    let answer = client.get("a", "/");
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn an_unused_connection_to_a_backend_is_closed() {
    let (sender, closed) = std::sync::mpsc::channel();
    let origin = Origin::after_head(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        sender.send(stream.read(&mut [0]).unwrap()).unwrap();
        After::Close
    });
    let mut proxy = Proxy::start(Setup { upstream_idle: SHORT, ..Setup::default() });
    proxy.route_all(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get("a", "/").status, 200);
    assert_eq!(closed.recv_timeout(Duration::from_secs(60)), Ok(0));
    assert_eq!(client.get("a", "/").status, 200, "the next request opens another");
    assert_eq!(origin.connections(), 2);
}
