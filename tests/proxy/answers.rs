//! Malformed and broken answers of backends: the client gets 502 or a visibly broken answer, never a whole one.

use std::io::Write;

use selvedge_tests::{
    client::Client,
    http2_frames::{END_HEADERS, END_STREAM, Frames, kind, request_block},
    origin::{After, Origin},
    proxy::Proxy,
};

/// What the backend sends, whether it closes then, and the reason the client is told.
type Row = (&'static str, After, &'static str);

const MALFORMED: &[Row] = {
    use After::{Close, KeepOpen};
    &[
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            KeepOpen,
            "upstream_protocol",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            KeepOpen,
            "upstream_protocol",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            KeepOpen,
            "upstream_protocol",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", KeepOpen, "upstream_protocol"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            KeepOpen,
            "upstream_protocol",
        ),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", KeepOpen, "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nX: y\0z\r\nContent-Length: 2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        ("HTTP/1.1 2xx OK\r\nContent-Length: 2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        ("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
            KeepOpen,
            "upstream_protocol",
        ),
        ("HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        ("hello", KeepOpen, "upstream_protocol"),
        ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", KeepOpen, "upstream_protocol"),
        ("220 mail.example ESMTP\r\n", KeepOpen, "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nContent-Le", Close, "upstream_protocol"),
        ("HTTP/1.1 100 Continue\r\n\r\n", Close, "upstream_closed"),
        ("", Close, "upstream_closed"),
    ]
};

/// Answers whose head is good and whose body is not; the bodies that follow must not seem whole.
const BROKEN: &[(&str, After)] = {
    use After::{Close, KeepOpen};
    &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", Close),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", KeepOpen),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", KeepOpen),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n\r\n", KeepOpen),
    ]
};

/// An origin that sends these bytes for `/bad` and a plain answer for everything else.
fn origin(bytes: impl Into<Vec<u8>>, after: After) -> Origin {
    let bytes = bytes.into();
    Origin::scripted(move |seen, stream| {
        let bad = seen.line.contains("/bad");
        let good: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
        // The proxy may have enough of it before the end.
        let _ = stream.write_all(if bad { &bytes } else { good });
        if bad { after } else { After::KeepOpen }
    })
}

#[test]
fn malformed_answers_are_502_and_end_the_connection_to_the_backend() {
    for (bytes, after, reason) in MALFORMED {
        let origin = origin(*bytes, *after);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        assert_eq!(client.get("a", "/good").text(), "good");
        // POST, so that nothing is sent again.
        client.send("POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let answer = client.answer();
        let told = (answer.status, answer.field("x-selvedge-reason"));
        assert_eq!(told, (502, Some(*reason)), "{bytes:?}");
        assert_eq!(client.get("a", "/good").text(), "good", "the client's connection goes on: {bytes:?}");
        let used: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(used, [0, 0, 1], "{bytes:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_looks_broken_to_the_client() {
    for (bytes, after) in BROKEN {
        let origin = origin(*bytes, *after);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
        match client.try_answer() {
            Err(_) => {}
            Ok(answer) => assert_eq!(answer.status, 502, "{bytes:?} seems whole: {answer:?}"),
        }
        assert_eq!(Client::connect(proxy.http()).get("a", "/good").text(), "good");
        assert_eq!(origin.seen().last().unwrap().connection, 1, "{bytes:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_reset_where_only_the_end_tells() {
    for body in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let origin = origin(format!("HTTP/1.1 200 OK\r\n{body}"), After::Close);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send("GET /bad HTTP/1.0\r\n\r\n");
        let head = client.head().unwrap();
        assert_eq!(head.status, 200);
        match head.field("content-length") {
            Some(length) => assert!(client.rest().unwrap().len() < length.parse().unwrap()),
            None => assert!(client.rest().is_err(), "the client sees a reset, not an end"),
        }
    }
}

#[test]
fn heads_of_answers_and_interim_answers_have_limits() {
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(300));
    let interim =
        "HTTP/1.1 102 Processing\r\n\r\n".repeat(17) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for bytes in [huge, many, interim] {
        let origin = origin(bytes, After::KeepOpen);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
        let last = std::iter::repeat_with(|| client.answer()).find(|answer| answer.status != 102).unwrap();
        assert_eq!((last.status, last.field("x-selvedge-reason")), (502, Some("upstream_protocol")));
    }
}

#[test]
fn interim_answers_are_passed_on_but_not_to_http10() {
    let bytes = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\n\
                 HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let origin = origin(bytes, After::KeepOpen);
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = client.answer();
    assert_eq!((hints.status, hints.field("link"), hints.field("x")), (103, Some("</a>"), None));
    assert_eq!(client.answer().text(), "ok");
    let mut client = Client::connect(proxy.http());
    client.send("GET /bad HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn interim_answers_reach_clients_of_http2() {
    let bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n\
                 HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let origin = origin(bytes, After::KeepOpen);
    let proxy = Proxy::to(&[origin.address]);
    let mut frames = Frames::connect(proxy.http(), &[]);
    let block = request_block("GET", "/bad", "a");
    frames.frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &block);
    let hints = frames.until(kind::HEADERS, 1).unwrap();
    // The status is none of those with an index of their own.
    assert_eq!((hints.status(), hints.flags), (None, END_HEADERS));
    assert_eq!(frames.until(kind::HEADERS, 1).unwrap().status(), Some(200));
    assert_eq!(frames.until(kind::DATA, 1).unwrap().payload, b"ok");
}

#[test]
fn bytes_behind_an_answer_never_answer_another_request() {
    let extra = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
    for together in [true, false] {
        let (sender, written) = std::sync::mpsc::channel();
        let origin = Origin::scripted(move |seen, stream| {
            let good = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
            match (seen.connection, together) {
                (0, true) => stream.write_all(format!("{good}{extra}").as_bytes()).unwrap(),
                (0, false) => {
                    stream.write_all(good.as_bytes()).unwrap();
                    stream.write_all(extra.as_bytes()).unwrap();
                }
                _ => stream.write_all(good.as_bytes()).unwrap(),
            }
            sender.send(()).unwrap();
            After::KeepOpen
        });
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        assert_eq!(client.get("a", "/").text(), "good");
        written.recv().unwrap();
        assert_eq!(client.get("a", "/").text(), "good");
        assert_eq!(origin.connections(), 2, "the connection with bytes that nobody asked for is closed");
    }
}

#[test]
fn a_body_behind_an_answer_without_one_ends_the_connection() {
    let rows = [
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", 204),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", 304),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", 200),
    ];
    for (method, bytes, status) in rows {
        let origin = origin(bytes, After::KeepOpen);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send(format!("{method} /bad HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.head().unwrap().status, status);
        assert_eq!(client.get("a", "/good").text(), "good", "{bytes:?}");
        assert_eq!(origin.connections(), 2, "{bytes:?}");
    }
}
