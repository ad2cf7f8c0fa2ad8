//! Request heads from clients: one pass of tokenising, one copy, and every check of hostile input.

mod target;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::http1::framing::{BodyFraming, Framing, FramingError};
use crate::http1::lines::{Lines, Refusal, Stop};
use crate::message::authority::AuthorityError;
use crate::message::path::PathError;
use crate::message::{Known, Method, RequestHead, Span, Version};
use crate::model::Limits;

/// Most fields that a head can have, whatever the limits say.
pub(super) const MAX_FIELDS: usize = 256;

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
    /// A bare LF, a CR elsewhere than in a value, or empty lines before the request line.
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
    let parsed = read_request(input, limits, head);
    if !matches!(parsed, Ok(Some(_))) {
        head.clear();
    }
    parsed
}

fn read_request(
    input: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<RequestStart>, RequestError> {
    head.clear();
    let Some(passed) = empty_line_before(input)? else { return Ok(None) };
    let mut lines = Lines::new(&input[passed..]);
    let read = read_lines(&mut lines, limits, head);
    let too_large = RequestError::HeadTooLarge;
    let read = lines.within(limits.head_bytes, read, too_large, |stop| refusal(stop, input))?;
    let Some(Read { method, target, noted }) = read else { return Ok(None) };
    let text = lines.text();
    head.fields.store(text);
    head.method = Method::known(method.of(text)).unwrap_or(Method::Other(method));
    let body = noted.framing.body(head.version)?;
    let keep_alive = noted.framing.keep_alive(head.version);
    let expect_continue = noted.expects_continue(head.version)? && body.has_body();
    target::place(text, target.of(text), noted.host, limits, head)?;
    Ok(Some(RequestStart { head_bytes: passed + text.len(), body, keep_alive, expect_continue }))
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

fn refusal(stop: Stop, input: &[u8]) -> RequestError {
    match stop {
        Stop::FieldName => RequestError::BadFieldName,
        Stop::FieldValue => RequestError::BadFieldValue,
        Stop::LineEnd => RequestError::BadLineEnd,
        Stop::Version if names_other_version(input) => RequestError::UnsupportedVersion,
        Stop::Version | Stop::StartLine | Stop::Incomplete => RequestError::BadRequestLine,
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

impl<'a> Noted<'a> {
    fn see(&mut self, known: Known, value: &'a [u8]) -> Result<(), RequestError> {
        match known {
            Known::Other => {}
            Known::Host if self.host.is_some() => return Err(RequestError::SeveralHosts),
            Known::Host => self.host = Some(value),
            Known::Expect if self.expect.is_some() => return Err(RequestError::UnknownExpectation),
            Known::Expect => self.expect = Some(value),
            known => self.framing.see(known, value),
        }
        Ok(())
    }

    /// Whether the client expects `100 Continue`; HTTP/1.0 cannot (RFC 9110 §10.1.1).
    fn expects_continue(&self, version: Version) -> Result<bool, RequestError> {
        match self.expect {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(version == Version::Http11),
            Some(_) => Err(RequestError::UnknownExpectation),
        }
    }
}

/// What the lines of a head hold.
struct Read<'a> {
    method: Span,
    target: Span,
    noted: Noted<'a>,
}

/// Reads all lines and appends the fields to the head, whose text the caller stores.
fn read_lines<'a>(
    lines: &mut Lines<'a>,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Read<'a>, Refusal<RequestError>> {
    let method = lines.method()?;
    let target = lines.target(limits.target_bytes)?.ok_or(Refusal::Error(RequestError::TargetTooLong))?;
    head.version = lines.version()?;
    lines.line_end(Stop::LineEnd)?;
    let (mut noted, mut room) = (Noted::default(), limits.fields.min(MAX_FIELDS));
    lines.fields(|line, value| {
        room = room.checked_sub(1).ok_or(RequestError::TooManyFields)?;
        if !(line.has_underscore && limits.drop_underscore_fields) {
            noted.see(line.known, value)?;
            head.fields.push_read(line);
        }
        Ok(())
    })?;
    Ok(Read { method, target, noted })
}
