//! Chunked bodies (RFC 9112 §7.1) taken apart, byte-exact, from input that may be split anywhere.

use thiserror::Error;

use crate::message::{Fields, Known, scan::text_length, token::is_token};

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
    let value = &value[1..];
    (is_token(name) && text_length(value) == value.len()).then(|| (name, value.trim_ascii()))
}

/// Whether a field may come after the body (RFC 9110 §6.5.1): not if it tells framing, routing, authentication,
/// how to read the content or how to answer. Neither if the proxy itself looks at that name in heads.
pub fn may_be_trailer(name: &[u8]) -> bool {
    let mut folded = [0; 32];
    let Some(folded) = folded.get_mut(..name.len()) else { return !is_forwarded(name) };
    for (to, from) in folded.iter_mut().zip(name) {
        // Backends may take an underscore for a hyphen.
        *to = if *from == b'_' { b'-' } else { from.to_ascii_lowercase() };
    }
    let is_forbidden =
        folded.starts_with(b"if-") || is_forwarded(folded) || FORBIDDEN.iter().any(|name| *name == folded);
    !is_forbidden && Known::of(folded) == Known::Other
}

/// Whether a name begins with `x-forwarded-`, in any case and with either dash.
fn is_forwarded(name: &[u8]) -> bool {
    let begins = b"x-forwarded-";
    name.len() >= begins.len()
        && name.iter().zip(begins).all(|(byte, begin)| match byte {
            b'_' => *begin == b'-',
            byte => byte.eq_ignore_ascii_case(begin),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body came to: data, trailers as `name: value` and the bytes behind it; `None` if incomplete.
    type Read = Result<Option<(Vec<u8>, Vec<String>, Vec<u8>)>, ChunkError>;

    /// Gives the decoder the pieces one after the other, each with what was left over before.
    fn read(pieces: &[&[u8]]) -> Read {
        let (mut decoder, mut trailers) = (ChunkedDecoder::default(), Fields::default());
        let (mut data, mut buffer) = (Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.step(&buffer, &mut trailers)? {
                    ChunkedStep::Data { start, len } => {
                        assert!(len > 0);
                        data.extend_from_slice(&buffer[start..start + len]);
                        buffer.drain(..start + len);
                    }
                    ChunkedStep::More { consumed } => {
                        buffer.drain(..consumed);
                        break;
                    }
                    ChunkedStep::End { consumed } => {
                        buffer.drain(..consumed);
                        break;
                    }
                }
            }
        }
        let shown =
            |(name, value): (&[u8], &[u8])| format!("{}: {}", name.escape_ascii(), value.escape_ascii());
        let trailers = trailers.iter().map(shown).collect();
        Ok(decoder.is_finished().then_some((data, trailers, buffer)))
    }

    const GOOD: &[(&[u8], &[u8])] = &[
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"0000000000000000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        (b"1\r\n\0\r\n0\r\n\r\n", b"\0"),
        // Extensions are passed over, RFC 9112 §7.1.1.
        (b"1;a\r\nx\r\n0\r\n\r\n", b"x"),
        (b"1;a=b;c=\"d e\"\r\nx\r\n0;last\r\n\r\n", b"x"),
        (b"1;\r\nx\r\n0\r\n\r\n", b"x"),
        (b"1; a = b\r\nx\r\n0\r\n\r\n", b"x"),
        (b"0\r\nA: b\r\n\r\n", b""),
        (b"1\r\nx\r\n0\r\nA: b\r\nC:d\r\n\r\n", b"x"),
    ];

    #[test]
    fn good_bodies_give_their_data() {
        for (body, data) in GOOD {
            let (read, _, left) = read(&[body]).unwrap().unwrap();
            assert_eq!((read.as_slice(), left.as_slice()), (*data, &b""[..]), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn what_follows_the_body_is_left() {
        let (data, _, left) = read(&[b"1\r\nx\r\n0\r\n\r\nGET /"]).unwrap().unwrap();
        assert_eq!((data.as_slice(), left.as_slice()), (&b"x"[..], &b"GET /"[..]));
    }

    /// Every split into three pieces, and every byte alone.
    #[test]
    fn a_split_anywhere_changes_nothing() {
        let bodies = GOOD.iter().map(|(body, _)| *body).chain(BAD.iter().map(|(body, _)| *body));
        for body in bodies {
            let whole = read(&[body]);
            let single: Vec<_> = body.chunks(1).collect();
            assert_eq!(read(&single), whole, "{}", body.escape_ascii());
            for first in 0..body.len() {
                for second in first..body.len() {
                    let pieces = [&body[..first], &body[first..second], &body[second..]];
                    assert_eq!(read(&pieces), whole, "{} {first} {second}", body.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn data_comes_in_pieces_as_large_as_there_are() {
        let mut body = b"10000\r\n".to_vec();
        body.resize(body.len() + 0x10000, b'x');
        let step = ChunkedDecoder::default().step(&body, &mut Fields::default());
        assert_eq!(step, Ok(ChunkedStep::Data { start: 7, len: 0x10000 }));
    }

    #[test]
    fn the_largest_size_is_no_overflow() {
        let step = ChunkedDecoder::default().step(b"ffffffffffffffff\r\nabc", &mut Fields::default());
        assert_eq!(step, Ok(ChunkedStep::Data { start: 18, len: 3 }));
    }

    /// Rows of the strictness table: chunk sizes, line ends, NUL.
    const BAD: &[(&[u8], ChunkError)] = &[
        (b"\r\n", ChunkError::Size),
        (b"\n", ChunkError::LineEnd),
        (b"+1\r\nx", ChunkError::Size),
        (b"-1\r\nx", ChunkError::Size),
        (b" 1\r\nx", ChunkError::Size),
        (b"1 \r\nx", ChunkError::Size),
        (b"1 ;a\r\nx", ChunkError::Size),
        (b"1\t\r\nx", ChunkError::Size),
        (b"0x1\r\nx", ChunkError::Size),
        (b"0X1\r\nx", ChunkError::Size),
        (b"1_0\r\nx", ChunkError::Size),
        (b"g\r\n", ChunkError::Size),
        (b";a\r\n", ChunkError::Size),
        (b"1,1\r\n", ChunkError::Size),
        (b"1.0\r\n", ChunkError::Size),
        (b"\x001\r\n", ChunkError::Size),
        (b"1\0\r\n", ChunkError::Size),
        (b"00000000000000000\r\n\r\n", ChunkError::Size),
        (b"00000000000000001\r\nx\r\n", ChunkError::Size),
        (b"fffffffffffffffff\r\n", ChunkError::Size),
        (b"1\nx\r\n0\r\n\r\n", ChunkError::LineEnd),
        (b"1\rx", ChunkError::LineEnd),
        (b"1\r\r\nx", ChunkError::LineEnd),
        (b"1;a\nx\r\n0\r\n\r\n", ChunkError::LineEnd),
        (b"1;a\rb\r\nx", ChunkError::LineEnd),
        (b"1;a\0\r\nx", ChunkError::Extension),
        (b"1;a\x7f\r\nx", ChunkError::Extension),
        (b"1;a\x0b\r\nx", ChunkError::Extension),
        (b"1\r\nxy\r\n", ChunkError::LineEnd),
        (b"1\r\nx\n0\r\n\r\n", ChunkError::LineEnd),
        (b"1\r\nx\r0\r\n\r\n", ChunkError::LineEnd),
        (b"1\r\nx0\r\n\r\n", ChunkError::LineEnd),
        (b"5\r\nhello0\r\n\r\n", ChunkError::LineEnd),
        (b"0\n\n", ChunkError::LineEnd),
        (b"0\r\n\n", ChunkError::LineEnd),
        (b"0\r\n\rX", ChunkError::LineEnd),
        (b"0\r\nA: b\n\r\n", ChunkError::LineEnd),
        (b"0\r\nA: b\rc\r\n\r\n", ChunkError::LineEnd),
        (b"0\r\nA\r\n\r\n", ChunkError::Trailer),
        (b"0\r\n: b\r\n\r\n", ChunkError::Trailer),
        (b"0\r\nA : b\r\n\r\n", ChunkError::Trailer),
        (b"0\r\n A: b\r\n\r\n", ChunkError::Trailer),
        (b"0\r\nA: b\r\n c\r\n\r\n", ChunkError::Trailer),
        (b"0\r\nA: b\0\r\n\r\n", ChunkError::Trailer),
        (b"0\r\nA: b\x7f\r\n\r\n", ChunkError::Trailer),
        (b"0\r\nA\xc3: b\r\n\r\n", ChunkError::Trailer),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", ChunkError::Trailer),
    ];

    #[test]
    fn doubtful_bodies_are_refused() {
        for (body, error) in BAD {
            assert_eq!(read(&[body]), Err(*error), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_refused_body_stays_refused() {
        let (mut decoder, mut trailers) = (ChunkedDecoder::default(), Fields::default());
        assert!(decoder.step(b"x", &mut trailers).is_err());
        assert_eq!(decoder.step(b"0\r\n\r\n", &mut trailers), Err(ChunkError::Size));
        assert_eq!(decoder.step(b"", &mut trailers), Err(ChunkError::Size));
    }

    #[test]
    fn every_beginning_of_a_body_waits_for_more() {
        for (body, _) in GOOD {
            for end in 0..body.len() {
                assert_eq!(read(&[&body[..end]]), Ok(None), "{}", body[..end].escape_ascii());
            }
        }
    }

    #[test]
    fn trailers_that_tell_framing_or_routing_are_dropped() {
        let body = b"0\r\ngrpc-status: 0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\n\
            Authorization: x\r\nX_Forwarded_For: 1\r\nx-forwarded-prefix: /\r\nTrailer: a\r\nSet-Cookie: a\r\n\
            Content_Length: 5\r\nCache-Control: no\r\nIf-Match: a\r\nDigest:\t a b \r\n\r\n";
        let (_, trailers, _) = read(&[body]).unwrap().unwrap();
        assert_eq!(trailers, ["grpc-status: 0", "Digest: a b"]);
    }

    #[test]
    fn extensions_and_trailers_have_limits() {
        let long = |length| [b"1;", "e".repeat(length).as_bytes(), b"\r\nx\r\n0\r\n\r\n"].concat();
        assert!(read(&[&long(256)]).is_ok());
        assert_eq!(read(&[&long(257)]), Err(ChunkError::ExtensionTooLong));
        let many = [b"1;", "e".repeat(200).as_bytes(), b"\r\nx\r\n"].concat().repeat(82);
        assert_eq!(read(&[&many]), Err(ChunkError::ExtensionTooLong));

        let fields = |number| [b"0\r\n", "a: b\r\n".repeat(number).as_bytes(), b"\r\n"].concat();
        assert!(read(&[&fields(64)]).unwrap().is_some());
        assert_eq!(read(&[&fields(65)]), Err(ChunkError::TrailerTooLarge));
        let large = [b"0\r\na:", "b".repeat(8 << 10).as_bytes()].concat();
        assert_eq!(read(&[&large]), Err(ChunkError::TrailerTooLarge));
    }
}
