//! The HTTP/1.1 backend: the last part of a path says how long the answer is.

use std::{collections::BTreeMap, io, rc::Rc};

use bytes::Bytes;
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longest request head.
const HEAD: usize = 16 * 1024;
/// Piece in which bodies of requests are read.
const PIECE: usize = 64 * 1024;
/// How a body in chunks ends.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Sizes that can be asked for.
const SIZES: [(&str, usize); 3] = [("1k", 1024), ("64k", 64 * 1024), ("1m", 1024 * 1024)];

/// Answers, head and body in one piece, by the last part of the path.
#[derive(Clone)]
pub struct Answers(Rc<BTreeMap<&'static str, Bytes>>);

impl Answers {
    /// One for each size.
    pub fn new() -> Self {
        Self(Rc::new(SIZES.map(|(name, size)| (name, answer(size))).into()))
    }

    fn of(&self, head: &[u8]) -> Bytes {
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let answer = std::str::from_utf8(last).ok().and_then(|last| self.0.get(last));
        answer.cloned().unwrap_or(Bytes::from_static(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    }
}

fn answer(size: usize) -> Bytes {
    let mut text = format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    )
    .into_bytes();
    text.extend((0..size).map(|at| b'a' + (at % 26) as u8));
    text.into()
}

/// The body that follows a head.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    /// So many bytes.
    Length(usize),
    /// Until the last chunk.
    Chunks,
}

impl Body {
    fn of(head: &[u8]) -> Self {
        if field(head, b"transfer-encoding").is_some() {
            return Self::Chunks;
        }
        let length = field(head, b"content-length").and_then(|value| std::str::from_utf8(value).ok());
        Self::Length(length.and_then(|length| length.trim().parse().ok()).unwrap_or(0))
    }
}

/// The value of a header field; its name is given in lower case.
pub fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (given, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        given.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// Serves a connection until the other side closes it.
pub async fn serve(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut buffer = vec![0; HEAD];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        filled += count;
        if count == 0 {
            return Ok(());
        }
        let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
        let head = &buffer[..end];
        let (answer, body) = (answers.of(head), Body::of(head));
        skip(&mut stream, body, &buffer[end + 4..filled]).await?;
        filled = 0;
        stream.write_all(&answer).await?;
    }
}

/// Reads a body to its end. Requests do not follow each other before the answer, so nothing comes after it.
async fn skip(stream: &mut TcpStream, body: Body, read: &[u8]) -> io::Result<()> {
    let mut last = read[read.len().saturating_sub(LAST_CHUNK.len())..].to_vec();
    let mut count = read.len();
    let mut piece = Vec::new();
    loop {
        let is_whole = match body {
            Body::Length(length) => count >= length,
            Body::Chunks => last.ends_with(LAST_CHUNK),
        };
        if is_whole {
            return Ok(());
        }
        piece.resize(PIECE, 0);
        let more = stream.read(&mut piece).await?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        count += more;
        last.extend_from_slice(&piece[more.saturating_sub(LAST_CHUNK.len())..more]);
        last.drain(..last.len().saturating_sub(LAST_CHUNK.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_path_says_how_long_the_answer_is() {
        let answers = Answers::new();
        let long = answers.of(b"GET /route-00042/64k HTTP/1.1\r\nHost: x");
        assert!(long.len() > 64 * 1024 && long.len() < 65 * 1024, "{}", long.len());
        assert!(answers.of(b"GET /other HTTP/1.1").starts_with(b"HTTP/1.1 404"));
        assert!(answers.of(b"").starts_with(b"HTTP/1.1 404"));
    }

    #[test]
    fn a_head_says_what_body_follows() {
        assert_eq!(Body::of(b"GET / HTTP/1.1\r\nHost: x"), Body::Length(0));
        assert_eq!(Body::of(b"POST / HTTP/1.1\r\ncontent-LENGTH: 12\r\nHost: x"), Body::Length(12));
        assert_eq!(Body::of(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked"), Body::Chunks);
    }
}
