//! Incoming: a body that is being received over HTTP/2, from a client or from a backend.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::Handle;
use crate::{
    http1::{BodyError, chunked::may_be_trailer},
    message::Fields,
};

/// A body that is being received over HTTP/2. The peer may send as much more as was taken from the stream.
pub struct Http2Incoming {
    stream: Handle,
    current: Bytes,
    trailers: Fields,
    /// Nothing follows what is here.
    ended: bool,
}

impl Http2Incoming {
    /// The body that arrives on a stream.
    pub fn new(stream: Handle) -> Self {
        let ended = stream.is_end();
        Self { stream, current: Bytes::new(), trailers: Fields::default(), ended }
    }

    /// Waits for data: `true` when [`Http2Incoming::data`] has some, `false` at the end of the body.
    ///
    /// # Errors
    /// When the stream was reset before its end, whatever reason it was given, or the connection broke off.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        while self.current.is_empty() && !self.ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.current = data;
                    self.ended = self.stream.is_end();
                }
                Some(Err(_)) => return Poll::Ready(Err(BodyError::Reset)),
                None => {
                    self.trailers = self.stream.take_trailers().unwrap_or_default();
                    self.trailers.retain(|_, name, _| may_be_trailer(name));
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(!self.current.is_empty()))
    }

    /// Takes notice of the end if it has come already, so that it needs no frame of its own where the body is passed on.
    /// What else comes of it, [`Http2Incoming::poll_data`] says again.
    pub fn look_ahead(&mut self, cx: &mut Context<'_>) {
        let _ = self.poll_data(cx);
    }

    /// Payload that has arrived.
    pub fn data(&self) -> &[u8] {
        &self.current
    }

    /// Drops payload that has been used.
    pub fn consume(&mut self, count: usize) {
        drop(self.take(count));
    }

    /// Takes payload that has arrived, up to so many bytes.
    pub fn take(&mut self, most_bytes: usize) -> Bytes {
        match most_bytes < self.current.len() {
            true => self.current.split_to(most_bytes),
            false => std::mem::take(&mut self.current),
        }
    }

    /// The stream on which it arrives.
    pub(super) fn stream(&self) -> &Handle {
        &self.stream
    }

    /// Trailer fields; complete once the body has ended.
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Whether the body has been read to its end.
    pub fn is_done(&self) -> bool {
        self.ended && self.current.is_empty()
    }
}
