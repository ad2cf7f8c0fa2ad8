//! The lines of a head taken apart byte for byte (RFC 9112 §2 to §5): nothing is passed over, folded or mended.

use crate::message::{
    FieldLine, Known, Span, Version,
    scan::{text_length, word_length},
    token::{self, Class},
};

/// Longest method; those of the IANA registry have at most 17 bytes.
const MAX_METHOD_BYTES: usize = 32;

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// So far all is well, but more bytes are needed.
    Incomplete,
    /// A line does not end with CRLF.
    LineEnd,
    /// The request line or the status line is malformed.
    StartLine,
    /// The version is neither 1.0 nor 1.1.
    Version,
    /// The name of a field is no token, or no colon follows it at once.
    FieldName,
    /// The value of a field holds a control byte.
    FieldValue,
}

/// Why a head is not read to its end: by how its lines are written, or by what they say.
pub(super) enum Refusal<E> {
    Stop(Stop),
    Error(E),
}

impl<E> From<Stop> for Refusal<E> {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Reads the lines of a head from the front of what has come so far.
pub(super) struct Lines<'a> {
    input: &'a [u8],
    /// What is not read yet: the end of the input.
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, rest: input }
    }

    /// Number of bytes that are read.
    pub(super) fn read(&self) -> usize {
        self.input.len() - self.rest.len()
    }

    /// What was read.
    pub(super) fn text(&self) -> &'a [u8] {
        &self.input[..self.read()]
    }

    /// What came of reading a whole head of at most so many bytes; `None` if more of them are needed.
    ///
    /// # Errors
    /// What stopped it, in the caller's words, or that it is too large.
    pub(super) fn within<T, E>(
        &self,
        most: usize,
        read: Result<T, Refusal<E>>,
        too_large: E,
        refusal: impl FnOnce(Stop) -> E,
    ) -> Result<Option<T>, E> {
        match read {
            Ok(read) if self.read() <= most => Ok(Some(read)),
            Err(Refusal::Stop(Stop::Incomplete)) if self.input.len() < most => Ok(None),
            Ok(_) | Err(Refusal::Stop(Stop::Incomplete)) => Err(too_large),
            Err(Refusal::Stop(stop)) => Err(refusal(stop)),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    /// Reads a method and the space after it (RFC 9112 §3.1).
    pub(super) fn method(&mut self) -> Result<Span, Stop> {
        let is_end = |byte: &u8| token::class(*byte) == Class::NoToken;
        match self.rest.iter().take(MAX_METHOD_BYTES + 1).position(is_end) {
            Some(length) if length > 0 && self.rest[length] == b' ' => Ok(self.word(length)),
            None if self.rest.len() <= MAX_METHOD_BYTES => Err(Stop::Incomplete),
            _ => Err(Stop::StartLine),
        }
    }

    /// Reads a target of the given size at most, and the space after it (RFC 9112 §3.2). `None` if it is longer.
    pub(super) fn target(&mut self, most: usize) -> Result<Option<Span>, Stop> {
        let length = word_length(self.rest);
        let (target, after) = self.rest.split_at(length);
        match after.first() {
            _ if length > most => Ok(None),
            None => Err(Stop::Incomplete),
            Some(b' ') if length > 0 && (target.is_ascii() || str::from_utf8(target).is_ok()) => {
                Ok(Some(self.word(length)))
            }
            Some(_) => Err(Stop::StartLine),
        }
    }

    /// Passes over a word of this length and the byte after it.
    fn word(&mut self, length: usize) -> Span {
        let start = self.read();
        self.rest = &self.rest[length + 1..];
        Span::new(start, start + length)
    }

    /// Reads a version (RFC 9112 §2.3).
    pub(super) fn version(&mut self) -> Result<Version, Stop> {
        let (version, after) = match self.rest.split_first_chunk() {
            Some((b"HTTP/1.1", after)) => (Version::Http11, after),
            Some((b"HTTP/1.0", after)) => (Version::Http10, after),
            None if b"HTTP/1.".starts_with(&self.rest[..self.rest.len().min(7)]) => {
                return Err(Stop::Incomplete);
            }
            _ => return Err(Stop::Version),
        };
        self.rest = after;
        Ok(version)
    }

    /// Reads what follows the version in a status line, and its line end (RFC 9112 §4): a space, three digits and,
    /// if another space follows, a reason phrase.
    pub(super) fn status(&mut self) -> Result<(u16, Span), Stop> {
        if self.next()? != b' ' {
            return Err(Stop::Version);
        }
        let mut status = 0;
        for _ in 0..3 {
            let digit = self.next()?;
            if !digit.is_ascii_digit() {
                return Err(Stop::StartLine);
            }
            status = status * 10 + u16::from(digit - b'0');
        }
        let mut reason = Span::default();
        if let [b' ', text @ ..] = self.rest {
            let (start, length) = (self.read() + 1, text_length(text));
            reason = Span::new(start, start + length);
            self.rest = &text[length..];
        }
        self.line_end(Stop::StartLine)?;
        Ok((status, reason))
    }

    fn next(&mut self) -> Result<u8, Stop> {
        let (first, after) = self.rest.split_first().ok_or(Stop::Incomplete)?;
        self.rest = after;
        Ok(*first)
    }

    /// Reads the end of a line; any other byte, or a CR alone, is what the caller says.
    #[inline]
    pub(super) fn line_end(&mut self, other: Stop) -> Result<(), Stop> {
        self.rest = after_line(self.rest, other)?;
        Ok(())
    }

    /// Reads all field lines and the empty line that ends the head (RFC 9112 §5); each is given to the closure.
    #[inline]
    pub(super) fn fields<E>(
        &mut self,
        mut take: impl FnMut(&FieldLine, &'a [u8]) -> Result<(), E>,
    ) -> Result<(), Refusal<E>> {
        let mut rest = self.rest;
        while !matches!(rest, [b'\r' | b'\n', ..]) {
            let start = self.input.len() - rest.len();
            let (known, length) = Known::read(rest);
            let (name, after) = rest.split_at(length);
            let has_underscore = known == Known::Other && has_underscore(name)?;
            let is_spaced = matches!(after, [b':', b' ', ..]);
            let value = match after {
                [b':', value @ ..] if length > 0 => without_white(value),
                [] => return Err(Stop::Incomplete.into()),
                _ => return Err(Stop::FieldName.into()),
            };
            let (value, after) = value.split_at(text_length(value));
            rest = after_line(after, Stop::FieldValue)?;
            let value_end = self.input.len() - after.len();
            let begin = value_end - value.len();
            let value = value.trim_ascii_end();
            let line = FieldLine {
                known,
                name: Span::new(start, start + length),
                value: Span::new(begin, begin + value.len()),
                is_plain: is_spaced && begin == start + length + 2 && begin + value.len() == value_end,
                has_underscore,
            };
            take(&line, value).map_err(Refusal::Error)?;
        }
        self.rest = rest;
        Ok(self.line_end(Stop::LineEnd)?)
    }
}

/// What follows the end of a line; if another byte is there, or a CR alone, the caller says what is wrong.
fn after_line(text: &[u8], other: Stop) -> Result<&[u8], Stop> {
    match text {
        [b'\r', b'\n', after @ ..] => Ok(after),
        [] | [b'\r'] => Err(Stop::Incomplete),
        [b'\n', ..] => Err(Stop::LineEnd),
        _ => Err(other),
    }
}

/// A text without the white space at its front (RFC 9110 §5.6.3).
fn without_white(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', after @ ..] = text {
        text = after;
    }
    text
}

/// Whether a name has an underscore, if it is a token; a known name is one, without an underscore.
fn has_underscore(name: &[u8]) -> Result<bool, Stop> {
    let classes = name.iter().fold(0, |classes, byte| classes | token::class(*byte) as u8);
    match classes & Class::NoToken as u8 {
        0 => Ok(classes != 0),
        _ => Err(Stop::FieldName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, value and whether the line is plain.
    type Found<'a> = (&'a [u8], &'a [u8], bool);

    fn fields(input: &[u8]) -> Result<Vec<Found<'_>>, Stop> {
        let (mut lines, mut found) = (Lines::new(input), Vec::new());
        let read = lines.fields::<()>(|line, value| {
            assert_eq!(line.value.of(input), value);
            found.push((line.name.of(input), value, line.is_plain));
            Ok(())
        });
        match read {
            Ok(()) => Ok(found),
            Err(Refusal::Stop(stop)) => Err(stop),
            Err(Refusal::Error(())) => unreachable!("the closure refuses nothing"),
        }
    }

    #[test]
    fn only_a_line_that_stands_as_it_is_written_is_plain() {
        let rows: [(&[u8], &[u8], bool); 8] = [
            (b"a: b\r\n\r\n", b"b", true),
            (b"a: b\tc d\r\n\r\n", b"b\tc d", true),
            (b"a: \r\n\r\n", b"", true),
            (b"a:b\r\n\r\n", b"b", false),
            (b"a:\tb\r\n\r\n", b"b", false),
            (b"a:  b\r\n\r\n", b"b", false),
            (b"a: b \r\n\r\n", b"b", false),
            (b"a:\r\n\r\n", b"", false),
        ];
        for (input, value, is_plain) in rows {
            assert_eq!(fields(input), Ok(vec![(&b"a"[..], value, is_plain)]), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn what_is_wrong_is_told_as_soon_as_it_is_sure() {
        let rows: [(&[u8], Stop); 12] = [
            (b"", Stop::Incomplete),
            (b"\r", Stop::Incomplete),
            (b"a-long-name-that-is-not-at-its-en", Stop::Incomplete),
            (b"a: b\r", Stop::Incomplete),
            (b"a: b\r\n", Stop::Incomplete),
            (b"a\x7f", Stop::FieldName),
            (b"a\r", Stop::FieldName),
            (b": b", Stop::FieldName),
            (b"a: b\rc", Stop::FieldValue),
            (b"a: b\0", Stop::FieldValue),
            (b"a: b\n", Stop::LineEnd),
            (b"\n", Stop::LineEnd),
        ];
        for (input, stop) in rows {
            assert_eq!(fields(input), Err(stop), "{}", input.escape_ascii());
        }
    }
}
