//! A question of gRPC: `grpc.health.v1.Health/Check` with its two messages.

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request, header};

use super::{
    ask::{Fault, MOST_BYTES, Place, USER_AGENT},
    http2::{exchange, uri},
};
use crate::{
    http1::Stream,
    protobuf::{self, Value},
    upstream::Peer,
};

/// What is called.
const PATH: &str = "/grpc.health.v1.Health/Check";
/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;
/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// The call was answered (gRPC status `OK`).
const OK: u32 = 0;
/// There is no status (gRPC status `UNKNOWN`).
const UNKNOWN: u32 = 2;

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    /// There is not just one message.
    #[error("not exactly one message")]
    Count,
    /// It is compressed, which nobody allowed.
    #[error("a compressed message")]
    Compressed,
    /// It is larger than any answer.
    #[error("too large")]
    Size,
    /// It does not follow the rules of its encoding.
    #[error("not a HealthCheckResponse")]
    Encoding,
}

/// Asks whether a service serves; the empty name asks for the whole server.
pub(super) async fn ask(stream: Stream, peer: &Peer, service: &str) -> Result<(), Fault> {
    let place = Place::new(peer, PATH, None)?;
    let request = Request::post(uri(&place)?)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, USER_AGENT)
        .body(());
    let request = request.map_err(|_| Fault::Unsendable)?;
    let question = question(service);
    let serving = exchange(stream, async |sender| call(sender, request, question).await).await?;
    if serving == SERVING { Ok(()) } else { Err(Fault::NotServing(serving)) }
}

/// Makes the call; the status of the service.
async fn call(sender: SendRequest<Bytes>, request: Request<()>, question: Bytes) -> Result<u64, Fault> {
    let mut sender = sender.ready().await?;
    let (answer, mut body) = sender.send_request(request, false)?;
    body.send_data(question, true)?;
    let (head, mut body) = answer.await?.into_parts();
    if head.status != http::StatusCode::OK {
        return Err(Fault::Status(head.status.as_u16()));
    }
    let message = read(&mut body).await?;
    let trailers = body.trailers().await?;
    // Without a message everything may be in the head.
    match status(trailers.as_ref().unwrap_or(&head.headers)) {
        OK => Ok(serving(unframe(&message)?)?),
        other => Err(Fault::GrpcStatus(other)),
    }
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, Fault> {
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        message.extend_from_slice(&piece);
        if message.len() > MOST_BYTES {
            return Err(MessageError::Size.into());
        }
    }
    Ok(message)
}

/// The status of a call; one that is missing or misshapen is `UNKNOWN`.
fn status(fields: &HeaderMap) -> u32 {
    let text = fields.get("grpc-status").and_then(|value| value.to_str().ok());
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).unwrap_or(UNKNOWN)
}

/// The question with its prefix: `HealthCheckRequest { string service = 1; }`.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        protobuf::bytes(&mut message, 1, service.as_bytes());
    }
    protobuf::framed(&message)
}

/// The only message of a body.
fn unframe(body: &[u8]) -> Result<&[u8], MessageError> {
    let (prefix, message) = body.split_first_chunk::<PREFIX>().ok_or(MessageError::Count)?;
    let [compressed, length @ ..] = prefix;
    match (compressed, u32::from_be_bytes(*length) as usize == message.len()) {
        (0, true) => Ok(message),
        (0, false) => Err(MessageError::Count),
        _ => Err(MessageError::Compressed),
    }
}

/// The status in `HealthCheckResponse { ServingStatus status = 1; }`; the last one counts, none is 0, and fields that
/// are not known are passed over, as the encoding wants it.
fn serving(mut message: &[u8]) -> Result<u64, MessageError> {
    let mut status = 0;
    while !message.is_empty() {
        match protobuf::next(&mut message).ok_or(MessageError::Encoding)? {
            (1, Value::Number(number)) => status = number,
            (1, Value::Bytes(_)) => return Err(MessageError::Encoding),
            _ => {}
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_encoded() {
        assert_eq!(question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B")[..], *b"\0\0\0\0\x05\x0a\x03a.B");
        let long = question(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 3 + 300);
    }

    #[test]
    fn answers_are_decoded_and_malformed_ones_refused() {
        let bad = Err(MessageError::Encoding);
        let rows: [(&[u8], Result<u64, MessageError>); 22] = [
            (&[], Ok(0)),
            (&[0x08, 1], Ok(1)),
            (&[0x08, 2], Ok(2)),
            (&[0x08, 2, 0x08, 1], Ok(1)),
            (&[0x08, 0x81, 0x00], Ok(1)),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok(u64::MAX)),
            // Fields that are not known, of each kind.
            (&[0x10, 5, 0x08, 1], Ok(1)),
            (&[0x12, 2, 9, 9, 0x08, 1], Ok(1)),
            (&[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 1], Ok(1)),
            (&[0x15, 0, 0, 0, 0, 0x08, 1], Ok(1)),
            // Cut off.
            (&[0x08], bad),
            (&[0x08, 0x81], bad),
            (&[0x80], bad),
            (&[0x12, 3, 9, 9], bad),
            (&[0x15, 0, 0, 0], bad),
            (&[0x11, 0], bad),
            // The status is no number, there is no field 0, and groups are none of ours.
            (&[0x0a, 1, 1], bad),
            (&[0x00, 1], bad),
            (&[0x13], bad),
            (&[0x17], bad),
            // More than a number holds.
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], bad),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], bad),
        ];
        for (message, wanted) in rows {
            assert_eq!(serving(message), wanted, "{message:?}");
        }
    }

    #[test]
    fn a_body_holds_just_one_plain_message() {
        assert_eq!(unframe(&[0, 0, 0, 0, 0]), Ok(&[][..]));
        assert_eq!(unframe(&[0, 0, 0, 0, 2, 8, 1]), Ok(&[8, 1][..]));
        let rows: [(&[u8], MessageError); 5] = [
            (&[], MessageError::Count),
            (&[0, 0, 0, 0], MessageError::Count),
            (&[0, 0, 0, 0, 2, 8], MessageError::Count),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], MessageError::Count),
            (&[1, 0, 0, 0, 2, 8, 1], MessageError::Compressed),
        ];
        for (body, wanted) in rows {
            assert_eq!(unframe(body), Err(wanted), "{body:?}");
        }
    }

    #[test]
    fn a_status_that_is_missing_or_misshapen_is_unknown() {
        for (text, wanted) in
            [("0", 0), ("12", 12), ("", UNKNOWN), ("+0", UNKNOWN), ("ok", UNKNOWN), ("99999999999", UNKNOWN)]
        {
            let fields = HeaderMap::from_iter([("grpc-status".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(status(&fields), wanted, "{text:?}");
        }
        assert_eq!(status(&HeaderMap::new()), UNKNOWN);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            let _ = unframe(&bytes).map(serving);
            let _ = serving(&bytes);
        }
    }
}
