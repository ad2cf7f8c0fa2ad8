//! Chunked bodies (RFC 9112 §7.1) taken apart, byte-exact, from input that may be split anywhere.

use thiserror::Error;

use crate::message::{Fields, Known};

/// Most hexadecimal digits of a chunk size.
const MAX_SIZE_DIGITS: u8 = 16;
/// Longest extension of one chunk.
const MAX_EXTENSION_BYTES: u32 = 256;
/// Longest extensions of all chunks of a body together.
const MAX_EXTENSIONS_BYTES: u32 = 16 << 10;
/// Largest trailer section.
const MAX_TRAILER_BYTES: usize = 8 << 10;
/// Most trailer fields.
const MAX_TRAILER_FIELDS: u32 = 64;

/// Reads one chunked body.
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    extensions_bytes: u32,
    trailer_bytes: usize,
    trailer_fields: u32,
    /// The trailer line that is being read; stays empty in bodies without trailers.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size { digits: u8, size: u64 },
    Extension { size: u64, bytes: u32 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    End,
    Failed(ChunkError),
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkedStep {
    /// More input is needed.
    More {
        /// Bytes of the input that are done with.
        consumed: usize,
    },
    /// Bytes of the body, at `input[start..start + len]`; with them `start + len` bytes are done with.
    Data {
        /// Bytes of framing before the data.
        start: usize,
        /// Bytes of data, never 0.
        len: usize,
    },
    /// The body and its trailer section are complete.
    End {
        /// Bytes of the input that belonged to the body.
        consumed: usize,
    },
}

/// Why a chunked body is refused. No further byte of it is used, and the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// A chunk size that is not 1 to 16 hexadecimal digits.
    #[error("a chunk size is not 1 to 16 hexadecimal digits")]
    Size,
    /// A control byte in a chunk extension.
    #[error("a chunk extension holds a control byte")]
    Extension,
    /// Chunk extensions longer than the limit.
    #[error("the chunk extensions are too long")]
    ExtensionTooLong,
    /// A line or a chunk that does not end with CRLF.
    #[error("a chunk or a line of chunked framing does not end with CRLF")]
    LineEnd,
    /// A malformed trailer field.
    #[error("a trailer field is malformed")]
    Trailer,
    /// A trailer section larger than the limit.
    #[error("the trailer section is too large")]
    TrailerTooLarge,
}

impl ChunkError {
    /// The machine-readable reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Size => "bad_chunk_size",
            Self::Extension => "bad_chunk_extension",
            Self::ExtensionTooLong => "chunk_extension_too_long",
            Self::LineEnd => "bad_chunk_line_end",
            Self::Trailer => "bad_trailer",
            Self::TrailerTooLarge => "trailer_too_large",
        }
    }
}

impl ChunkedDecoder {
    /// Whether the last chunk and its trailer section have been read.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Reads on. The caller drops what is done with and gives the rest, with more, to the next call.
    ///
    /// Trailer fields are appended to `trailers`, without those that may not come in a trailer section.
    ///
    /// # Errors
    /// At the first byte that breaks the framing, and ever after.
    pub fn step(&mut self, input: &[u8], trailers: &mut Fields) -> Result<ChunkedStep, ChunkError> {
        for (at, &byte) in input.iter().enumerate() {
            match self.state {
                State::Data { left } => {
                    let available = input.len() - at;
                    let len = usize::try_from(left).map_or(available, |left| left.min(available));
                    let left = left - len as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    return Ok(ChunkedStep::Data { start: at, len });
                }
                State::End => return Ok(ChunkedStep::End { consumed: at }),
                State::Failed(error) => return Err(error),
                _ => self.read(byte, trailers).inspect_err(|error| self.state = State::Failed(*error))?,
            }
        }
        match self.state {
            State::End => Ok(ChunkedStep::End { consumed: input.len() }),
            State::Failed(error) => Err(error),
            _ => Ok(ChunkedStep::More { consumed: input.len() }),
        }
    }

    /// Reads a byte of framing.
    fn read(&mut self, byte: u8, trailers: &mut Fields) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::Size { digits, size }, _) => read_size(digits, size, byte)?,
            (State::Extension { size, .. }, b'\r') => State::SizeLf { size },
            (State::Extension { size, bytes }, _) => self.read_extension(size, bytes, byte)?,
            (State::SizeLf { size: 0 }, b'\n') => State::Trailer,
            (State::SizeLf { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::default(),
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::Trailer, b'\n') => return Err(ChunkError::LineEnd),
            (State::Trailer, _) => self.read_trailer(byte)?,
            (State::TrailerLf, b'\n') => self.end_trailer_line(trailers)?,
            _ => return Err(ChunkError::LineEnd),
        };
        Ok(())
    }

    fn read_extension(&mut self, size: u64, bytes: u32, byte: u8) -> Result<State, ChunkError> {
        match byte {
            b'\n' => return Err(ChunkError::LineEnd),
            b'\t' | b' '..=0x7e | 0x80.. => {}
            _ => return Err(ChunkError::Extension),
        }
        self.extensions_bytes += 1;
        if bytes >= MAX_EXTENSION_BYTES || self.extensions_bytes > MAX_EXTENSIONS_BYTES {
            return Err(ChunkError::ExtensionTooLong);
        }
        Ok(State::Extension { size, bytes: bytes + 1 })
    }

    fn read_trailer(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(ChunkError::TrailerTooLarge);
        }
        self.line.push(byte);
        Ok(State::Trailer)
    }

    fn end_trailer_line(&mut self, trailers: &mut Fields) -> Result<State, ChunkError> {
        if self.line.is_empty() {
            return Ok(State::End);
        }
        self.trailer_fields += 1;
        if self.trailer_fields > MAX_TRAILER_FIELDS {
            return Err(ChunkError::TrailerTooLarge);
        }
        let (name, value) = read_field(&self.line).ok_or(ChunkError::Trailer)?;
        if may_be_trailer(name) {
            trailers.push(name, value);
        }
        self.line.clear();
        Ok(State::Trailer)
    }
}

fn read_size(digits: u8, size: u64, byte: u8) -> Result<State, ChunkError> {
    match (char::from(byte).to_digit(16), byte) {
        (Some(digit), _) if digits < MAX_SIZE_DIGITS => {
            Ok(State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
        }
        (None, b'\r') if digits > 0 => Ok(State::SizeLf { size }),
        (None, b';') if digits > 0 => Ok(State::Extension { size, bytes: 0 }),
        (None, b'\n') => Err(ChunkError::LineEnd),
        _ => Err(ChunkError::Size),
    }
}

/// Takes a field line apart; `None` if it is malformed.
fn read_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at(memchr::memchr(b':', line)?);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=0x7e | 0x80..);
    let value = &value[1..];
    (!name.is_empty() && name.iter().all(is_token) && value.iter().all(is_text))
        .then(|| (name, value.trim_ascii()))
}

/// Whether a field may come after the body (RFC 9110 §6.5.1): not if it tells framing, routing, authentication,
/// how to read the content or how to answer. Neither if the proxy itself looks at that name in heads.
fn may_be_trailer(name: &[u8]) -> bool {
    let mut folded = [0; 32];
    let Some(folded) = folded.get_mut(..name.len()) else { return true };
    for (to, from) in folded.iter_mut().zip(name) {
        // Backends may take an underscore for a hyphen.
        *to = if *from == b'_' { b'-' } else { from.to_ascii_lowercase() };
    }
    let is_forbidden = folded.starts_with(b"if-")
        || folded.starts_with(b"x-forwarded-")
        || FORBIDDEN.iter().any(|name| *name == folded);
    !is_forbidden && Known::of(folded) == Known::Other
}

/// Names that may not come in a trailer section, besides those that [`Known`] lists.
const FORBIDDEN: &[&[u8]] = &[
    b"age",
    b"allow",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"expires",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"vary",
    b"warning",
    b"www-authenticate",
    b"x-original-url",
    b"x-rewrite-url",
];
