//! Chunked bodies against a model that has the whole input at once.

use selvedge_common::http1::{ChunkedDecoder, ChunkedStep};
use selvedge_common::message::Fields;

/// A whole body: data, number of trailers kept, bytes that it took.
type Body = (Vec<u8>, usize);

/// Compares a body given whole, byte by byte and in halves with the model.
pub fn check(input: &[u8]) {
    let expected = model(input);
    let half = input.len() / 2;
    for pieces in [vec![input], input.chunks(1).collect(), vec![&input[..half], &input[half..]]] {
        assert_eq!(read(&pieces), expected, "{}", input.escape_ascii());
    }
}

fn read(pieces: &[&[u8]]) -> Option<Body> {
    let (mut decoder, mut trailers) = (ChunkedDecoder::default(), Fields::default());
    let (mut data, mut taken) = (Vec::new(), 0);
    let mut buffer: Vec<u8> = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let (done, go_on) = match decoder.step(&buffer, &mut trailers).ok()? {
                ChunkedStep::Data { start, len } => {
                    data.extend_from_slice(&buffer[start..start + len]);
                    (start + len, true)
                }
                ChunkedStep::More { consumed } => (consumed, false),
                ChunkedStep::End { consumed } => return Some((data, taken + consumed)),
            };
            taken += done;
            buffer.drain(..done);
            if !go_on {
                break;
            }
        }
    }
    None
}

fn model(input: &[u8]) -> Option<Body> {
    let (mut data, mut rest, mut extensions) = (Vec::new(), input, 0);
    loop {
        let (line, after) = line(rest)?;
        let mut parts = line.splitn(2, |byte| *byte == b';');
        let size = std::str::from_utf8(parts.next()?).ok()?;
        if size.is_empty() || size.len() > 16 || !size.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let extension = parts.next().unwrap_or_default();
        extensions += extension.len();
        if extension.len() > 256 || extensions > 16 << 10 || !extension.iter().all(is_text) {
            return None;
        }
        let size = usize::try_from(u64::from_str_radix(size, 16).ok()?).ok()?;
        if size == 0 {
            let rest = trailers(after)?;
            return Some((data, input.len() - rest.len()));
        }
        data.extend_from_slice(after.get(..size)?);
        rest = after[size..].strip_prefix(b"\r\n")?;
    }
}

/// What follows the trailer section.
fn trailers(mut rest: &[u8]) -> Option<&[u8]> {
    let (mut bytes, mut fields) = (0, 0);
    loop {
        let (field, after) = line(rest)?;
        rest = after;
        if field.is_empty() {
            return Some(rest);
        }
        (bytes, fields) = (bytes + field.len(), fields + 1);
        let colon = field.iter().position(|byte| *byte == b':').filter(|colon| *colon > 0)?;
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_good = field[..colon].iter().all(is_token) && field[colon..].iter().all(is_text);
        if !is_good || bytes > 8 << 10 || fields > 64 {
            return None;
        }
    }
}

/// A line without its CRLF, and what follows; `None` if the first CR or LF is not a CRLF.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    Some((&text[..end], text[end..].strip_prefix(b"\r\n")?))
}

fn is_text(byte: &u8) -> bool {
    *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)
}
