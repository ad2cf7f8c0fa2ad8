//! Responder: how an answer starts, whichever protocol the client speaks.

use std::{
    io,
    task::{Context, Poll},
};

use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::oneshot;

use super::{body::Outgoing, exchange::Exchange};
use crate::{
    http1::{BodyFraming, BodyWriter, Persistence, Writer, encode_response},
    http2::{BodySender, ChannelBody, channel},
    message::{Fields, Known, KnownSet, Method, ResponseHead, Version},
};

/// Why an answer could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    /// The client is gone or took nothing for too long.
    #[error("the client is gone")]
    Closed,
    /// Writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Where the answer to one request goes.
pub enum Responder<'c> {
    /// An HTTP/1.1 connection.
    Http1(Http1Responder<'c>),
    /// An HTTP/2 stream.
    Http2(Http2Responder),
    /// Nowhere: nobody wants to see it.
    Nobody,
    /// Nowhere but its fields, which we want to see ourselves.
    Fields(Fields),
}

/// An answer over HTTP/1.1.
pub struct Http1Responder<'c> {
    /// The half of the connection that writes.
    pub writer: Writer<'c>,
    /// Whether the connection goes on after this answer. May be cleared until the answer starts, and is cleared
    /// when the answer itself needs the connection to end.
    pub keep_alive: bool,
    /// Whether the head of the final answer has been started.
    pub started: bool,
    /// Whether only the end of the connection tells the client where the answer ends.
    pub until_close: bool,
}

impl<'c> Http1Responder<'c> {
    /// Answers here; `keep_alive` says whether the connection may go on behind the answer.
    pub fn new(writer: Writer<'c>, keep_alive: bool) -> Self {
        Self { writer, keep_alive, started: false, until_close: false }
    }
}

/// An answer over HTTP/2.
pub struct Http2Responder {
    /// Takes the head and the body's other end; `None` once the answer has started.
    pub head: Option<oneshot::Sender<Response<ChannelBody>>>,
    /// Gives the stream itself after a good answer to `CONNECT`.
    pub tunnel: Option<hyper::upgrade::OnUpgrade>,
}

impl<'c> Responder<'c> {
    /// Starts the answer: the head goes out at the latest with the first bytes of the body.
    ///
    /// `framing` is what the backend used; what the client gets follows from its version.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn start(
        &mut self,
        x: &Exchange<'_>,
        head: &ResponseHead,
        framing: BodyFraming,
    ) -> Result<Outgoing<'c>, ResponderError> {
        match self {
            Self::Http1(responder) => Ok(Outgoing::Http1(responder.start(x, head, framing))),
            Self::Http2(responder) => responder.start(head, framing).map(Outgoing::Http2),
            Self::Nobody => Ok(Outgoing::Nobody),
            Self::Fields(fields) => {
                *fields = head.fields.clone();
                Ok(Outgoing::Nobody)
            }
        }
    }

    /// Whether the answer has started, so that another one cannot be sent any more.
    pub fn has_started(&self) -> bool {
        match self {
            Self::Http1(responder) => responder.started,
            Self::Http2(responder) => responder.head.is_none(),
            Self::Nobody | Self::Fields(_) => false,
        }
    }

    /// The connection shall not go on after this answer; no effect on HTTP/2.
    pub fn close_after(&mut self) {
        if let Self::Http1(responder) = self {
            responder.keep_alive = false;
        }
    }

    /// Passes an interim answer on (RFC 9110 §15.2), to clients that know of them.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn interim(&mut self, x: &Exchange<'_>, head: &ResponseHead) -> Result<(), ResponderError> {
        let Self::Http1(responder) = self else { return Ok(()) };
        if x.head.version != Version::Http11 {
            return Ok(());
        }
        let mut text = x.worker().buffers.take_text();
        encode_response(head, BodyFraming::None, Persistence::KeepAlive, false, &mut text);
        let mut out = BodyWriter::new(responder.writer, text, BodyFraming::None);
        let flushed = x.worker().deadlines.within(x.write_stall(), out.flush()).await;
        flushed.map_err(|_| ResponderError::Closed)??;
        x.worker().buffers.give_text(out.into_text());
        Ok(())
    }

    /// Waits until the client has gone.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(responder) => responder.writer.poll_closed(cx),
            Self::Http2(responder) => match &mut responder.head {
                Some(head) => head.poll_closed(cx),
                None => Poll::Pending,
            },
            Self::Nobody | Self::Fields(_) => Poll::Pending,
        }
    }
}

impl<'c> Http1Responder<'c> {
    fn start(&mut self, x: &Exchange<'_>, head: &ResponseHead, framing: BodyFraming) -> BodyWriter<'c> {
        self.started = true;
        let http10 = x.head.version == Version::Http10;
        let framing = match framing {
            BodyFraming::Chunked | BodyFraming::UntilClose if http10 => BodyFraming::UntilClose,
            BodyFraming::UntilClose => BodyFraming::Chunked,
            other => other,
        };
        self.until_close = framing == BodyFraming::UntilClose;
        // The drain may have begun after the request did.
        if self.until_close || x.client.is_ending() {
            self.keep_alive = false;
        }
        let connection = match (head.status, self.keep_alive) {
            (101, _) => Persistence::Upgrade,
            (_, true) => Persistence::KeepAlive,
            (_, false) => Persistence::Close,
        };
        let mut text = x.worker().buffers.take_text();
        encode_response(head, framing, connection, http10, &mut text);
        BodyWriter::new(self.writer, text, framing)
    }
}

impl Http2Responder {
    fn start(&mut self, head: &ResponseHead, framing: BodyFraming) -> Result<BodySender, ResponderError> {
        let length = match framing {
            BodyFraming::None => Some(0),
            BodyFraming::Length(length) => Some(length),
            BodyFraming::Chunked | BodyFraming::UntilClose => None,
        };
        let (sender, body) = channel(length);
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let map = response.headers_mut();
        for (known, name, value) in head.fields.iter_known() {
            // A length that is no length of this body is that of the answer to GET, but not with 204
            // (RFC 9110 §8.6).
            let own = known == Known::ContentLength && (framing != BodyFraming::None || head.status == 204);
            if own || KnownSet::HOP_BY_HOP.contains(known) {
                continue;
            }
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        if let BodyFraming::Length(length) = framing {
            map.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let head = self.head.take().ok_or(ResponderError::Closed)?;
        head.send(response).map_err(|_| ResponderError::Closed)?;
        Ok(sender)
    }
}

/// Whether an answer with this status to this method has a body (RFC 9110 §6.4.1).
pub fn has_body(method: Method, status: u16) -> bool {
    method != Method::Head && !matches!(status, 100..=199 | 204 | 304)
}
