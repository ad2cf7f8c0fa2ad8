//! Request heads from clients: one pass of tokenising, one copy, and every check of hostile input.

mod target;
#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use httparse::{Header, Status};
use thiserror::Error;

use crate::http1::framing::{BodyFraming, Framing, FramingError, lines_end_with_crlf, offset};
use crate::message::authority::AuthorityError;
use crate::message::path::PathError;
use crate::message::{Known, Method, RequestHead, Span, Version};
use crate::model::Limits;

/// Most fields that a head can have, whatever the limits say.
pub(super) const MAX_FIELDS: usize = 256;
/// Longest method; those of the IANA registry have at most 17 bytes.
const MAX_METHOD_BYTES: usize = 32;

/// Limits of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Largest head in bytes, its final empty line included.
    pub head_bytes: usize,
    /// Most fields; more than 256 is 256.
    pub fields: usize,
    /// Largest request target.
    pub target_bytes: usize,
    /// Drop fields of requests whose name has an underscore.
    pub drop_underscore_fields: bool,
    /// Reject paths with an escaped slash or a backslash.
    pub reject_escaped_slash: bool,
}

impl From<&Limits> for HeadLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            head_bytes: limits.head_bytes as usize,
            fields: usize::from(limits.fields),
            target_bytes: limits.target_bytes as usize,
            drop_underscore_fields: limits.drop_underscore_fields,
            reject_escaped_slash: limits.reject_escaped_slash,
        }
    }
}

/// What a request head says besides its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestStart {
    /// Bytes that the head took.
    pub head_bytes: usize,
    /// How the end of the body is told; never [`BodyFraming::UntilClose`].
    pub body: BodyFraming,
    /// Whether the client means to send another request.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body.
    pub expect_continue: bool,
}

/// Why a request head is refused. The connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not a request line: bad method, bad spaces, missing version, or no HTTP at all.
    #[error("the request line is malformed")]
    BadRequestLine,
    /// A version other than 1.0 and 1.1.
    #[error("the HTTP version is not supported")]
    UnsupportedVersion,
    /// A target in none of the forms of RFC 9112 §3.2.
    #[error("the request target is malformed")]
    BadTarget,
    /// The path has no canonical form.
    #[error(transparent)]
    BadPath(#[from] PathError),
    /// The target is larger than the limit.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head is larger than the limit.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// More fields than the limit.
    #[error("the request has too many header fields")]
    TooManyFields,
    /// A bare CR or LF, or empty lines before the request line.
    #[error("a line of the head does not end with CRLF")]
    BadLineEnd,
    /// A name that is no token, a space before the colon, a folded line, or a line without colon.
    #[error("the name of a header field is malformed")]
    BadFieldName,
    /// A control byte in a value.
    #[error("the value of a header field holds a control byte")]
    BadFieldValue,
    /// HTTP/1.1 without `Host` (RFC 9112 §3.2).
    #[error("the request has no Host field")]
    NoHost,
    /// `Host` more than once.
    #[error("the request has more than one Host field")]
    SeveralHosts,
    /// `Host` or the authority of the target is malformed.
    #[error(transparent)]
    BadHost(#[from] AuthorityError),
    /// The target names another host or port than `Host`.
    #[error("the request target and the Host field disagree")]
    HostDisagrees,
    /// It is in doubt where the request ends.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// `Expect` is given more than once or is not exactly `100-continue`.
    #[error("the Expect field is not exactly '100-continue'")]
    UnknownExpectation,
}

impl RequestError {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::UnknownExpectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// The machine-readable reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadRequestLine => "bad_request_line",
            Self::UnsupportedVersion => "unsupported_version",
            Self::BadTarget => "bad_target",
            Self::BadPath(PathError::Nul) => "nul_in_path",
            Self::BadPath(PathError::EscapedSlash) => "escaped_slash_in_path",
            Self::BadPath(_) => "bad_path",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::BadLineEnd => "bad_line_end",
            Self::BadFieldName => "bad_field_name",
            Self::BadFieldValue => "bad_field_value",
            Self::NoHost => "no_host",
            Self::SeveralHosts => "several_hosts",
            Self::BadHost(_) => "bad_host",
            Self::HostDisagrees => "host_disagrees",
            Self::Framing(error) => error.reason(),
            Self::UnknownExpectation => "unknown_expectation",
        }
    }
}

/// Reads a request head from the front of `input` into `head`, which is cleared first. `None` says that more
/// bytes are needed. One empty line before the request line is passed over (RFC 9112 §2.2).
///
/// All fields of the client are kept, those that hold for this connection alone too, but for names with an
/// underscore if these are dropped.
///
/// # Errors
/// When the head breaks a rule or a limit; as early as that is sure.
pub fn parse_request(
    input: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<RequestStart>, RequestError> {
    head.clear();
    let Some(passed) = empty_line_before(input)? else { return Ok(None) };
    let input = &input[passed..];
    let mut slots = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let slots = &mut slots[..limits.fields.min(MAX_FIELDS)];
    let mut tokens = httparse::Request::new(&mut []);
    let length = match tokens.parse_with_uninit_headers(input, slots) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return check_partial(input, &tokens, limits).map(|()| None),
        Err(error) => return Err(refusal(error, input)),
    };
    let (Some(method), Some(target), Some(minor)) = (tokens.method, tokens.path, tokens.version) else {
        return Err(RequestError::BadRequestLine);
    };
    if method.len() > MAX_METHOD_BYTES {
        return Err(RequestError::BadRequestLine);
    }
    if target.len() > limits.target_bytes {
        return Err(RequestError::TargetTooLong);
    }
    if length > limits.head_bytes {
        return Err(RequestError::HeadTooLarge);
    }
    let text = &input[..length];
    if !lines_end_with_crlf(text, tokens.headers) {
        return Err(RequestError::BadLineEnd);
    }
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    head.fields.store(text);
    let name = method.as_bytes();
    head.method = Method::known(name).unwrap_or_else(|| Method::Other(span(text, name)));

    let noted = store_fields(text, tokens.headers, limits, head)?;
    let body = noted.framing.body(head.version)?;
    let keep_alive = noted.framing.keep_alive(head.version);
    let expect_continue = noted.expects_continue(head.version)? && body.has_body();
    target::place(text, target.as_bytes(), noted.host, limits, head)?;
    Ok(Some(RequestStart { head_bytes: passed + length, body, keep_alive, expect_continue }))
}

/// Length of the one empty line that may precede a request line; `None` if that is not yet to be seen.
fn empty_line_before(input: &[u8]) -> Result<Option<usize>, RequestError> {
    match input {
        [b'\r', b'\n', b'\r' | b'\n', ..] => Err(RequestError::BadLineEnd),
        [] | [b'\r'] | [b'\r', b'\n'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r' | b'\n', ..] => Err(RequestError::BadLineEnd),
        _ => Ok(Some(0)),
    }
}

/// Refuses an incomplete head that is beyond a limit already.
fn check_partial(
    input: &[u8],
    tokens: &httparse::Request<'_, '_>,
    limits: &HeadLimits,
) -> Result<(), RequestError> {
    let method = tokens.method.map_or(input.len(), str::len);
    if method > MAX_METHOD_BYTES {
        return Err(RequestError::BadRequestLine);
    }
    let target = match (tokens.method, tokens.path) {
        (None, _) => 0,
        (Some(_), None) => input.len() - method - 1,
        (Some(_), Some(target)) => target.len(),
    };
    if target > limits.target_bytes {
        return Err(RequestError::TargetTooLong);
    }
    if input.len() >= limits.head_bytes { Err(RequestError::HeadTooLarge) } else { Ok(()) }
}

fn refusal(error: httparse::Error, input: &[u8]) -> RequestError {
    match error {
        httparse::Error::HeaderName => RequestError::BadFieldName,
        httparse::Error::HeaderValue => RequestError::BadFieldValue,
        httparse::Error::NewLine => RequestError::BadLineEnd,
        httparse::Error::TooManyHeaders => RequestError::TooManyFields,
        httparse::Error::Version if names_other_version(input) => RequestError::UnsupportedVersion,
        _ => RequestError::BadRequestLine,
    }
}

/// Whether the third word of the request line is an HTTP version, or begins like one as far as it is there.
fn names_other_version(input: &[u8]) -> bool {
    let Some(version) = input.splitn(3, |byte| *byte == b' ').nth(2) else { return false };
    let begins = version.iter().take(8).zip(b"HTTP/d.d").all(|(byte, wanted)| match wanted {
        b'd' => byte.is_ascii_digit(),
        _ => byte == wanted,
    });
    begins && version.len() > 5
}

/// What is noted while the fields are stored.
#[derive(Default)]
struct Noted<'a> {
    framing: Framing<'a>,
    host: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
}

impl Noted<'_> {
    /// Whether the client expects `100 Continue`; HTTP/1.0 cannot (RFC 9110 §10.1.1).
    fn expects_continue(&self, version: Version) -> Result<bool, RequestError> {
        match self.expect {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(version == Version::Http11),
            Some(_) => Err(RequestError::UnknownExpectation),
        }
    }
}

/// Makes fields of the head's text, which is stored at the front of the buffer.
fn store_fields<'a>(
    text: &[u8],
    fields: &[Header<'a>],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Noted<'a>, RequestError> {
    let mut noted = Noted::default();
    let drops_underscores = limits.drop_underscore_fields && memchr::memchr(b'_', text).is_some();
    for field in fields {
        let name = field.name.as_bytes();
        let known = Known::of(name);
        match known {
            Known::Other if drops_underscores && name.contains(&b'_') => continue,
            Known::Host => {
                if noted.host.replace(field.value).is_some() {
                    return Err(RequestError::SeveralHosts);
                }
            }
            Known::Expect => {
                if noted.expect.replace(field.value).is_some() {
                    return Err(RequestError::UnknownExpectation);
                }
            }
            known => noted.framing.see(known, field.value),
        }
        head.fields.push_stored(known, span(text, name), span(text, field.value));
    }
    Ok(noted)
}

/// The place of a part of the head in the buffer of the fields, where the head comes first.
fn span(text: &[u8], part: &[u8]) -> Span {
    let start = offset(text, part);
    Span::new(start, start + part.len())
}
