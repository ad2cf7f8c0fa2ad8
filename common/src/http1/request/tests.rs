//! The strictness table for request heads, as raw bytes and what becomes of them.

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 16 << 10,
    fields: 100,
    target_bytes: 8 << 10,
    drop_underscore_fields: true,
    reject_escaped_slash: false,
};

fn parse(input: &[u8]) -> Result<Option<(RequestStart, RequestHead)>, RequestError> {
    let mut head = RequestHead::default();
    let start = parse_request(input, &LIMITS, &mut head)?;
    Ok(start.map(|start| (start, head)))
}

fn accepted(input: &[u8]) -> (RequestStart, RequestHead) {
    match parse(input) {
        Ok(Some(parsed)) => parsed,
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

/// A request with these lines after its `Host`.
fn with(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").into_bytes()
}

#[test]
fn good_targets_give_method_path_query_and_host() {
    // Request line, lines of fields, method, path, query (`-` is none), host.
    let rows: &[(&str, &str, &str, &str, &str, &str)] = &[
        // RFC 9112 §3.2.1, origin form.
        ("GET / HTTP/1.1", "Host: a", "GET", "/", "-", "a"),
        ("GET /a/b HTTP/1.1", "Host: a", "GET", "/a/b", "-", "a"),
        ("GET /a?b=c HTTP/1.1", "Host: a", "GET", "/a", "b=c", "a"),
        ("GET /? HTTP/1.1", "Host: a", "GET", "/", "", "a"),
        ("GET /a?b?c=../%2e%zz HTTP/1.1", "Host: a", "GET", "/a", "b?c=../%2e%zz", "a"),
        ("GET /../a//%62 HTTP/1.1", "Host: a", "GET", "/a/b", "-", "a"),
        ("GET /a%2f..%2fb HTTP/1.1", "Host: a", "GET", "/b", "-", "a"),
        ("GET /a\\b HTTP/1.1", "Host: a", "GET", "/a%5Cb", "-", "a"),
        ("GET //a HTTP/1.1", "Host: a", "GET", "/a", "-", "a"),
        ("GET /\u{e9} HTTP/1.1", "Host: a", "GET", "/%C3%A9", "-", "a"),
        // RFC 9110 §9.1: methods are case-sensitive tokens.
        ("get / HTTP/1.1", "Host: a", "get", "/", "-", "a"),
        ("M-SEARCH / HTTP/1.1", "Host: a", "M-SEARCH", "/", "-", "a"),
        ("PATCH / HTTP/1.1", "Host: a", "PATCH", "/", "-", "a"),
        // RFC 9110 §7.2: hosts without regard to case and port.
        ("GET / HTTP/1.1", "Host: A.Example:8080", "GET", "/", "-", "a.example"),
        ("GET / HTTP/1.1", "hOsT:\t a. \t", "GET", "/", "-", "a"),
        ("GET / HTTP/1.1", "Host: [2001:DB8::1]:80", "GET", "/", "-", "2001:db8::1"),
        // RFC 9112 §3.2.2, absolute form that agrees with Host.
        ("GET http://a/b?c HTTP/1.1", "Host: a", "GET", "/b", "c", "a"),
        ("GET http://a HTTP/1.1", "Host: a", "GET", "/", "-", "a"),
        ("GET http://a?b HTTP/1.1", "Host: a", "GET", "/", "b", "a"),
        ("GET HTTP://A.:80/ HTTP/1.1", "Host: a", "GET", "/", "-", "a"),
        ("GET https://a/ HTTP/1.1", "Host: a:443", "GET", "/", "-", "a"),
        ("GET http://a/../b HTTP/1.1", "Host: a", "GET", "/b", "-", "a"),
        ("GET http://a/ HTTP/1.0", "A: b", "GET", "/", "-", "a"),
        // RFC 9112 §3.2.4, asterisk form; §3.2.2 for its absolute form.
        ("OPTIONS * HTTP/1.1", "Host: a", "OPTIONS", "*", "-", "a"),
        ("OPTIONS http://a HTTP/1.1", "Host: a", "OPTIONS", "*", "-", "a"),
        ("OPTIONS /a HTTP/1.1", "Host: a", "OPTIONS", "/a", "-", "a"),
        // RFC 9112 §3.2.3, authority form.
        ("CONNECT a:443 HTTP/1.1", "Host: a:443", "CONNECT", "", "-", "a"),
        ("CONNECT a:443 HTTP/1.1", "Host: A", "CONNECT", "", "-", "a"),
        // HTTP/1.0 needs no Host.
        ("GET /a HTTP/1.0", "A: b", "GET", "/a", "-", ""),
        ("GET /a HTTP/1.0", "Host: b", "GET", "/a", "-", "b"),
    ];
    for (line, fields, method, path, query, host) in rows {
        let (_, head) = accepted(format!("{line}\r\n{fields}\r\n\r\n").as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(head.method_name()), *method, "{line}");
        assert_eq!(text(head.path()), *path, "{line}");
        assert_eq!(head.query().map_or("-".into(), text), *query, "{line}");
        assert_eq!(text(head.host()), *host, "{line}");
        assert_eq!(text(head.target()), line.split(' ').nth(1).unwrap());
    }
}

#[test]
fn good_fields_give_framing_and_connection() {
    use BodyFraming::{Chunked, Length, None};
    // Lines of fields, body, keep-alive, expects 100-continue.
    let rows: &[(&str, BodyFraming, bool, bool)] = &[
        ("A: b", None, true, false),
        ("A:", None, true, false),
        ("A: \t b\tc \t", None, true, false),
        ("A: \u{e9}", None, true, false),
        ("!#$%&'*+-.^`|~09azAZ: b", None, true, false),
        ("A: b\r\nA: b", None, true, false),
        // RFC 9112 §6.2.
        ("Content-Length: 0", Length(0), true, false),
        ("Content-Length: 5", Length(5), true, false),
        ("content-LENGTH:5 \t", Length(5), true, false),
        ("Content-Length: 0005", Length(5), true, false),
        ("Content-Length: 18446744073709551615", Length(u64::MAX), true, false),
        // RFC 9112 §6.1; codings without regard to case, RFC 9110 §10.1.4.
        ("Transfer-Encoding: chunked", Chunked, true, false),
        ("transfer-encoding:\tChunked ", Chunked, true, false),
        // RFC 9112 §9.3.
        ("Connection: close", None, false, false),
        ("Connection: keep-alive", None, true, false),
        ("Connection: keep-alive, CLOSE", None, false, false),
        ("Connection: a\r\nConnection: close", None, false, false),
        ("Connection: closed", None, true, false),
        // RFC 9110 §10.1.1.
        ("Expect: 100-continue\r\nContent-Length: 5", Length(5), true, true),
        ("Expect: 100-Continue\r\nTransfer-Encoding: chunked", Chunked, true, true),
        ("Expect: 100-continue\r\nContent-Length: 0", Length(0), true, false),
        ("Expect: 100-continue", None, true, false),
    ];
    for (lines, body, keep_alive, expect_continue) in rows {
        let input = with(lines);
        let start = RequestStart {
            head_bytes: input.len(),
            body: *body,
            keep_alive: *keep_alive,
            expect_continue: *expect_continue,
        };
        assert_eq!(accepted(&input).0, start, "{lines}");
    }
}

#[test]
fn http10_closes_unless_asked_and_never_expects() {
    let rows = [
        ("A: b", false),
        ("Connection: keep-alive", true),
        ("Connection: Keep-Alive, close", false),
        ("Expect: 100-continue\r\nContent-Length: 5", false),
    ];
    for (lines, keep_alive) in rows {
        let (start, _) = accepted(format!("POST / HTTP/1.0\r\n{lines}\r\n\r\n").as_bytes());
        assert_eq!((start.keep_alive, start.expect_continue), (keep_alive, false), "{lines}");
    }
}

/// Lines of fields, reason; all 400. A request with them is complete otherwise.
const REFUSED_FIELDS: &[(&str, &str)] = &[
    // RFC 9112 §6.3, rule 3.
    ("Content-Length: 5\r\nTransfer-Encoding: chunked", "content_length_with_transfer_encoding"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5", "content_length_with_transfer_encoding"),
    ("Transfer-Encoding: chunked\r\ncontent-length: 0", "content_length_with_transfer_encoding"),
    ("Transfer-Encoding: identity\r\nContent-Length: 5", "content_length_with_transfer_encoding"),
    // RFC 9110 §8.6, RFC 9112 §6.3, rule 5.
    ("Content-Length: 5\r\nContent-Length: 6", "several_content_lengths"),
    ("Content-Length: 5\r\nContent-Length: 5", "several_content_lengths"),
    ("Content-Length: 5\r\nA: b\r\nCONTENT-LENGTH: 5", "several_content_lengths"),
    ("Content-Length: 5\r\nContent-Length:", "several_content_lengths"),
    ("Content-Length:", "bad_content_length"),
    ("Content-Length: \t ", "bad_content_length"),
    ("Content-Length: +5", "bad_content_length"),
    ("Content-Length: -5", "bad_content_length"),
    ("Content-Length: -0", "bad_content_length"),
    ("Content-Length: 0x5", "bad_content_length"),
    ("Content-Length: 5a", "bad_content_length"),
    ("Content-Length: five", "bad_content_length"),
    ("Content-Length: 5, 6", "bad_content_length"),
    ("Content-Length: 5, 5", "bad_content_length"),
    ("Content-Length: 5,", "bad_content_length"),
    ("Content-Length: ,5", "bad_content_length"),
    ("Content-Length: 5 5", "bad_content_length"),
    ("Content-Length: 5\t5", "bad_content_length"),
    ("Content-Length: 5.0", "bad_content_length"),
    ("Content-Length: 1e3", "bad_content_length"),
    ("Content-Length: 1_0", "bad_content_length"),
    ("Content-Length: 5;", "bad_content_length"),
    ("Content-Length: \"5\"", "bad_content_length"),
    ("Content-Length: \u{665}", "bad_content_length"),
    ("Content-Length: 18446744073709551616", "bad_content_length"),
    ("Content-Length: 99999999999999999999999999", "bad_content_length"),
    // RFC 9112 §6.1.
    ("Transfer-Encoding: identity", "bad_transfer_encoding"),
    ("Transfer-Encoding: gzip, chunked", "bad_transfer_encoding"),
    ("Transfer-Encoding: chunked, gzip", "bad_transfer_encoding"),
    ("Transfer-Encoding: chunked, chunked", "bad_transfer_encoding"),
    ("Transfer-Encoding: chunked, identity", "bad_transfer_encoding"),
    ("Transfer-Encoding: chunked,", "bad_transfer_encoding"),
    ("Transfer-Encoding: ,chunked", "bad_transfer_encoding"),
    ("Transfer-Encoding: chunked;a=b", "bad_transfer_encoding"),
    ("Transfer-Encoding: xchunked", "bad_transfer_encoding"),
    ("Transfer-Encoding: chunkedx", "bad_transfer_encoding"),
    ("Transfer-Encoding: \"chunked\"", "bad_transfer_encoding"),
    ("Transfer-Encoding: 'chunked'", "bad_transfer_encoding"),
    ("Transfer-Encoding: chun ked", "bad_transfer_encoding"),
    ("Transfer-Encoding: chunked\u{a0}", "bad_transfer_encoding"),
    ("Transfer-Encoding: gzip", "bad_transfer_encoding"),
    ("Transfer-Encoding:", "bad_transfer_encoding"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "several_transfer_encodings"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "several_transfer_encodings"),
    ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "several_transfer_encodings"),
    ("Transfer-Encoding:\r\ntransfer-encoding: chunked", "several_transfer_encodings"),
    // RFC 9112 §5.1: no space before the colon, names are tokens.
    ("Content-Length : 5", "bad_field_name"),
    ("Content-Length\t: 5", "bad_field_name"),
    ("Transfer-Encoding : chunked", "bad_field_name"),
    ("A : b", "bad_field_name"),
    (": b", "bad_field_name"),
    (":", "bad_field_name"),
    ("A", "bad_field_name"),
    ("A b: c", "bad_field_name"),
    ("A(b): c", "bad_field_name"),
    ("A/b: c", "bad_field_name"),
    ("A@b: c", "bad_field_name"),
    ("\"A\": c", "bad_field_name"),
    ("[A]: c", "bad_field_name"),
    ("{A}: c", "bad_field_name"),
    ("A=b: c", "bad_field_name"),
    ("A,b: c", "bad_field_name"),
    ("A;b: c", "bad_field_name"),
    ("A\\b: c", "bad_field_name"),
    ("A\0: c", "bad_field_name"),
    ("A\u{7f}: c", "bad_field_name"),
    ("A\u{e9}: c", "bad_field_name"),
    ("\u{e9}: c", "bad_field_name"),
    ("A\rB: c", "bad_field_name"),
    // RFC 9112 §5.2: folded lines.
    (" A: b", "bad_field_name"),
    ("\tA: b", "bad_field_name"),
    ("A: b\r\n c", "bad_field_name"),
    ("A: b\r\n\tc", "bad_field_name"),
    ("A:\r\n b", "bad_field_name"),
    ("A: b\r\n ", "bad_field_name"),
    ("Transfer-Encoding:\r\n chunked", "bad_field_name"),
    // RFC 9110 §5.5: no CR, LF or NUL in values; no other control byte either.
    ("A: b\0c", "bad_field_value"),
    ("A: \0", "bad_field_value"),
    ("A: b\rc", "bad_field_value"),
    ("A: b\r\rc", "bad_field_value"),
    ("A: b\rContent-Length: 5", "bad_field_value"),
    ("A: b\u{7f}", "bad_field_value"),
    ("A: \u{1}", "bad_field_value"),
    ("A: b\u{b}c", "bad_field_value"),
    ("A: b\u{c}c", "bad_field_value"),
    ("A: \u{1b}[2J", "bad_field_value"),
    ("Transfer-Encoding: \u{b}chunked", "bad_field_value"),
    // RFC 9112 §2.2: a bare LF is no line end.
    ("A: b\nC: d", "bad_line_end"),
    ("A: b\nTransfer-Encoding: chunked", "bad_line_end"),
    ("A:\nB: c", "bad_line_end"),
    ("A: b\n", "bad_line_end"),
    ("A: b\n\nGET / HTTP/1.1\r\nHost: a", "bad_line_end"),
    // RFC 9112 §3.2.
    ("Host: a", "several_hosts"),
    ("host: b", "several_hosts"),
    ("HOST:", "several_hosts"),
];

#[test]
fn doubtful_fields_are_refused() {
    for (lines, reason) in REFUSED_FIELDS {
        let error = parse(&with(lines)).unwrap_err();
        assert_eq!((error.reason(), error.status()), (*reason, 400), "{lines:?}");
    }
}

/// Whole heads, reason, status.
const REFUSED_HEADS: &[(&[u8], &str, u16)] = &[
    // RFC 9112 §3: one space between the words, no space before or after.
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "bad_line_end", 400),
    (b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", "bad_line_end", 400),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET /\r\n\r\n", "bad_request_line", 400),
    (b"GET\r\n\r\n", "bad_request_line", 400),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET:/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "bad_request_line", 400),
    (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET /\rHTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    // No HTTP at all is refused at once: a TLS hello, SSH is a word first.
    (b"\x16\x03\x01\x02\x00", "bad_request_line", 400),
    (b"SSH-2.0-OpenSSH\r\n", "bad_request_line", 400),
    (b"{\"a\":1}", "bad_request_line", 400),
    // RFC 9112 §2.3.
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "unsupported_version", 505),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "unsupported_version", 505),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", "unsupported_version", 505),
    (b"GET / HTTP/9.9\r\n", "unsupported_version", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "unsupported_version", 505),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", "bad_line_end", 400),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET / HTTP/11\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET / HTTP 1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET / XTTP/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    (b"GET / ICY/1.1\r\nHost: a\r\n\r\n", "bad_request_line", 400),
    // RFC 9112 §2.2: line ends, and at most one empty line before.
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "bad_line_end", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", "bad_line_end", 400),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", "bad_line_end", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", "bad_line_end", 400),
    (b"GET / HTTP/1.1\rHost: a\r\n\r\n", "bad_line_end", 400),
    (b"GET / HTTP/1.0\n\n", "bad_line_end", 400),
    (b"GET / HTTP/1.0\r\n\n", "bad_line_end", 400),
    (b"GET / HTTP/1.0\n\r\n", "bad_line_end", 400),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_line_end", 400),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_line_end", 400),
    (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_line_end", 400),
    (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_line_end", 400),
    (b"\r\n\r", "bad_line_end", 400),
    // A space before the first field.
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "bad_field_name", 400),
    // RFC 9112 §3.2: Host.
    (b"GET / HTTP/1.1\r\n\r\n", "no_host", 400),
    (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", "no_host", 400),
    (b"GET / HTTP/1.1\r\nHost_: a\r\n\r\n", "no_host", 400),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", "no_host", 400),
    (b"OPTIONS * HTTP/1.1\r\n\r\n", "no_host", 400),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "several_hosts", 400),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: a%00\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "bad_host", 400),
    (b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "bad_host", 400),
    (b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host", 400),
    (b"GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host", 400),
    // RFC 9112 §3.2.2: absolute form that disagrees.
    (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "host_disagrees", 400),
    (b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", "host_disagrees", 400),
    (b"GET http://a/ HTTP/1.1\r\nHost: a:81\r\n\r\n", "host_disagrees", 400),
    (b"GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", "host_disagrees", 400),
    (b"GET http://a.b/ HTTP/1.1\r\nHost: a\r\n\r\n", "host_disagrees", 400),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "host_disagrees", 400),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:80\r\n\r\n", "host_disagrees", 400),
    // RFC 9112 §3.2: none of the four forms.
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"GET \\a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "bad_target", 400),
    (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"GET http://a#b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host", 400),
    (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target", 400),
    // Paths without canonical form.
    (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "nul_in_path", 400),
    (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "bad_path", 400),
    (b"GET /% HTTP/1.1\r\nHost: a\r\n\r\n", "bad_path", 400),
    // RFC 9112 §6.1: HTTP/1.0 has no codings.
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http10", 400),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: a\r\n\r\n", "transfer_encoding_in_http10", 400),
    // RFC 9110 §10.1.1.
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: a\r\n\r\n", "unknown_expectation", 417),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: a 100-continue\r\n\r\n", "unknown_expectation", 417),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, a\r\n\r\n", "unknown_expectation", 417),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", "unknown_expectation", 417),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: a\r\n\r\n", "unknown_expectation", 417),
];

#[test]
fn doubtful_heads_are_refused() {
    for (input, reason, status) in REFUSED_HEADS {
        let error = match parse(input) {
            Err(error) => error,
            other => panic!("{}: {other:?}", input.escape_ascii()),
        };
        assert_eq!((error.reason(), error.status()), (*reason, *status), "{}", input.escape_ascii());
    }
}

#[test]
fn every_beginning_of_a_good_head_waits_for_more() {
    let head = b"\r\nPOST /a/../b?c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    for end in 0..head.len() {
        assert!(matches!(parse(&head[..end]), Ok(None)), "{}", head[..end].escape_ascii());
    }
    let more = [&head[..], b"hello"].concat();
    assert_eq!(accepted(&more).0.head_bytes, head.len());
}

#[test]
fn limits_are_exact_and_told_as_early_as_they_are_passed() {
    let of_length = |length: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n";
        format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "b".repeat(length - frame.len())).into_bytes()
    };
    assert!(parse(&of_length(16 << 10)).is_ok());
    assert_eq!(parse(&of_length((16 << 10) + 1)).unwrap_err(), RequestError::HeadTooLarge);
    assert!(matches!(parse(&of_length(20 << 10)[..(16 << 10) - 1]), Ok(None)));
    assert_eq!(parse(&of_length(20 << 10)[..16 << 10]).unwrap_err(), RequestError::HeadTooLarge);

    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "b".repeat(length - 1));
    assert!(parse(target(8 << 10).as_bytes()).is_ok());
    let long = target((8 << 10) + 1);
    assert_eq!(parse(long.as_bytes()).unwrap_err(), RequestError::TargetTooLong);
    assert_eq!(parse(&long.as_bytes()[..(8 << 10) + 5]).unwrap_err().status(), 414);
    assert!(matches!(parse(&long.as_bytes()[..(8 << 10) + 4]), Ok(None)));

    assert!(parse(&with(&vec!["A: b"; 99].join("\r\n"))).is_ok());
    let error = parse(&with(&vec!["A: b"; 100].join("\r\n"))).unwrap_err();
    assert_eq!((error, error.status()), (RequestError::TooManyFields, 431));
}

#[test]
fn names_with_underscore_are_dropped_unless_the_switch_is_off() {
    let input = with("X_Forwarded_For: 1\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n_: a\r\nA: b");
    let (start, head) = accepted(&input);
    assert_eq!(start.body, BodyFraming::None);
    let names: Vec<_> = head.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"Host"[..], b"A"]);

    let mut head = RequestHead::default();
    let limits = HeadLimits { drop_underscore_fields: false, ..LIMITS };
    let start = parse_request(&input, &limits, &mut head).unwrap().unwrap();
    assert_eq!((start.body, head.fields.len()), (BodyFraming::None, 6));
}

#[test]
fn the_switch_rejects_escaped_slashes() {
    let limits = HeadLimits { reject_escaped_slash: true, ..LIMITS };
    for target in ["/a%2fb", "/a%5Cb", "/a\\b"] {
        let input = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let error = parse_request(input.as_bytes(), &limits, &mut RequestHead::default()).unwrap_err();
        assert_eq!((error.reason(), error.status()), ("escaped_slash_in_path", 400), "{target}");
    }
}

#[test]
fn fields_keep_order_case_and_value_and_a_head_can_be_used_again() {
    let mut head = RequestHead::default();
    for _ in 0..2 {
        let input = with("x-B: 1\r\nX-b:  2 \r\nConnection: x-b");
        parse_request(&input, &LIMITS, &mut head).unwrap().unwrap();
        let fields: Vec<_> = head.fields.iter().collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"Host", b"a"), (b"x-B", b"1"), (b"X-b", b"2"), (b"Connection", b"x-b")];
        assert_eq!(fields, expected);
        assert_eq!(head.authority(), b"a");
    }
}
