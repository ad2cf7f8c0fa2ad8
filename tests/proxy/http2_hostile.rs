//! Backends over HTTP/2 that break its rules: their client is told, and others go on.

use http::Request;
use selvedge_tests::{
    client::{Answer, Client},
    http2::{Http2Client, full},
    http2_frames::{Accepted, END_HEADERS, END_STREAM, FrameOrigin, encode, field, kind, literal},
    proxy::Proxy,
    waiting::until,
};

const PUSH_PROMISE: u8 = 5;
/// Answers with an index of their own.
const OK: u8 = 0x88;
const NO_CONTENT: u8 = 0x89;

/// What a client gets of an answer.
#[derive(Debug, PartialEq)]
enum Got {
    /// A whole answer: its status, and its body if it is the backend's.
    Whole(u16, &'static str),
    /// One that breaks off.
    Broken,
}

use Got::{Broken, Whole};

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    /// A stream, at most.
    Stream,
    /// The connection.
    Connection,
    /// The connection, of which the backend says that it looked at no stream; they are sent again.
    Unseen,
}

/// A backend's answer on this stream.
type Answering = fn(u32) -> Vec<u8>;

fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    fields.iter().for_each(|(name, value)| literal(&mut block, name, value));
    encode(kind::HEADERS, flags | END_HEADERS, stream, &block)
}

fn hints(stream: u32) -> Vec<u8> {
    head(stream, 0, &[(":status", "103"), ("link", "</a>")])
}

fn ok(stream: u32) -> Vec<u8> {
    encode(kind::HEADERS, END_HEADERS, stream, &[OK])
}

fn no_content(stream: u32) -> Vec<u8> {
    encode(kind::HEADERS, END_STREAM | END_HEADERS, stream, &[NO_CONTENT])
}

fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    encode(kind::DATA, flags, stream, payload)
}

/// A head with so many bytes of fields, in as many frames as it takes.
fn large(stream: u32, bytes: usize) -> Vec<u8> {
    let mut block = vec![NO_CONTENT];
    (0..bytes / 1000).for_each(|_| literal(&mut block, "x", &"v".repeat(967)));
    let pieces: Vec<_> = block.chunks(16_000).collect();
    let frames = pieces.iter().enumerate().map(|(at, piece)| {
        let end = if at + 1 == pieces.len() { END_HEADERS } else { 0 };
        match at {
            0 => encode(kind::HEADERS, END_STREAM | end, stream, piece),
            _ => encode(kind::CONTINUATION, end, stream, piece),
        }
    });
    frames.collect::<Vec<_>>().concat()
}

/// Heads that are none, or say what their bodies do not.
const HEADS: &[(&str, Answering, Got, Scope)] = &[
    ("no status", |s| head(s, END_STREAM, &[("x", "1")]), Whole(502, ""), Scope::Stream),
    ("a status of letters", |s| head(s, END_STREAM, &[(":status", "abc")]), Whole(502, ""), Scope::Stream),
    ("a status of two digits", |s| head(s, END_STREAM, &[(":status", "99")]), Whole(502, ""), Scope::Stream),
    (
        "two",
        |s| head(s, END_STREAM, &[(":status", "204"), (":status", "204")]),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "a status behind a field",
        |s| head(s, END_STREAM, &[("x", "1"), (":status", "204")]),
        Whole(502, ""),
        Scope::Stream,
    ),
    ("a path", |s| head(s, END_STREAM, &[(":status", "204"), (":path", "/")]), Whole(502, ""), Scope::Stream),
    (
        "a status without a name",
        |s| head(s, END_STREAM, &[(":status", "599")]),
        Whole(599, ""),
        Scope::Stream,
    ),
    (
        "an upper-case name",
        |s| head(s, END_STREAM, &[(":status", "204"), ("X-A", "1")]),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "a field of a connection",
        |s| head(s, END_STREAM, &[(":status", "204"), ("connection", "x")]),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "the end of a line",
        |s| {
            let mut block = vec![NO_CONTENT];
            field(&mut block, b"x", b"a\r\nb: c");
            encode(kind::HEADERS, END_STREAM | END_HEADERS, s, &block)
        },
        Whole(502, ""),
        Scope::Stream,
    ),
    ("70 KB of fields", |s| large(s, 70_000), Whole(502, ""), Scope::Stream),
    ("100 KB of fields", |s| large(s, 100_000), Whole(502, ""), Scope::Connection),
    ("a switch of protocols", |s| head(s, 0, &[(":status", "101")]), Whole(502, ""), Scope::Stream),
    (
        "an interim answer as the last",
        |s| head(s, END_STREAM, &[(":status", "103")]),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "a flood of interim answers",
        |s| [hints(s).repeat(2000), no_content(s)].concat(),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "an interim answer too many",
        |s| [hints(s).repeat(15), head(s, 0, &[(":status", "100")]), no_content(s)].concat(),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "as many interim answers as there may be",
        |s| [hints(s).repeat(15), no_content(s)].concat(),
        Whole(204, ""),
        Scope::Stream,
    ),
    (
        "70 KB of interim answers",
        |s| {
            let hints = head(s, 0, &[(":status", "103"), ("link", &"v".repeat(10_000))]);
            [hints.repeat(7), no_content(s)].concat()
        },
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "an interim answer that announces a body",
        |s| [head(s, 0, &[(":status", "103"), ("content-length", "5")]), no_content(s)].concat(),
        Whole(502, ""),
        Scope::Stream,
    ),
    ("two heads", |s| [ok(s), ok(s)].concat(), Broken, Scope::Stream),
    (
        "a status in trailers",
        |s| [ok(s), data(s, 0, b"ok"), head(s, END_STREAM, &[(":status", "200")])].concat(),
        Broken,
        Scope::Stream,
    ),
    (
        "trailers that do not end it",
        |s| [ok(s), data(s, 0, b"ok"), head(s, 0, &[("x", "1")])].concat(),
        Broken,
        Scope::Stream,
    ),
];

/// Bodies that are not what their heads say, or where none can be.
const BODIES: &[(&str, Answering, Got, Scope)] = &[
    ("data before a head", |s| data(s, 0, b"early"), Whole(502, ""), Scope::Stream),
    (
        "less than was announced",
        |s| {
            [head(s, 0, &[(":status", "200"), ("content-length", "5")]), data(s, END_STREAM, b"abc")].concat()
        },
        Broken,
        Scope::Stream,
    ),
    (
        "more than was announced",
        |s| {
            [head(s, 0, &[(":status", "200"), ("content-length", "2")]), data(s, END_STREAM, b"abc")].concat()
        },
        Broken,
        Scope::Stream,
    ),
    (
        "nothing of what was announced",
        |s| head(s, END_STREAM, &[(":status", "200"), ("content-length", "5")]),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "two lengths",
        |s| head(s, 0, &[(":status", "200"), ("content-length", "1"), ("content-length", "2")]),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "a sound one",
        |s| {
            let length = [(":status", "200"), ("content-length", "2")];
            [head(s, 0, &length), data(s, END_STREAM, b"ok")].concat()
        },
        Whole(200, "ok"),
        Scope::Stream,
    ),
    (
        "a harmless reset behind the end",
        |s| [ok(s), data(s, END_STREAM, b"ok"), encode(kind::RST_STREAM, 0, s, &[0; 4])].concat(),
        Whole(200, "ok"),
        Scope::Stream,
    ),
];

/// Frames that no backend may send.
const FRAMES: &[(&str, Answering, Got, Scope)] = &[
    (
        "a promise",
        |s| encode(PUSH_PROMISE, END_HEADERS, s, &[0, 0, 0, 2, NO_CONTENT]),
        Whole(502, ""),
        Scope::Connection,
    ),
    ("an answer nobody asked for", |s| no_content(s + 100), Whole(502, ""), Scope::Connection),
    ("an answer on a stream of its own", |_| no_content(2), Whole(502, ""), Scope::Connection),
    (
        "no block at all",
        |s| encode(kind::HEADERS, END_HEADERS, s, &[0xff; 9]),
        Whole(502, ""),
        Scope::Connection,
    ),
    (
        "a frame in a block",
        |s| [encode(kind::HEADERS, 0, s, &[NO_CONTENT]), data(s, END_STREAM, b"")].concat(),
        Whole(502, ""),
        Scope::Connection,
    ),
    ("a frame that is too large", |s| data(s, END_STREAM, &[0; 16_385]), Whole(502, ""), Scope::Connection),
    (
        "settings that allow pushes",
        |_| encode(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1]),
        Whole(502, ""),
        Scope::Connection,
    ),
    (
        "a window that overflows",
        |s| encode(kind::WINDOW_UPDATE, 0, s, &[0x7f, 255, 255, 255]),
        Whole(502, ""),
        Scope::Stream,
    ),
    (
        "a connection's window that overflows",
        |_| encode(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]),
        Whole(502, ""),
        Scope::Connection,
    ),
    (
        "a reset of an idle stream",
        |s| encode(kind::RST_STREAM, 0, s + 100, &[0; 4]),
        Whole(502, ""),
        Scope::Connection,
    ),
    ("a goodbye to all", |_| encode(kind::GOAWAY, 0, 0, &[0; 8]), Whole(204, ""), Scope::Unseen),
];

fn post(address: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    client
}

fn check(name: &str, got: std::io::Result<(u16, Vec<u8>)>, wanted: &Got) {
    match (got, wanted) {
        (Ok((status, body)), Whole(is, text)) => {
            assert_eq!(status, *is, "{name}");
            assert!(status != 200 || body == text.as_bytes(), "{name}: {}", body.escape_ascii());
        }
        (Err(_), Broken) => {}
        (got, wanted) => panic!("{name}: {got:?}, not {wanted:?}"),
    }
}

/// A connection is used again only if nothing but a stream was wrong: while one request waits, another one on the same
/// connection gets a hostile answer; then there is a third one, before which the first one is answered.
async fn play((name, answering, wanted, scope): &(&str, Answering, Got, Scope), is_http2: bool) {
    let (answering, scope) = (*answering, *scope);
    let origin = FrameOrigin::start(move |accepted| match accepted {
        Accepted { connection: 0, request: 0, .. } => Vec::new(),
        Accepted { connection: 0, request: 1, stream } => answering(stream),
        Accepted { connection: 0, stream, .. } => [no_content(1), no_content(stream)].concat(),
        Accepted { stream, .. } => no_content(stream),
    });
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut first = post(proxy.http());
    until(|| (origin.requests() == 1).then_some(()));
    let got = if is_http2 {
        let mut second = Http2Client::connect(proxy.http()).await;
        let answer = second.try_whole(Request::post("http://a/").body(full("")).unwrap()).await;
        answer.map(|whole| (whole.status(), whole.body.to_vec())).map_err(std::io::Error::other)
    } else {
        let mut second = post(proxy.http());
        second.final_answer("POST").map(|Answer { status, body, .. }| (status, body))
    };
    check(name, got, wanted);
    assert_eq!(post(proxy.http()).answer().status, 204, "{name}: others go on");
    let wanted = if scope == Scope::Connection { 502 } else { 204 };
    assert_eq!(first.answer().status, wanted, "{name}: who was on the connection");
    assert_eq!(origin.connections(), if scope == Scope::Stream { 1 } else { 2 }, "{name}");
}

#[tokio::test]
async fn what_a_backend_says_wrongly_reaches_no_client_and_ends_no_more_than_it_has_to() {
    for row in HEADS.iter().chain(BODIES).chain(FRAMES) {
        play(row, false).await;
        play(row, true).await;
    }
}

#[test]
fn a_body_that_cannot_be_does_not_reach_the_client() {
    let answers: [(&str, u16, Answering); 3] = [
        ("HEAD", 200, |s| [ok(s), data(s, END_STREAM, b"HTTP/1.1 200 OK\r\n\r\n")].concat()),
        ("GET", 204, |s| {
            let none = encode(kind::HEADERS, END_HEADERS, s, &[NO_CONTENT]);
            [none, data(s, END_STREAM, b"HTTP/1.1 200 OK\r\n\r\n")].concat()
        }),
        ("GET", 304, |s| {
            let none = head(s, 0, &[(":status", "304"), ("content-length", "19")]);
            [none, data(s, END_STREAM, b"HTTP/1.1 200 OK\r\n\r\n")].concat()
        }),
    ];
    for (method, status, answering) in answers {
        let origin = FrameOrigin::start(move |Accepted { request, stream, .. }| match request {
            0 => answering(stream),
            _ => no_content(stream),
        });
        let proxy = Proxy::http2_to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        // The answer is whole without it, or broken off.
        assert!(
            client.final_answer(method).is_ok_and(|answer| answer.status == status) || client.is_closed()
        );
        assert!(client.is_closed(), "nothing follows the answer {status}");
        assert_eq!(post(proxy.http()).answer().status, 204);
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn an_answer_that_does_not_wait_for_the_request_comes_whole() {
    let origin = FrameOrigin::start(|Accepted { request, stream, .. }| match request {
        0 => [ok(stream), data(stream, END_STREAM, b"ok"), encode(kind::RST_STREAM, 0, stream, &[0; 4])]
            .concat(),
        _ => no_content(stream),
    });
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbegin");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(client.is_closed(), "what follows of the request is not waited for");
    assert_eq!(post(proxy.http()).answer().status, 204);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_connection_that_closes_breaks_off_what_is_on_it() {
    let rows: [(&str, Answering, Got); 4] = [
        ("before an answer", |_| Vec::new(), Whole(502, "")),
        ("in a frame", |s| ok(s)[..9].to_vec(), Whole(502, "")),
        ("in a body", |s| [ok(s), data(s, 0, b"half")].concat(), Broken),
        ("behind an answer", |s| [ok(s), data(s, END_STREAM, b"ok")].concat(), Whole(200, "ok")),
    ];
    for (name, answering, wanted) in rows {
        let origin = FrameOrigin::closing(move |accepted| match accepted {
            Accepted { connection: 0, request: 0, .. } => (Vec::new(), false),
            Accepted { connection: 0, stream, .. } => (answering(stream), true),
            Accepted { stream, .. } => (no_content(stream), false),
        });
        let proxy = Proxy::http2_to(&[origin.address]);
        let mut first = post(proxy.http());
        until(|| (origin.requests() == 1).then_some(()));
        let got = post(proxy.http()).try_answer().map(|Answer { status, body, .. }| (status, body));
        check(name, got, &wanted);
        assert_eq!(first.answer().status, 502, "{name}");
        assert_eq!(post(proxy.http()).answer().status, 204, "{name}");
        assert_eq!(origin.connections(), 2, "{name}");
    }
}
