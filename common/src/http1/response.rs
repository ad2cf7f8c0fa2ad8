//! Response heads from backends: as strict as towards clients, since a backend may be made to say anything.

use std::mem::MaybeUninit;

use httparse::{Header, Status};
use thiserror::Error;

use super::framing::{BodyFraming, Framing, FramingError, lines_end_with_crlf, offset};
use super::request::{HeadLimits, MAX_FIELDS};
use crate::message::{Known, Method, ResponseHead, Span, Version};

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
    head.clear();
    // The tokeniser passes over empty lines, but between responses they are bytes that nobody asked for.
    match input.first() {
        None => return Ok(None),
        Some(b'H') => {}
        Some(_) => return Err(ResponseError::BadStatusLine),
    }
    let mut slots = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let slots = &mut slots[..limits.fields.min(MAX_FIELDS)];
    let mut tokens = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut tokens, input, slots);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if input.len() >= limits.head_bytes => return Err(ResponseError::HeadTooLarge),
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(refusal(error)),
    };
    let (Some(minor), Some(status), Some(reason)) = (tokens.version, tokens.code, tokens.reason) else {
        return Err(ResponseError::BadStatusLine);
    };
    if status < 100 {
        return Err(ResponseError::BadStatusLine);
    }
    if length > limits.head_bytes {
        return Err(ResponseError::HeadTooLarge);
    }
    let text = &input[..length];
    if !lines_end_with_crlf(text, tokens.headers) {
        return Err(ResponseError::BadLineEnd);
    }
    head.status = status;
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    head.fields.store(text);
    if !reason.is_empty() {
        head.place_reason(span(text, reason.as_bytes()));
    }
    let mut framing = Framing::default();
    for field in tokens.headers.iter() {
        let known = Known::of(field.name.as_bytes());
        framing.see(known, field.value);
        head.fields.push_known(known, span(text, field.name.as_bytes()), span(text, field.value));
    }
    let (body, keep_alive) = body(&framing, head, request)?;
    Ok(Some(ResponseStart { head_bytes: length, body, keep_alive }))
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

fn refusal(error: httparse::Error) -> ResponseError {
    match error {
        httparse::Error::HeaderName => ResponseError::BadFieldName,
        httparse::Error::HeaderValue => ResponseError::BadFieldValue,
        httparse::Error::NewLine => ResponseError::BadLineEnd,
        httparse::Error::TooManyHeaders => ResponseError::TooManyFields,
        httparse::Error::Version => ResponseError::UnsupportedVersion,
        _ => ResponseError::BadStatusLine,
    }
}

fn span(text: &[u8], part: &[u8]) -> Span {
    let start = offset(text, part);
    Span::new(start, start + part.len())
}
