//! Interim answers of backends over HTTP/2: they reach clients as those over HTTP/1.1 do.

use std::time::Duration;

use selvedge_tests::{
    client::Client,
    http2_frames::{
        Accepted, END_HEADERS, END_STREAM, FrameOrigin, Frames, encode, kind, literal, request_block,
    },
    proxy::Proxy,
};

/// Answers with an index of their own.
const OK: u8 = 0x88;
const NO_CONTENT: u8 = 0x89;

fn interim(stream: u32, status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    literal(&mut block, ":status", status);
    fields.iter().for_each(|(name, value)| literal(&mut block, name, value));
    encode(kind::HEADERS, END_HEADERS, stream, &block)
}

fn ok(stream: u32) -> Vec<u8> {
    [encode(kind::HEADERS, END_HEADERS, stream, &[OK]), encode(kind::DATA, END_STREAM, stream, b"ok")]
        .concat()
}

fn no_content(stream: u32) -> Vec<u8> {
    encode(kind::HEADERS, END_STREAM | END_HEADERS, stream, &[NO_CONTENT])
}

/// Hints, a word about a body that nobody holds back, more hints, and the answer.
fn hinting() -> FrameOrigin {
    FrameOrigin::start(|Accepted { stream, .. }| {
        let hints = interim(stream, "103", &[("link", "</a>"), ("content-length", "0")]);
        let more = interim(stream, "104", &[("x-more", "1")]);
        [hints, interim(stream, "100", &[]), more, ok(stream)].concat()
    })
}

#[test]
fn they_are_passed_on_but_not_to_http10() {
    let origin = hinting();
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let hints = client.answer();
        assert_eq!((hints.status, hints.field("link")), (103, Some("</a>")));
        assert_eq!(hints.field("content-length"), None);
        let more = client.answer();
        assert_eq!((more.status, more.field("x-more"), more.field("link")), (104, Some("1"), None));
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("x-more"), answer.text().as_str()), (200, None, "ok"));
    }
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn they_reach_clients_of_http2() {
    let origin = hinting();
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &request_block("GET", "/", "a"));
    let heads = [(); 3].map(|()| frames.until(kind::HEADERS, 1).unwrap());
    // The statuses of the first two are none of those with an index of their own.
    assert_eq!(heads.each_ref().map(|head| head.status()), [None, None, Some(200)]);
    assert!(heads.iter().all(|head| head.flags == END_HEADERS));
    let has = |index: usize, text: &str| {
        heads[index].payload.windows(text.len()).any(|part| part == text.as_bytes())
    };
    assert!(has(0, "103") && has(0, "</a>") && has(1, "104") && has(1, "x-more"));
    assert!(!has(0, "content-length") && !has(2, "x-more"));
    assert_eq!(frames.until(kind::DATA, 1).unwrap().payload, b"ok");
}

#[test]
fn those_that_come_while_the_request_is_sent_do_not_wait_for_its_end() {
    let origin = FrameOrigin::start(|Accepted { request, stream, .. }| match request {
        0 => interim(stream, "103", &[("link", "</a>")]),
        _ => [ok(1), no_content(stream)].concat(),
    });
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nbe");
    assert_eq!(client.answer().status, 103);
    client.send("gin");
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 204);
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn none_of_them_is_the_answer_that_is_waited_for() {
    let origin = FrameOrigin::start(|Accepted { stream, .. }| interim(stream, "102", &[]));
    let mut proxy = Proxy::http2_to(&[origin.address]);
    proxy.edit_host("*", |host| host.routes[0].timeouts.request = Duration::from_millis(400));
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 102);
    let last = client.answer();
    assert_eq!((last.status, last.field("x-selvedge-reason")), (504, Some("timeout")));
    assert_eq!(origin.requests(), 1);
}
