//! Where a message ends: what its fields say of its body and of the connection (RFC 9112 §6, §9.3).

use thiserror::Error;

use crate::message::{Known, Version, lists};

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body, and none was announced (or none can follow, as after HEAD and 304).
    None,
    /// So many bytes, maybe 0, were announced by `Content-Length`.
    Length(u64),
    /// Chunks, up to the last one.
    Chunked,
    /// Everything up to the end of the connection; responses only.
    UntilClose,
}

impl BodyFraming {
    /// Whether a byte of body may follow.
    pub fn has_body(self) -> bool {
        !matches!(self, Self::None | Self::Length(0))
    }
}

/// Why it is in doubt where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramingError {
    /// `Content-Length` that is no plain decimal number below 2⁶⁴.
    #[error("Content-Length is no plain decimal number")]
    BadContentLength,
    /// `Content-Length` more than once, even with equal values.
    #[error("Content-Length is given more than once")]
    SeveralContentLengths,
    /// Both ways of framing at once (RFC 9112 §6.1).
    #[error("Content-Length is given together with Transfer-Encoding")]
    ContentLengthWithTransferEncoding,
    /// `Transfer-Encoding` that is not exactly `chunked`.
    #[error("Transfer-Encoding is not exactly 'chunked'")]
    BadTransferEncoding,
    /// `Transfer-Encoding` more than once.
    #[error("Transfer-Encoding is given more than once")]
    SeveralTransferEncodings,
    /// `Transfer-Encoding` in HTTP/1.0, which has none (RFC 9112 §6.1).
    #[error("Transfer-Encoding is given in HTTP/1.0")]
    TransferEncodingInHttp10,
}

impl FramingError {
    /// The machine-readable reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadContentLength => "bad_content_length",
            Self::SeveralContentLengths => "several_content_lengths",
            Self::ContentLengthWithTransferEncoding => "content_length_with_transfer_encoding",
            Self::BadTransferEncoding => "bad_transfer_encoding",
            Self::SeveralTransferEncodings => "several_transfer_encodings",
            Self::TransferEncodingInHttp10 => "transfer_encoding_in_http10",
        }
    }
}

/// What the fields of one head say of framing, gathered as they are read.
#[derive(Default)]
pub(super) struct Framing<'a> {
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    error: Option<FramingError>,
    close: bool,
    keep_alive: bool,
}

impl<'a> Framing<'a> {
    /// Looks at a field.
    pub(super) fn see(&mut self, known: Known, value: &'a [u8]) {
        match known {
            Known::ContentLength => {
                let before = self.length.replace(value);
                self.error = self.error.or(before.map(|_| FramingError::SeveralContentLengths));
            }
            Known::TransferEncoding => {
                let before = self.coding.replace(value);
                self.error = self.error.or(before.map(|_| FramingError::SeveralTransferEncodings));
            }
            Known::Connection => {
                self.close |= lists(value, b"close");
                self.keep_alive |= lists(value, b"keep-alive");
            }
            _ => {}
        }
    }

    /// The framing that was announced; [`BodyFraming::None`] if there was none.
    pub(super) fn body(&self, version: Version) -> Result<BodyFraming, FramingError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match (self.length, self.coding) {
            (None, None) => Ok(BodyFraming::None),
            (Some(length), None) => parse_length(length).map(BodyFraming::Length),
            (Some(_), Some(_)) => Err(FramingError::ContentLengthWithTransferEncoding),
            (None, Some(_)) if version == Version::Http10 => Err(FramingError::TransferEncodingInHttp10),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyFraming::Chunked),
            (None, Some(_)) => Err(FramingError::BadTransferEncoding),
        }
    }

    /// Whether the sender means to keep the connection (RFC 9112 §9.3).
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

/// The length that a `Content-Length` announces (RFC 9110 §8.6): digits and nothing else.
pub(crate) fn parse_length(value: &[u8]) -> Result<u64, FramingError> {
    let mut length = 0u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(FramingError::BadContentLength);
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(byte - b'0')))
            .ok_or(FramingError::BadContentLength)?;
    }
    if value.is_empty() { Err(FramingError::BadContentLength) } else { Ok(length) }
}
