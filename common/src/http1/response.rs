//! Response heads from backends: as strict as towards clients, since a backend may be made to say anything.

use thiserror::Error;

use super::framing::{BodyFraming, Framing, FramingError};
use super::lines::{Lines, Refusal, Stop};
use super::request::{HeadLimits, MAX_FIELDS};
use crate::message::{Method, ResponseHead, Span};

/// What a response head says besides its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseStart {
    /// Bytes that the head took.
    pub head_bytes: usize,
    /// How the end of the body is told.
    pub body: BodyFraming,
    /// Whether the connection may carry another request once the body is read.
    pub keep_alive: bool,
}

/// Why a response head is refused. The connection to the backend is closed, and the client gets 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// Not a status line, or a status below 100.
    #[error("the status line is malformed")]
    BadStatusLine,
    /// A version other than 1.0 and 1.1.
    #[error("the HTTP version is not supported")]
    UnsupportedVersion,
    /// The head is larger than the limit.
    #[error("the response head is too large")]
    HeadTooLarge,
    /// More fields than the limit.
    #[error("the response has too many header fields")]
    TooManyFields,
    /// A bare CR or LF.
    #[error("a line of the head does not end with CRLF")]
    BadLineEnd,
    /// A name that is no token, a space before the colon, a folded line, or a line without colon.
    #[error("the name of a header field is malformed")]
    BadFieldName,
    /// A control byte in a value.
    #[error("the value of a header field holds a control byte")]
    BadFieldValue,
    /// It is in doubt where the response ends.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// An interim response (1xx) that announces a body (RFC 9112 §6.3).
    #[error("an interim response announces a body")]
    BodyOfInterim,
}

impl ResponseError {
    /// The status of the answer to the client.
    pub fn status(self) -> u16 {
        502
    }

    /// The machine-readable reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadStatusLine => "backend_bad_status_line",
            Self::UnsupportedVersion => "backend_unsupported_version",
            Self::HeadTooLarge => "backend_head_too_large",
            Self::TooManyFields => "backend_too_many_fields",
            Self::BadLineEnd => "backend_bad_line_end",
            Self::BadFieldName => "backend_bad_field_name",
            Self::BadFieldValue => "backend_bad_field_value",
            Self::Framing(_) => "backend_bad_framing",
            Self::BodyOfInterim => "backend_body_of_interim",
        }
    }
}

/// Reads a response head from the front of `input` into `head`, which is cleared first. `None` says that more
/// bytes are needed. `request` is the method that is being answered; it decides whether a body can follow.
///
/// After `101` the framing is [`BodyFraming::None`]: what follows is another protocol.
///
/// # Errors
/// When the head breaks a rule or a limit; as early as that is sure.
pub fn parse_response(
    input: &[u8],
    limits: &HeadLimits,
    request: Method,
    head: &mut ResponseHead,
) -> Result<Option<ResponseStart>, ResponseError> {
    let parsed = read_response(input, limits, request, head);
    if !matches!(parsed, Ok(Some(_))) {
        head.clear();
    }
    parsed
}

fn read_response(
    input: &[u8],
    limits: &HeadLimits,
    request: Method,
    head: &mut ResponseHead,
) -> Result<Option<ResponseStart>, ResponseError> {
    head.clear();
    // Whatever else comes first are bytes that nobody asked for, an empty line as well.
    if input.first().is_some_and(|first| *first != b'H') {
        return Err(ResponseError::BadStatusLine);
    }
    let mut lines = Lines::new(input);
    let read = read_lines(&mut lines, limits, head);
    let read = lines.within(limits.head_bytes, read, ResponseError::HeadTooLarge, refusal)?;
    let Some(Read { reason, framing }) = read else { return Ok(None) };
    let text = lines.text();
    head.fields.store(text);
    if reason.of(text).is_ascii() {
        head.place_reason(reason);
    }
    let (body, keep_alive) = body(&framing, head, request)?;
    Ok(Some(ResponseStart { head_bytes: text.len(), body, keep_alive }))
}

/// Framing and whether the connection can be used again (RFC 9112 §6.3).
fn body(
    framing: &Framing<'_>,
    head: &ResponseHead,
    request: Method,
) -> Result<(BodyFraming, bool), ResponseError> {
    let announced = framing.body(head.version)?;
    let keep_alive = framing.keep_alive(head.version);
    Ok(match head.status {
        100..=199 if announced.has_body() => return Err(ResponseError::BodyOfInterim),
        101 => (BodyFraming::None, false),
        100..=199 => (BodyFraming::None, keep_alive),
        // No body by rule; one that is announced nevertheless may well be sent, so the connection ends here.
        204 => (BodyFraming::None, keep_alive && !announced.has_body()),
        304 => (BodyFraming::None, keep_alive),
        _ if request == Method::Head => (BodyFraming::None, keep_alive),
        _ if announced == BodyFraming::None => (BodyFraming::UntilClose, false),
        _ => (announced, keep_alive),
    })
}

fn refusal(stop: Stop) -> ResponseError {
    match stop {
        Stop::FieldName => ResponseError::BadFieldName,
        Stop::FieldValue => ResponseError::BadFieldValue,
        Stop::LineEnd => ResponseError::BadLineEnd,
        Stop::Version => ResponseError::UnsupportedVersion,
        Stop::StartLine | Stop::Incomplete => ResponseError::BadStatusLine,
    }
}

/// What the lines of a head hold.
struct Read<'a> {
    reason: Span,
    framing: Framing<'a>,
}

/// Reads all lines and appends the fields to the head, whose text the caller stores.
fn read_lines<'a>(
    lines: &mut Lines<'a>,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<Read<'a>, Refusal<ResponseError>> {
    head.version = lines.version()?;
    let (status, reason) = lines.status()?;
    if status < 100 {
        return Err(Refusal::Error(ResponseError::BadStatusLine));
    }
    head.status = status;
    let (mut framing, mut room) = (Framing::default(), limits.fields.min(MAX_FIELDS));
    lines.fields(|line, value| {
        room = room.checked_sub(1).ok_or(ResponseError::TooManyFields)?;
        framing.see(line.known, value);
        head.fields.push_read(line);
        Ok(())
    })?;
    Ok(Read { reason, framing })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        head_bytes: 1 << 10,
        fields: 20,
        target_bytes: 0,
        drop_underscore_fields: true,
        reject_escaped_slash: false,
    };

    fn parse(input: &[u8], request: Method) -> Result<Option<(ResponseStart, ResponseHead)>, ResponseError> {
        let mut head = ResponseHead::default();
        let start = parse_response(input, &LIMITS, request, &mut head)?;
        Ok(start.map(|start| (start, head)))
    }

    #[test]
    fn status_fields_and_method_give_the_framing() {
        use BodyFraming::{Chunked, Length, None, UntilClose};
        use Method::{Get, Head};
        // Head without its final line end, method asked, status, body, keep-alive. RFC 9112 §6.3.
        let rows: &[(&str, Method, u16, BodyFraming, bool)] = &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Get, 200, Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", Get, 200, Length(0), true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", Get, 200, Chunked, true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding:CHUNKED\r\n", Get, 200, Chunked, true),
            ("HTTP/1.1 200 OK\r\n", Get, 200, UntilClose, false),
            ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", Get, 200, UntilClose, false),
            ("HTTP/1.1 200 \r\nContent-Length: 5\r\n", Get, 200, Length(5), true),
            ("HTTP/1.1 200\r\nContent-Length: 5\r\n", Get, 200, Length(5), true),
            ("HTTP/1.1 200 \u{e9}\r\nContent-Length: 5\r\n", Get, 200, Length(5), true),
            ("HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n", Get, 999, Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n", Get, 200, Length(5), false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", Get, 200, Length(5), false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n", Get, 200, Length(5), true),
            ("HTTP/1.0 200 OK\r\n", Get, 200, UntilClose, false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Head, 200, None, true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", Head, 200, None, true),
            ("HTTP/1.1 200 OK\r\n", Head, 200, None, true),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", Get, 304, None, true),
            ("HTTP/1.1 304 Not Modified\r\n", Get, 304, None, true),
            ("HTTP/1.1 204 No Content\r\n", Get, 204, None, true),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", Get, 204, None, true),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n", Get, 204, None, false),
            ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", Get, 204, None, false),
            ("HTTP/1.1 100 Continue\r\n", Get, 100, None, true),
            ("HTTP/1.1 103 Early Hints\r\nLink: a\r\n", Get, 103, None, true),
            ("HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: Upgrade\r\n", Get, 101, None, false),
            ("HTTP/1.1 200 OK\r\nX_A: b\r\nContent-Length: 1\r\n", Get, 200, Length(1), true),
        ];
        for (lines, method, status, body, keep_alive) in rows {
            let input = format!("{lines}\r\n");
            let (start, head) = parse(input.as_bytes(), *method).unwrap().unwrap();
            let expected = ResponseStart { head_bytes: input.len(), body: *body, keep_alive: *keep_alive };
            assert_eq!((start, head.status), (expected, *status), "{lines}");
            assert_eq!(head.fields.len(), lines.matches("\r\n").count() - 1, "{lines}");
            for end in 0..input.len() {
                let begin = &input.as_bytes()[..end];
                assert!(matches!(parse(begin, *method), Ok(Option::None)), "{}", begin.escape_ascii());
            }
        }
    }

    #[test]
    fn doubtful_responses_are_refused() {
        use FramingError::*;
        use ResponseError::*;
        let rows: &[(&[u8], ResponseError)] = &[
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing(ContentLengthWithTransferEncoding),
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                Framing(SeveralContentLengths),
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                Framing(SeveralContentLengths),
            ),
            (
                b"HTTP/1.1 304 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                Framing(SeveralContentLengths),
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", Framing(BadContentLength)),
            (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Framing(BadContentLength)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", Framing(BadContentLength)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Framing(BadContentLength)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n", Framing(BadContentLength)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", Framing(BadContentLength)),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Framing(BadTransferEncoding)),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Framing(BadTransferEncoding)),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Framing(BadTransferEncoding)),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", Framing(BadTransferEncoding)),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing(SeveralTransferEncodings),
            ),
            (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing(TransferEncodingInHttp10)),
            (b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", BodyOfInterim),
            (b"HTTP/1.1 101 Switching\r\nTransfer-Encoding: chunked\r\n\r\n", BodyOfInterim),
            (b"HTTP/1.1 099 Low\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1 000 Low\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1 20 OK\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1 2000 OK\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1 +20 OK\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1 abc OK\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1  200 OK\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1 200OK\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1 200 O\0K\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1 200 O\rK\r\n\r\n", BadStatusLine),
            (b"HTTP/1.1\t200 OK\r\n\r\n", UnsupportedVersion),
            (b"HTTP/2.0 200 OK\r\n\r\n", UnsupportedVersion),
            (b"HTTP/1.2 200 OK\r\n\r\n", UnsupportedVersion),
            (b"HTTX/1.1 200 OK\r\n\r\n", UnsupportedVersion),
            (b"ICY 200 OK\r\n\r\n", BadStatusLine),
            (b"hello", BadStatusLine),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", BadStatusLine),
            (b"\nHTTP/1.1 200 OK\r\n\r\n", BadStatusLine),
            (b" HTTP/1.1 200 OK\r\n\r\n", BadStatusLine),
            (b"\x15\x03\x01", BadStatusLine),
            (b"HTTP/1.1 200 OK\nA: b\r\n\r\n", BadLineEnd),
            (b"HTTP/1.1 200 OK\n\n", BadLineEnd),
            (b"HTTP/1.1 200\n\n", BadLineEnd),
            (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", BadLineEnd),
            (b"HTTP/1.1 200 OK\r\nA: b\nB: c\r\n\r\n", BadLineEnd),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n\n", BadLineEnd),
            (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", BadFieldName),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", BadFieldName),
            (b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", BadFieldName),
            (b"HTTP/1.1 200 OK\r\nA\r\n\r\n", BadFieldName),
            (b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", BadFieldName),
            (b"HTTP/1.1 200 OK\r\nA\xc3\xa9: b\r\n\r\n", BadFieldName),
            (b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", BadFieldValue),
            (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", BadFieldValue),
            (b"HTTP/1.1 200 OK\r\nA: b\x7f\r\n\r\n", BadFieldValue),
        ];
        for (input, expected) in rows {
            let error = parse(input, Method::Get).err();
            assert_eq!(error, Some(*expected), "{}", input.escape_ascii());
            assert_eq!(expected.status(), 502);
        }
    }

    #[test]
    fn limits_hold_for_backends_too() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(21));
        assert_eq!(parse(many.as_bytes(), Method::Get).err(), Some(ResponseError::TooManyFields));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(1 << 10));
        assert_eq!(parse(long.as_bytes(), Method::Get).err(), Some(ResponseError::HeadTooLarge));
        assert_eq!(parse(&long.as_bytes()[..1 << 10], Method::Get).err(), Some(ResponseError::HeadTooLarge));
        assert!(matches!(parse(&long.as_bytes()[..(1 << 10) - 1], Method::Get), Ok(None)));
    }

    #[test]
    fn the_reason_is_kept_if_it_is_plain() {
        let rows = [("200 Fine", "Fine"), ("200 ", ""), ("200", ""), ("200 \u{e9}", "")];
        for (line, reason) in rows {
            let input = format!("HTTP/1.1 {line}\r\n\r\n");
            let (_, head) = parse(input.as_bytes(), Method::Get).unwrap().unwrap();
            assert_eq!(head.reason(), reason.as_bytes(), "{line}");
        }
    }
}
