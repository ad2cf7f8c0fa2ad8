//! Heads and chunks as bytes for the wire.

use http::StatusCode;

use super::framing::BodyFraming;
use crate::message::{Fields, Known, KnownSet, RequestHead, ResponseHead};

/// The interim response that lets a client send its body (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is said of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open.
    KeepAlive,
    /// It is closed after this message.
    Close,
    /// It is to become, or becomes, another protocol; the `Upgrade` field is among the fields.
    Upgrade,
}

/// Appends a request head for a backend: the canonical path with the query, the fields in order, framing and
/// connection.
///
/// Fields that hold for one connection alone must be gone already; those that tell framing and connection are
/// never written from the fields, but from `body` and `connection`. `Content-Length: 0` is written if it was in
/// the fields or the method usually has a body (RFC 9110 §8.6).
pub fn encode_request(head: &RequestHead, body: BodyFraming, connection: Persistence, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method_name());
    out.push(b' ');
    out.extend_from_slice(head.path());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    head.fields.write(FRAMING, out);
    match body {
        BodyFraming::Length(0) | BodyFraming::None
            if !head.method.usually_has_body() && !head.fields.contains(Known::ContentLength) => {}
        BodyFraming::None => write_length(0, out),
        _ => write_framing(body, out),
    }
    match connection {
        Persistence::KeepAlive => {}
        Persistence::Close => out.extend_from_slice(b"connection: close\r\n"),
        Persistence::Upgrade => out.extend_from_slice(b"connection: Upgrade\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a response head for a client: status line with the head's reason or the usual one, the fields in
/// order, framing and connection.
///
/// - With [`BodyFraming::None`] a `Content-Length` among the fields is passed on, as it is the length that the
///   body would have had (HEAD, 304), but never with 1xx and 204. So a response that the proxy makes itself has
///   `Length(0)`.
/// - [`BodyFraming::UntilClose`] always says `close`.
/// - `http10`: the client spoke HTTP/1.0 and is told when the connection stays open; it cannot read chunks, so
///   the caller gives `UntilClose` in their place.
pub fn encode_response(
    head: &ResponseHead,
    body: BodyFraming,
    connection: Persistence,
    http10: bool,
    out: &mut Vec<u8>,
) {
    write_status_line(head, out);
    head.fields.write(FRAMING, out);
    let never_has_body = matches!(head.status, 100..=199 | 204);
    match body {
        _ if never_has_body => {}
        BodyFraming::None => {
            if let Some(length) = head.fields.get(Known::ContentLength) {
                write_field(b"content-length", length, out);
            }
        }
        _ => write_framing(body, out),
    }
    match connection {
        Persistence::Upgrade => out.extend_from_slice(b"connection: Upgrade\r\n"),
        _ if matches!(head.status, 100..=199) => {}
        Persistence::KeepAlive if body != BodyFraming::UntilClose => {
            if http10 {
                out.extend_from_slice(b"connection: keep-alive\r\n");
            }
        }
        _ => out.extend_from_slice(b"connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends what stands before the bytes of a chunk. The chunk must not be empty, and `\r\n` follows it.
pub fn chunk_prefix(length: usize, out: &mut Vec<u8>) {
    debug_assert!(length > 0, "an empty chunk ends the body");
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = length;
    while rest > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk with the trailer fields.
pub fn last_chunk(trailers: &Fields, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    trailers.write(FRAMING, out);
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(head: &ResponseHead, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status).as_bytes());
    out.push(b' ');
    match head.reason() {
        b"" => {
            let status = StatusCode::from_u16(head.status).ok();
            let reason = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
            out.extend_from_slice(reason.as_bytes());
        }
        reason => out.extend_from_slice(reason),
    }
    out.extend_from_slice(b"\r\n");
}

/// The fields that tell framing and connection, which are never written as they came.
const FRAMING: KnownSet = KnownSet::of(&[
    Known::ContentLength,
    Known::TransferEncoding,
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
]);

fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_framing(body: BodyFraming, out: &mut Vec<u8>) {
    match body {
        BodyFraming::Length(length) => write_length(length, out),
        BodyFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        BodyFraming::None | BodyFraming::UntilClose => {}
    }
}

fn write_length(length: u64, out: &mut Vec<u8>) {
    write_field(b"content-length", itoa::Buffer::new().format(length).as_bytes(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values.
    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn fields(pairs: Pairs<'_>) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn request(method: &str, pairs: &[(&str, &str)], body: BodyFraming, connection: Persistence) -> String {
        let mut head = RequestHead::default();
        head.fields = fields(pairs);
        head.set_method(method.as_bytes());
        head.set_origin(b"/a/../b?c", false).unwrap();
        let mut out = Vec::new();
        encode_request(&head, body, connection, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_have_the_canonical_path_and_framing_from_the_body_alone() {
        use BodyFraming::{Chunked, Length, None};
        let sent = [
            ("Host", "a"),
            ("Transfer-Encoding", "x"),
            ("connection", "y"),
            ("Keep-Alive", "z"),
            ("x-B", "1"),
        ];
        let length = [("Host", "a"), ("Content-Length", "7")];
        let rows: &[(&str, Pairs, BodyFraming, Persistence, &str)] = &[
            ("GET", &sent, None, Persistence::KeepAlive, "Host: a\r\nx-B: 1\r\n"),
            ("GET", &sent, None, Persistence::Close, "Host: a\r\nx-B: 1\r\nconnection: close\r\n"),
            ("GET", &sent, None, Persistence::Upgrade, "Host: a\r\nx-B: 1\r\nconnection: Upgrade\r\n"),
            ("POST", &length, Length(5), Persistence::KeepAlive, "Host: a\r\ncontent-length: 5\r\n"),
            ("POST", &length, Chunked, Persistence::KeepAlive, "Host: a\r\ntransfer-encoding: chunked\r\n"),
            ("POST", &[], Length(0), Persistence::KeepAlive, "content-length: 0\r\n"),
            ("PUT", &[], None, Persistence::KeepAlive, "content-length: 0\r\n"),
            ("GET", &[], Length(0), Persistence::KeepAlive, ""),
            ("GET", &length, Length(0), Persistence::KeepAlive, "Host: a\r\ncontent-length: 0\r\n"),
            ("REPORT", &[], Length(9), Persistence::KeepAlive, "content-length: 9\r\n"),
        ];
        for (method, pairs, body, connection, expected) in rows {
            let expected = format!("{method} /b?c HTTP/1.1\r\n{expected}\r\n");
            assert_eq!(request(method, pairs, *body, *connection), expected);
        }
    }

    fn response(status: u16, fields: Fields) -> ResponseHead {
        let mut head = ResponseHead::default();
        (head.status, head.fields) = (status, fields);
        head
    }

    #[test]
    fn responses_have_framing_and_connection_as_told() {
        use BodyFraming::{Chunked, Length, None, UntilClose};
        use Persistence::{Close, KeepAlive, Upgrade};
        let length = [("A", "b"), ("Content-Length", "7")];
        let rows: &[(u16, Pairs, BodyFraming, Persistence, bool, &str)] = &[
            (200, &length, Length(5), KeepAlive, false, "200 OK\r\nA: b\r\ncontent-length: 5\r\n"),
            (200, &length, Chunked, KeepAlive, false, "200 OK\r\nA: b\r\ntransfer-encoding: chunked\r\n"),
            (200, &[], Length(0), Close, false, "200 OK\r\ncontent-length: 0\r\nconnection: close\r\n"),
            (200, &[], UntilClose, KeepAlive, false, "200 OK\r\nconnection: close\r\n"),
            (200, &[], UntilClose, KeepAlive, true, "200 OK\r\nconnection: close\r\n"),
            (
                200,
                &[],
                Length(1),
                KeepAlive,
                true,
                "200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n",
            ),
            // HEAD and 304 tell the length that there would have been; 204 and 1xx never do.
            (200, &length, None, KeepAlive, false, "200 OK\r\nA: b\r\ncontent-length: 7\r\n"),
            (304, &length, None, KeepAlive, false, "304 Not Modified\r\nA: b\r\ncontent-length: 7\r\n"),
            (304, &[], None, KeepAlive, false, "304 Not Modified\r\n"),
            (204, &length, None, KeepAlive, false, "204 No Content\r\nA: b\r\n"),
            (204, &length, Length(7), KeepAlive, false, "204 No Content\r\nA: b\r\n"),
            (103, &length, None, Close, false, "103 Early Hints\r\nA: b\r\n"),
            (101, &[], None, Upgrade, false, "101 Switching Protocols\r\nconnection: Upgrade\r\n"),
            (799, &[], Length(0), KeepAlive, false, "799 \r\ncontent-length: 0\r\n"),
        ];
        for (status, pairs, body, connection, http10, expected) in rows {
            let head = response(*status, fields(pairs));
            let mut out = Vec::new();
            encode_response(&head, *body, *connection, *http10, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("HTTP/1.1 {expected}\r\n"));
        }
    }

    #[test]
    fn a_reason_of_the_backend_is_kept() {
        let mut head = response(200, Fields::default());
        head.set_reason(b"Fine");
        let mut out = Vec::new();
        encode_response(&head, BodyFraming::Length(0), Persistence::KeepAlive, false, &mut out);
        assert!(out.starts_with(b"HTTP/1.1 200 Fine\r\n"));
    }

    #[test]
    fn chunks_are_framed() {
        let mut out = Vec::new();
        chunk_prefix(1, &mut out);
        chunk_prefix(0x1a2b, &mut out);
        chunk_prefix(usize::MAX, &mut out);
        last_chunk(&fields(&[("A", "b"), ("Content-Length", "5")]), &mut out);
        assert_eq!(out, b"1\r\n1a2b\r\nffffffffffffffff\r\n0\r\nA: b\r\n\r\n");
    }
}
