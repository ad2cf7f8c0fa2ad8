//! Responder: how an answer starts, whichever protocol the client speaks.

use std::{
    cell::Cell,
    io,
    task::{Context, Poll},
};

use super::{body::Outgoing, exchange::Exchange};
use crate::{
    http1::{BodyFraming, BodyWriter, Persistence, Writer, encode_response},
    http2::{Handle, Http2Outgoing, Http2Tunnel},
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
    Http2(Http2Responder<'c>),
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
pub struct Http2Responder<'c> {
    /// Where its head goes.
    pub stream: &'c Http2Answer,
    /// What becomes a tunnel with a good answer to `CONNECT`.
    pub tunnel: Option<Http2Tunnel>,
}

/// The half of a stream of HTTP/2 that a client reads. Whoever serves the stream looks here whether the client still
/// waits for the answer.
pub struct Http2Answer {
    /// The stream itself.
    pub stream: Handle,
    /// Whether the head of the final answer has been sent.
    pub started: Cell<bool>,
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
            Self::Http2(responder) => responder.start(head, framing),
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
            Self::Http2(responder) => responder.stream.started.get(),
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
        let responder = match self {
            Self::Http1(responder) => responder,
            Self::Http2(responder) => return responder.interim(head),
            Self::Nobody | Self::Fields(_) => return Ok(()),
        };
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

    /// Waits until the client has gone. Over HTTP/2 whoever serves the stream sees that for himself.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(responder) => responder.writer.poll_closed(cx),
            Self::Http2(_) | Self::Nobody | Self::Fields(_) => Poll::Pending,
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

impl Http2Responder<'_> {
    fn start(
        &mut self,
        head: &ResponseHead,
        framing: BodyFraming,
    ) -> Result<Outgoing<'static>, ResponderError> {
        const LENGTH: KnownSet = KnownSet::of(&[Known::ContentLength]);
        // A length that is no length of this body is that of the answer to GET, but not with 204 (RFC 9110 §8.6).
        let is_own = framing != BodyFraming::None || head.status == 204;
        let left_out = if is_own { LENGTH } else { KnownSet::default() };
        let mut tunnel = self.tunnel.as_mut().filter(|_| (200..300).contains(&head.status));
        let is_empty = matches!(framing, BodyFraming::None | BodyFraming::Length(0)) && tunnel.is_none();
        self.stream.started.set(true);
        let sent = self.stream.stream.send_head(is_empty, |out| {
            out.status(head.status);
            out.fields(&head.fields, KnownSet::HOP_BY_HOP.with(left_out));
            if let BodyFraming::Length(length) = framing {
                out.length(length);
            }
        });
        sent.map_err(|_| ResponderError::Closed)?;
        let out = Http2Outgoing::new(self.stream.stream.clone(), is_empty);
        Ok(match tunnel.take() {
            None => Outgoing::Http2(out),
            Some(tunnel) => {
                tunnel.open(out);
                Outgoing::Nobody
            }
        })
    }

    fn interim(&self, head: &ResponseHead) -> Result<(), ResponderError> {
        let sent = self.stream.stream.send_head(false, |out| {
            out.status(head.status);
            // None has content (RFC 9110 §8.6).
            out.fields(&head.fields, KnownSet::HOP_BY_HOP.with(KnownSet::of(&[Known::ContentLength])));
        });
        sent.map_err(|_| ResponderError::Closed)
    }
}

/// Whether an answer with this status to this method has a body (RFC 9110 §6.4.1).
pub fn has_body(method: Method, status: u16) -> bool {
    method != Method::Head && !matches!(status, 100..=199 | 204 | 304)
}
