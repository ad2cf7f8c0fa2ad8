//! Clients of HTTP/1.1: a request like a browser's, and an answer that is read to its end.

use std::{
    io::{self, ErrorKind::InvalidData},
    rc::Rc,
};

use bytes::Bytes;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Shape, Speech, Target, meter::Meter, stream::Stream};
use crate::backend::field;

/// Where an answer is read into, piece by piece.
const BUFFER: usize = 32 * 1024;

/// The bytes of a request, with its body.
pub fn request(target: &Target, shape: Shape) -> Vec<u8> {
    let method = if shape.upload > 0 { "POST" } else { "GET" };
    let mut text = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) bench/1.0\r\n\
         Accept: text/html,application/json;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\n\
         Accept-Language: en-US,en;q=0.5\r\nCookie: session=8d1f0c63b2a94e7580fc1d2ab3946e57; theme=dark\r\n",
        target.path, target.host
    );
    if shape.upload > 0 {
        text += &format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", shape.upload);
    }
    if shape.speech == Speech::Http1Anew {
        text += "Connection: close\r\n";
    }
    text += "\r\n";
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len() + shape.upload, b'x');
    bytes
}

/// Asks, one request after the other, until there are no more.
pub async fn ask(target: Rc<Target>, request: Bytes, meter: Rc<Meter>) {
    let mut buffer = vec![0; BUFFER];
    let mut kept: Option<Stream> = None;
    while let Some(begin) = meter.next().await {
        let asked = async {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => Stream::connect(&target).await?,
            };
            let stays = exchange(&mut stream, &request, &mut buffer).await?;
            Ok::<_, io::Error>(stays.then_some(stream))
        };
        match asked.await {
            Ok(stream) => {
                kept = stream;
                meter.answered(begin);
            }
            Err(error) => {
                meter.failed(error);
                // Others go on, and a proxy that is away does not turn this into a loop without an end.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Opens a connection, makes one request and leaves the connection open.
///
/// # Errors
/// If the request fails, or the connection does not stay open.
pub async fn open(target: &Target, shape: Shape) -> io::Result<Stream> {
    let mut stream = Stream::connect(target).await?;
    match exchange(&mut stream, &request(target, shape), &mut [0; 4096]).await? {
        true => Ok(stream),
        false => Err(io::Error::new(InvalidData, "the proxy closes the connection")),
    }
}

/// One request and its answer; says whether the connection stays open.
async fn exchange(stream: &mut Stream, request: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut filled = 0;
    let end = loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        filled += count;
        match memmem::find(&buffer[..filled], b"\r\n\r\n") {
            Some(end) => break end,
            None if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    };
    let head = Head::of(&buffer[..end])?;
    let mut read = filled - end - 4;
    while read < head.length {
        match stream.read(buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read += count,
        }
    }
    Ok(head.stays)
}

/// What counts in the head of an answer.
#[derive(Debug, PartialEq)]
struct Head {
    length: usize,
    stays: bool,
}

impl Head {
    /// Answers other than 200, and those without a length, are errors.
    fn of(head: &[u8]) -> io::Result<Self> {
        let told = || String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or(head));
        if head.get(9..12) != Some(b"200") {
            return Err(io::Error::new(InvalidData, format!("answered {}", told())));
        }
        let length = field(head, b"content-length").and_then(|value| std::str::from_utf8(value).ok());
        let length = length.and_then(|length| length.parse().ok());
        let length = length.ok_or_else(|| io::Error::new(InvalidData, "an answer without Content-Length"))?;
        let closes = field(head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        Ok(Self { length, stays: !closes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_is_and_whether_the_connection_stays() {
        let head = Head::of(b"HTTP/1.1 200 OK\r\ncontent-length: 12").unwrap();
        assert_eq!(head, Head { length: 12, stays: true });
        let head = Head::of(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close").unwrap();
        assert_eq!(head, Head { length: 0, stays: false });
    }

    #[test]
    fn an_answer_that_is_not_as_wanted_is_an_error() {
        let error = Head::of(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0").unwrap_err();
        assert_eq!(error.to_string(), "answered HTTP/1.1 503 Service Unavailable");
        assert!(Head::of(b"HTTP/1.1 200 OK\r\nServer: x").is_err());
        assert!(Head::of(b"").is_err());
    }

    #[test]
    fn a_request_has_its_body_and_says_when_it_is_the_last() {
        let target = Target {
            address: ([127, 0, 0, 1], 80).into(),
            host: "bench.test".into(),
            path: "/1k".into(),
            tls: None,
        };
        let shape = Shape { speech: Speech::Http1Anew, connections: 1, streams: 1, upload: 3, rate: None };
        let text = String::from_utf8(request(&target, shape)).unwrap();
        assert!(text.starts_with("POST /1k HTTP/1.1\r\nHost: bench.test\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 3\r\n"), "{text}");
        assert!(text.ends_with("\r\nConnection: close\r\n\r\nxxx"), "{text}");
    }
}
