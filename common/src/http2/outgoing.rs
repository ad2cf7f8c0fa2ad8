//! Outgoing: a body that is being sent over HTTP/2, to a client or to a backend, no faster than its window opens.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;

/// Largest first piece of a request that goes without a look at the window.
const FIRST_BYTES: usize = 16 << 10;

/// A body that is being sent over HTTP/2. Dropping it before its end breaks it off.
pub struct Http2Outgoing {
    /// `None` once nothing more may follow.
    stream: Option<SendStream<Bytes>>,
    /// Nothing was sent yet, and what is small need not wait.
    is_first: bool,
}

/// Whoever was to receive the body is gone.
#[derive(Debug, thiserror::Error)]
#[error("the body was broken off")]
pub struct BrokenOff;

impl Http2Outgoing {
    /// The body of a message whose head has been sent, maybe with the word that nothing follows.
    pub fn new(stream: SendStream<Bytes>, ended: bool) -> Self {
        Self { stream: (!ended).then_some(stream), is_first: false }
    }

    /// The same of a request. Its stream has no window before the connection has opened it; a small piece that is there
    /// already goes together with the head, and waits in its place if need be.
    pub fn request(stream: SendStream<Bytes>, ended: bool) -> Self {
        Self { stream: (!ended).then_some(stream), is_first: true }
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
        let stream = self.stream.as_mut().ok_or(BrokenOff)?;
        if self.is_first && wanted <= FIRST_BYTES {
            return Poll::Ready(Ok(wanted));
        }
        stream.reserve_capacity(wanted);
        loop {
            match stream.capacity() {
                0 => {}
                room => return Poll::Ready(Ok(room.min(wanted))),
            }
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(BrokenOff)),
            }
        }
    }

    /// Sends payload for which there is room, maybe as the last one.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn put(&mut self, data: Bytes, is_last: bool) -> Result<(), BrokenOff> {
        let stream = self.stream.as_mut().ok_or(BrokenOff)?;
        stream.send_data(data, is_last).map_err(|_| BrokenOff)?;
        self.is_first = false;
        if is_last {
            self.stream = None;
        }
        Ok(())
    }

    /// Ends the body, if its last payload has not done so.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), BrokenOff> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let sent = match trailers {
            Some(trailers) => stream.send_trailers(trailers),
            None => stream.send_data(Bytes::new(), true),
        };
        sent.map_err(|_| BrokenOff)
    }

    /// Waits until the peer has reset the stream, or is gone.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(cx).map(|_| ()),
            None => Poll::Pending,
        }
    }
}
