//! A question over HTTP/1.1: a GET on a connection that ends with the head of the answer.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ask::{Fault, MOST_BYTES, Place, USER_AGENT, close};
use crate::{
    http1::{HeadLimits, ResponseError, Stream, parse_response},
    message::{Method, ResponseHead},
};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: MOST_BYTES,
    fields: 256,
    target_bytes: 0,
    drop_underscore_fields: false,
    reject_escaped_slash: false,
};

/// Asks for a place; the status of the final answer.
pub(super) async fn ask(mut stream: Stream, place: &Place<'_>) -> Result<u16, Fault> {
    let Place { path, host, is_tls: _ } = place;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut input = Vec::new();
    loop {
        if let Some(status) = final_status(&input)? {
            close(stream);
            return Ok(status);
        }
        if input.len() >= MOST_BYTES {
            return Err(ResponseError::HeadTooLarge.into());
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// The status of the first answer that is not an interim one; `None` if that has not arrived.
fn final_status(mut input: &[u8]) -> Result<Option<u16>, ResponseError> {
    let mut head = ResponseHead::default();
    while let Some(start) = parse_response(input, &LIMITS, Method::Get, &mut head)? {
        if !matches!(head.status, 100..=199) || head.status == 101 {
            return Ok(Some(head.status));
        }
        input = &input[start.head_bytes..];
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_status_counts_and_only_once_its_head_is_there() {
        let rows: [(&str, Option<Option<u16>>); 8] = [
            ("", Some(None)),
            ("HTTP/1.1 200 OK\r\n", Some(None)),
            ("HTTP/1.1 200 OK\r\n\r\nbody", Some(Some(200))),
            ("HTTP/1.0 503 No\r\n\r\n", Some(Some(503))),
            ("HTTP/1.1 103 Early Hints\r\n\r\n", Some(None)),
            ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 \r\n\r\n", Some(Some(204))),
            ("HTTP/1.1 101 Now\r\n\r\n", Some(Some(101))),
            ("SSH-2.0-x\r\n", None),
        ];
        for (input, wanted) in rows {
            assert_eq!(final_status(input.as_bytes()).ok(), wanted, "{input:?}");
        }
    }
}
