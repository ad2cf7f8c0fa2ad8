//! Tunnel: a stream of HTTP/2 as a stream of bytes, after `CONNECT` (RFC 9113 §8.5).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Handle, Http2Incoming, Http2Outgoing};
use crate::message::Fields;

/// Most bytes that are copied for one frame.
const PIECE_BYTES: usize = 16 << 10;

/// Bytes both ways on a stream; each way ends for itself.
pub struct Http2Tunnel {
    incoming: Http2Incoming,
    /// `None` before the answer that there is a tunnel.
    outgoing: Option<Http2Outgoing>,
}

impl Http2Tunnel {
    /// What may become a tunnel.
    pub fn new(stream: Handle) -> Self {
        Self { incoming: Http2Incoming::new(stream), outgoing: None }
    }

    /// The stream itself.
    pub fn stream(&self) -> &Handle {
        self.incoming.stream()
    }

    /// The answer has been sent; from here on bytes can be.
    pub fn open(&mut self, outgoing: Http2Outgoing) {
        self.outgoing = Some(outgoing);
    }

    fn outgoing(&mut self) -> io::Result<&mut Http2Outgoing> {
        self.outgoing.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

fn broken<E>(_: E) -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Http2Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.incoming.poll_data(cx)).map_err(broken)? {
            out.put_slice(&self.incoming.take(out.remaining()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let outgoing = self.outgoing()?;
        let room = ready!(outgoing.poll_room(cx, bytes.len().min(PIECE_BYTES))).map_err(broken)?;
        outgoing.put(Bytes::copy_from_slice(&bytes[..room]), false).map_err(broken)?;
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.outgoing()?.finish(&Fields::default()).map_err(broken))
    }
}
