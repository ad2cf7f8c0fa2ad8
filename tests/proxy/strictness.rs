//! Requests that leave room for doubt: refused, the connection closed, and nothing of them reaches the backend.

use std::collections::BTreeMap;

use selvedge_tests::{client::Client, origin::Origin, proxy::Proxy};

/// What is sent, the status of the answer, and the section of RFC 9112 (or another) that it offends.
type Row = (&'static str, u16, &'static str);

/// Each `~` stands for the usual first lines, so that a row shows what is special about it.
const USUAL: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

const FRAMING: &[Row] = &[
    ("~Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, "6.3"),
    ("~Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "6.3"),
    ("~Content-Length: 5, 5\r\n\r\nhello", 400, "6.3"),
    ("~Content-Length: 5, 6\r\n\r\nhello", 400, "6.3"),
    ("~Content-Length: +5\r\n\r\nhello", 400, "6.2"),
    ("~Content-Length: -5\r\n\r\nhello", 400, "6.2"),
    ("~Content-Length: 0x5\r\n\r\nhello", 400, "6.2"),
    ("~Content-Length: 5 5\r\n\r\nhello", 400, "6.2"),
    ("~Content-Length: 5.0\r\n\r\nhello", 400, "6.2"),
    ("~Content-Length:\r\n\r\nhello", 400, "6.2"),
    ("~Content-Length: five\r\n\r\nhello", 400, "6.2"),
    ("~Content-Length: 18446744073709551616\r\n\r\n", 400, "6.2"),
    ("~Content-Length: 99999999999999999999999999\r\n\r\n", 400, "6.2"),
    ("~Transfer-Encoding: identity\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: gzip\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "7.1"),
    ("~Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("~Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400, "6.1"),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "6.1"),
];

/// The bodies follow a head that says `chunked`.
const CHUNKS: &[Row] = &[
    ("+5\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("-5\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    (" 5\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("0x5\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("5_0\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("g\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("00000000000000005\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("ffffffffffffffff1\r\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("5\nhello\r\n0\r\n\r\n", 400, "7.1"),
    ("5\rhello\r\n0\r\n\r\n", 400, "7.1"),
    ("5;a\nb\r\nhello\r\n0\r\n\r\n", 400, "7.1.1"),
    ("5;a\0b\r\nhello\r\n0\r\n\r\n", 400, "7.1.1"),
];

const HEADS: &[Row] = &[
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "5.1"),
    ("~X-A : b\r\n\r\n", 400, "5.1"),
    ("~X-A\t: b\r\n\r\n", 400, "5.1"),
    ("~X-A: b\r\n c\r\n\r\n", 400, "5.2"),
    ("~X-A: b\r\n\tc\r\n\r\n", 400, "5.2"),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "2.2"),
    ("~no colon\r\n\r\n", 400, "5"),
    ("~: b\r\n\r\n", 400, "5"),
    ("~X-A: b\rc\r\n\r\n", 400, "2.2"),
    ("~X-A: b\0c\r\n\r\n", 400, "RFC 9110 5.5"),
    ("~X-A: b\x01c\r\n\r\n", 400, "RFC 9110 5.5"),
    ("~X-\u{e9}: b\r\n\r\n", 400, "5.1"),
    ("~X(A): b\r\n\r\n", 400, "5.1"),
    ("GET / HTTP/1.1\nHost: a\n\n", 400, "2.2"),
    ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "2.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "2.2"),
    ("\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "2.2"),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "2.2"),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3"),
    ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3"),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "3"),
    ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "3"),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3"),
    ("GET /\r\nHost: a\r\n\r\n", 400, "3"),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", 400, "2.3"),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "2.3"),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "2.3"),
    ("GET / HTTP/3.1\r\nHost: a\r\n\r\n", 505, "2.3"),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3.1"),
    ("\x16\x03\x01\x02\x05\x01", 400, "3"),
    ("GET / HTTP/1.1\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400, "3.2"),
    ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "3.2"),
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3.2.2"),
    ("GET http://a:81/ HTTP/1.1\r\nHost: a:82\r\n\r\n", 400, "3.2.2"),
    ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3.2.2"),
    ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9110 4.2.4"),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3.2.4"),
    ("GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3.2"),
    ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 3986 7.3"),
    ("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3.2"),
    ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "3.2.1"),
    ("~Expect: 200-maybe\r\nContent-Length: 1\r\n\r\n", 417, "RFC 9110 10.1.1"),
    ("~Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", 417, "RFC 9110 10.1.1"),
];

/// The statuses of all answers in what a client received.
fn statuses(received: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(received);
    text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text[at + 9..].get(..3)?.parse().ok()).collect()
}

#[test]
fn what_is_no_http_at_all_is_closed_without_an_answer() {
    let origin = Origin::named("never");
    let proxy = Proxy::to(&[origin.address]);
    for greeting in ["SSH-2.0-client\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "nonsense\r\n\r\n"] {
        let received = Client::exchange(proxy.http(), format!("{greeting}GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(received, b"", "{greeting:?}");
    }
    assert_eq!(origin.seen(), [], "nothing reaches the backend");
}

#[test]
fn doubtful_requests_are_refused_and_reach_no_backend() {
    let origin = Origin::named("never");
    let proxy = Proxy::to(&[origin.address]);
    let heads =
        FRAMING.iter().chain(HEADS).map(|(text, status, rule)| (text.replace('~', USUAL), *status, rule));
    let chunked = |body: &str| format!("{USUAL}Transfer-Encoding: chunked\r\n\r\n{body}");
    let chunks = CHUNKS.iter().map(|(body, status, rule)| (chunked(body), *status, rule));
    let mut wrong = BTreeMap::new();
    for (request, status, rule) in heads.chain(chunks) {
        // What follows must never be taken for another request.
        let request = format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let received = Client::exchange(proxy.http(), &request);
        let answered = statuses(&received);
        if answered != [status] {
            wrong.insert(request.escape_debug().to_string(), (answered, status, rule));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(origin.seen(), [], "nothing reaches the backend");
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200, "others are still served");
}

#[test]
fn the_answer_to_a_refused_request_says_that_the_connection_closes() {
    let proxy = Proxy::to(&[]);
    let received = Client::exchange(proxy.http(), "GET / HTTP/1.1\r\n\r\n");
    let text = String::from_utf8(received).unwrap();
    assert!(
        text.contains("connection: close\r\n") && text.contains("x-selvedge-reason: no_host\r\n"),
        "{text}"
    );
}

#[test]
fn limits_of_heads_hold() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let long = |count| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(count));
    let many = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count));
    let large = |count| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(count));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(20_000));
    let rows = [
        (long((8 << 10) - 1), 200),
        (long(8 << 10), 414),
        (long(12_000), 414),
        (many(99), 200),
        (many(100), 431),
        (large(16_000), 200),
        (large(17_000), 431),
        (large(200_000), 431),
        (endless, 431),
    ];
    for (request, status) in rows {
        let mut client = Client::connect(proxy.http());
        // The proxy may answer before it has read all of it.
        let _ = client.try_send(&request);
        assert_eq!(client.answer().status, status, "{} bytes", request.len());
        assert!(status == 200 || client.is_closed());
    }
}

#[test]
fn a_chunk_that_turns_bad_later_breaks_the_request_for_the_backend_too() {
    let origin = Origin::named("never");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    client.send("0x1\r\nA\r\n0\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (400, Some("client_body")));
    assert!(client.is_closed());
    assert_eq!(origin.seen(), [], "a broken body is no whole request");
}

#[test]
fn paths_with_escaped_slashes_pass_unless_they_shall_be_rejected() {
    for path in ["/a%2fb", "/a%2Fb", "/a/%2f", "/%5c"] {
        for (reject, wanted) in [(false, (200, None)), (true, (400, Some("escaped_slash_in_path")))] {
            let origin = Origin::named("ok");
            let mut proxy = crate::proxy_with(|setup| setup.limits.reject_escaped_slash = reject);
            proxy.route_all(&[origin.address]);
            let answer = Client::connect(proxy.http()).get("a", path);
            assert_eq!((answer.status, answer.field("x-selvedge-reason")), wanted, "{path}");
            assert_eq!(origin.seen().len(), usize::from(!reject), "{path}");
            let mut another = Client::connect(proxy.http());
            assert_eq!(another.get("a", "/a%20b").status, 200, "other escapes pass");
        }
    }
}

#[test]
fn fields_with_underscores_are_dropped_unless_they_are_wanted() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1\r\nx_y: 2\r\nX-Y: 3\r\n\r\n";
    for (drop, kept) in [(true, None), (false, Some("2"))] {
        let origin = Origin::named("ok");
        let mut proxy = crate::proxy_with(|setup| setup.limits.drop_underscore_fields = drop);
        proxy.route_all(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        client.send(request);
        assert_eq!(client.answer().status, 200);
        let seen = origin.only();
        assert_eq!((seen.field("x_y"), seen.field("x-y")), (kept, Some("3")));
    }
}
