//! Replay: keeps the begin of a request body, so that the request can be sent again.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::body::Incoming;
use crate::{http1::BodyError, message::Fields};

/// A body of which everything read so far is kept, as long as it is not too much.
pub struct Replay<'a> {
    inner: Incoming<'a>,
    kept: Vec<u8>,
    /// How much of what is kept has been used by the present try.
    at: usize,
    keeping: bool,
    /// Largest body that is kept. A larger one cannot be sent again once some of it was read.
    most_bytes: usize,
}

impl<'a> Replay<'a> {
    /// Keeps what will be read of a body, up to this size, if its length, where that is known, leaves hope to send it
    /// again. Says whether it does.
    pub fn keep(body: &mut Incoming<'a>, length: Option<u64>, most_bytes: usize) -> bool {
        let expected = match length {
            None => 0,
            Some(length) if length <= most_bytes as u64 => length as usize,
            Some(_) => return false,
        };
        let inner = std::mem::replace(body, Incoming::Taken(Fields::default()));
        let kept = Vec::with_capacity(expected);
        *body = Incoming::Replay(Box::new(Self { inner, kept, at: 0, keeping: true, most_bytes }));
        true
    }

    /// A body that is there as a whole.
    pub fn of(kept: Vec<u8>) -> Self {
        let (inner, most_bytes) = (Incoming::Taken(Fields::default()), kept.len());
        Self { inner, kept, at: 0, keeping: true, most_bytes }
    }

    /// All of the body, if it has been read to its end and was kept.
    pub fn whole(&self) -> Option<&[u8]> {
        (self.keeping && self.inner.is_done()).then_some(&self.kept[..])
    }

    /// Goes back to the begin; false if that is not kept any more.
    pub fn rewind(&mut self) -> bool {
        if self.keeping {
            self.at = 0;
        }
        self.keeping
    }

    /// Largest body that is kept.
    pub fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// The body itself.
    pub fn inner(&self) -> &Incoming<'a> {
        &self.inner
    }

    /// See [`Incoming::poll_data`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        match self.is_behind() {
            true => Poll::Ready(Ok(true)),
            false => self.inner.poll_data(cx),
        }
    }

    /// See [`Incoming::data`].
    pub fn data(&self) -> &[u8] {
        match self.is_behind() {
            true => &self.kept[self.at..],
            false => self.inner.data(),
        }
    }

    /// See [`Incoming::consume`].
    pub fn consume(&mut self, count: usize) {
        if self.is_behind() {
            self.at += count;
            return;
        }
        if self.keeping {
            match self.kept.len() + count <= self.most_bytes {
                true => {
                    self.kept.extend_from_slice(&self.inner.data()[..count]);
                    self.at = self.kept.len();
                }
                false => (self.kept, self.at, self.keeping) = (Vec::new(), 0, false),
            }
        }
        self.inner.consume(count);
    }

    /// Takes payload that is there, up to so many bytes.
    pub fn take(&mut self, most_bytes: usize) -> Bytes {
        if !self.keeping && !self.is_behind() {
            return self.inner.take(most_bytes);
        }
        let arrived = self.data();
        let data = Bytes::copy_from_slice(&arrived[..arrived.len().min(most_bytes)]);
        self.consume(data.len());
        data
    }

    /// See [`Incoming::look_ahead`].
    pub(super) fn look_ahead(&mut self, cx: &mut Context<'_>) {
        self.inner.look_ahead(cx);
    }

    /// See [`Incoming::trailers`].
    pub fn trailers(&self) -> &Fields {
        self.inner.trailers()
    }

    /// See [`Incoming::is_done`].
    pub fn is_done(&self) -> bool {
        !self.is_behind() && self.inner.is_done()
    }

    /// Whether some of what is kept has still to be used.
    fn is_behind(&self) -> bool {
        self.at < self.kept.len()
    }
}
