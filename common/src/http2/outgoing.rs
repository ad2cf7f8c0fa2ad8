//! Outgoing: a body that is being sent over HTTP/2, to a client or to a backend, no faster than its window opens.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::Handle;
use crate::message::{Fields, Known, KnownSet};

/// A body that is being sent over HTTP/2. Dropping it before its end breaks it off.
pub struct Http2Outgoing {
    /// `None` once nothing more may follow.
    stream: Option<Handle>,
}

/// Whoever was to receive the body is gone.
#[derive(Debug, thiserror::Error)]
#[error("the body was broken off")]
pub struct BrokenOff;

impl Http2Outgoing {
    /// The body of a message whose head has been sent, maybe with the word that nothing follows.
    pub fn new(stream: Handle, ended: bool) -> Self {
        Self { stream: (!ended).then_some(stream) }
    }

    /// Waits until some payload may be sent, `wanted` bytes at best, and says how much.
    ///
    /// # Errors
    /// When the peer has reset the stream, or is gone.
    pub async fn room(&mut self, wanted: usize) -> Result<usize, BrokenOff> {
        poll_fn(|cx| self.poll_room(cx, wanted)).await
    }

    /// See [`Http2Outgoing::room`].
    ///
    /// # Errors
    /// Likewise.
    pub fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, BrokenOff>> {
        let stream = self.stream.as_ref().ok_or(BrokenOff)?;
        stream.poll_room(cx, wanted).map_err(|_| BrokenOff)
    }

    /// Sends payload for which there is room, maybe as the last one.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn put(&mut self, data: Bytes, is_last: bool) -> Result<(), BrokenOff> {
        let stream = self.stream.as_ref().ok_or(BrokenOff)?;
        stream.send_data(data, is_last).map_err(|_| BrokenOff)?;
        if is_last {
            self.stream = None;
        }
        Ok(())
    }

    /// Ends the body, if its last payload has not done so.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn finish(&mut self, trailers: &Fields) -> Result<(), BrokenOff> {
        // HTTP/2 has no room for some (RFC 9113 §8.2.2), and others say nothing where they stand.
        const LEFT_OUT: KnownSet =
            KnownSet::HOP_BY_HOP.with(KnownSet::of(&[Known::ContentLength, Known::Host]));
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let sent = match trailers.is_empty() {
            true => stream.send_data(Bytes::new(), true),
            false => stream.send_head(true, |head| head.fields(trailers, LEFT_OUT)),
        };
        sent.map_err(|_| BrokenOff)
    }

    /// Waits until the peer has reset the stream, or is gone.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.stream {
            Some(stream) => stream.poll_broken(cx).map(|_| ()),
            None => Poll::Pending,
        }
    }
}
