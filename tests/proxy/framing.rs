//! Where requests and answers end, in every form that HTTP/1.1 and HTTP/1.0 know.

use std::io::Write;

use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::Proxy,
};

/// An origin that sends these bytes for every request.
fn sending(bytes: &'static str, after: After) -> Origin {
    Origin::scripted(move |_, stream| {
        stream.write_all(bytes.as_bytes()).unwrap();
        after
    })
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::scripted(|seen, stream| {
        let path = seen.line.split(' ').nth(1).unwrap();
        let body = format!("{path}{}", String::from_utf8_lossy(&seen.body));
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).unwrap();
        After::KeepOpen
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    let mut all = String::new();
    for index in 0..50 {
        all += &match index % 3 {
            0 => format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /{index} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n:x"),
            _ => format!(
                "POST /{index} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n:y\r\n0\r\n\r\n"
            ),
        };
    }
    client.send(all);
    for index in 0..50 {
        let body = ["", ":x", ":y"][index % 3];
        assert_eq!(client.answer().text(), format!("/{index}{body}"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let request = "POST /p?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n";
    let mut client = Client::connect(proxy.http());
    for at in 1..request.len() {
        client.send(&request[..at]);
        client.send(&request[at..]);
        assert_eq!(client.answer().text(), "ok", "split at {at}");
    }
    request.bytes().for_each(|byte| client.send([byte]));
    assert_eq!(client.answer().text(), "ok");
    let seen = origin.seen();
    assert_eq!(seen.len(), request.len());
    assert!(seen.iter().all(|seen| seen.body == b"hello" && seen.line == "POST /p?q HTTP/1.1"));
    assert!(seen.iter().all(|seen| seen.trailers == [("X-T".to_owned(), "1".to_owned())]));
}

#[test]
fn an_answer_may_come_in_any_pieces() {
    let origin = Origin::scripted(|seen, stream| {
        let at: usize = seen.line.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        stream.write_all(&CHUNKED.as_bytes()[..at]).unwrap();
        stream.write_all(&CHUNKED.as_bytes()[at..]).unwrap();
        After::KeepOpen
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for at in 1..CHUNKED.len() {
        let answer = client.get("a", &format!("/{at}"));
        assert_eq!((answer.text().as_str(), answer.trailers.len()), ("hello", 1), "split at {at}");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn answers_without_a_body_keep_their_length_and_the_connection() {
    // Method, answer, Content-Length that the client sees.
    let rows = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Some("7")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Some("7")),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0")),
    ];
    for (method, bytes, length) in rows {
        let origin = sending(bytes, After::KeepOpen);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        for _ in 0..3 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.head().unwrap();
            assert_eq!(head.field("content-length"), length, "{method} {bytes:?}");
            assert_eq!(
                (head.field("transfer-encoding"), head.field("connection")),
                (None, None),
                "{bytes:?}"
            );
        }
        assert_eq!(origin.connections(), 1, "{bytes:?}");
    }
}

#[test]
fn an_answer_to_a_head_request_has_no_body_whoever_makes_it() {
    let proxy = Proxy::to(&[]);
    let mut client = Client::connect(proxy.http());
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head().unwrap();
        assert_eq!(head.status, 503);
        assert!(head.field("content-length").is_some_and(|length| length != "0"));
    }
}

#[test]
fn http10_clients_get_what_they_understand() {
    // Answer of the backend, request's Connection, whether the connection lasts.
    let plain = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let rows = [
        (plain, "", false),
        (plain, "Connection: keep-alive\r\n", true),
        (CHUNKED, "", false),
        (CHUNKED, "Connection: keep-alive\r\n", false),
    ];
    for (bytes, connection, lasts) in rows {
        let origin = sending(bytes, After::KeepOpen);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send(format!("GET / HTTP/1.0\r\n{connection}\r\n"));
        let answer = client.answer();
        assert_eq!((answer.text().as_str(), answer.field("transfer-encoding")), ("hello", None));
        assert_eq!(answer.field("connection"), Some(if lasts { "keep-alive" } else { "close" }));
        if lasts {
            client.send("GET / HTTP/1.0\r\n\r\n");
            assert_eq!(client.answer().text(), "hello");
        }
        assert!(client.is_closed());
        let seen = &origin.seen()[0];
        assert_eq!(seen.line, "GET / HTTP/1.1");
        assert_eq!(seen.field("host"), Some(origin.address.to_string().as_str()), "HTTP/1.1 needs a host");
        assert_eq!(seen.field("x-forwarded-host"), None);
    }
}

#[test]
fn a_backend_that_ends_its_answer_by_closing_gets_it_passed_on_in_chunks() {
    for bytes in ["HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello"] {
        let origin = sending(bytes, After::Close);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        for _ in 0..2 {
            let answer = client.get("a", "/");
            assert_eq!(
                (answer.text().as_str(), answer.field("transfer-encoding")),
                ("hello", Some("chunked"))
            );
        }
        assert_eq!(origin.connections(), 2);
    }
}

#[test]
fn a_backend_may_close_after_an_answer() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        // It says that it closes and does not, so only the proxy's own care keeps the connection from reuse.
        let origin = sending(bytes, After::KeepOpen);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        for _ in 0..2 {
            let answer = client.get("a", "/");
            assert_eq!((answer.text().as_str(), answer.field("connection")), ("hello", None));
        }
        assert_eq!(origin.connections(), 2);
    }
}

#[test]
fn requests_keep_their_length_or_chunks() {
    // Head, body, and the framing that the backend sees.
    let rows = [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Some("0"), None),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", Some("0"), None),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Some("0"), None),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None, None),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", None, None),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Some("5"), None),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Some("5"), None),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            None,
            Some("chunked"),
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello",
            Some("5"),
            None,
        ),
    ];
    for (request, length, coding) in rows {
        let origin = Origin::named("ok");
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send(request);
        assert_eq!(client.answer().text(), "ok");
        let seen = origin.only();
        assert_eq!(
            (seen.field("content-length"), seen.field("transfer-encoding")),
            (length, coding),
            "{request:?}"
        );
        let body = if request.contains("hello") { "hello" } else { "" };
        assert_eq!(seen.body, body.as_bytes());
        assert_eq!(client.get("a", "/").text(), "ok", "the connection goes on");
    }
}

#[test]
fn a_body_that_a_backend_may_not_look_for_ends_the_connection_to_it() {
    let body = "GET /stolen HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for framed in [&length, &chunks] {
        // Backends look for the body of the last three for sure.
        for method in ["GET", "DELETE", "OPTIONS", "REPORT", "POST", "PUT", "PATCH"] {
            let closes = !method.starts_with('P');
            let origin = Origin::named("ok");
            let proxy = Proxy::to(&[origin.address]);
            let mut client = Client::connect(proxy.http());
            for _ in 0..2 {
                client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{framed}"));
                assert_eq!(client.answer().text(), "ok", "the client's connection goes on: {method}");
            }
            let told: Vec<_> =
                origin.seen().iter().map(|seen| seen.field("connection") == Some("close")).collect();
            assert_eq!((told, origin.connections()), (vec![closes; 2], 1 + usize::from(closes)), "{method}");
            assert!(origin.seen().iter().all(|seen| seen.body == body.as_bytes()));
        }
    }
}

#[test]
fn targets_and_hosts_come_in_several_forms() {
    // Request line, Host as sent; request line and Host as the backend sees them.
    let rows = [
        ("GET http://a.example/p?q HTTP/1.1", "a.example", "GET /p?q HTTP/1.1"),
        ("GET http://A.example HTTP/1.1", "a.example", "GET / HTTP/1.1"),
        ("GET http://a.example:81/ HTTP/1.1", "a.example:81", "GET / HTTP/1.1"),
        ("GET / HTTP/1.1", "a.example.", "GET / HTTP/1.1"),
        ("GET / HTTP/1.1", "A.Example:8080", "GET / HTTP/1.1"),
        ("GET /a/../b HTTP/1.1", "a.example", "GET /b HTTP/1.1"),
        ("GET /a//b/./c HTTP/1.1", "a.example", "GET /a/b/c HTTP/1.1"),
        ("GET /%2e%2e/%61 HTTP/1.1", "a.example", "GET /a HTTP/1.1"),
        ("GET /a%2Fb HTTP/1.1", "a.example", "GET /a%2Fb HTTP/1.1"),
        ("REPORT /x HTTP/1.1", "a.example", "REPORT /x HTTP/1.1"),
    ];
    let origin = Origin::named("ok");
    let mut proxy = crate::proxy_with(|_| {});
    proxy.backend("test/origin:80", selvedge_common::model::Backend::default());
    proxy.route("a.example", selvedge_common::model::PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    let mut client = Client::connect(proxy.http());
    for (line, host, seen_line) in rows {
        client.send(format!("{line}\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status, 200, "{line} {host}");
        let seen = origin.seen().pop().unwrap();
        assert_eq!((seen.line.as_str(), seen.field("host")), (seen_line, Some(host)));
    }
}

#[test]
fn connect_and_options_of_the_server_itself_are_refused() {
    let origin = Origin::named("never");
    let proxy = Proxy::to(&[origin.address]);
    for request in ["CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        let mut client = Client::connect(proxy.http());
        client.send(request);
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (405, Some("not_proxied")));
        assert!(answer.field("allow").is_some(), "RFC 9110 15.5.6");
    }
    assert_eq!(origin.seen(), []);
}

#[test]
fn a_client_that_wants_to_close_is_told_so_and_closed() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /more HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("ok", Some("close")));
    assert!(client.is_closed());
    assert_eq!(origin.seen().len(), 1, "what comes behind `close` is not served");
}

#[test]
fn small_chunks_that_come_together_go_on_together() {
    let origin = Origin::scripted(|seen, stream| {
        let chunks: String = seen.body.iter().map(|byte| format!("1\r\n{}\r\n", char::from(*byte))).collect();
        let answer =
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\nX-T: 1\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        After::KeepOpen
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for size in [1usize, 2, 100, 5000] {
        let body: String = (0..size).map(|index| char::from(b'a' + (index % 26) as u8)).collect();
        let chunks: String = body.chars().map(|letter| format!("1;x\r\n{letter}\r\n")).collect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        ));
        assert_eq!(client.head().unwrap().status, 200);
        let (mut received, mut count) = (Vec::new(), 0);
        loop {
            let chunk = client.chunk().unwrap();
            if chunk.is_empty() {
                break;
            }
            received.extend(chunk);
            count += 1;
        }
        assert_eq!(client.exactly(10), b"X-T: 1\r\n\r\n");
        assert!(received == body.as_bytes(), "{size} chunks");
        assert!(count <= size.div_ceil(50), "{size} chunks became {count}");
    }
    assert!(origin.seen().iter().all(|seen| seen.trailers.is_empty()));
}

#[test]
fn a_bad_chunk_behind_good_ones_breaks_the_request() {
    let origin = Origin::named("never");
    let proxy = Proxy::to(&[origin.address]);
    for bad in ["0x1\r\nd\r\n", "1\r\ndX", "1\nd\r\n", "g"] {
        let mut client = Client::connect(proxy.http());
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n{bad}0\r\n\r\n"
        ));
        assert_eq!(client.answer().status, 400, "{bad:?}");
        assert!(client.is_closed());
    }
    assert_eq!(origin.seen(), [], "a broken body is no whole request");
}
