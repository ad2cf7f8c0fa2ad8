//! A stream in memory whose other end is the test, and what both sides have said on it.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{seen::Seen, sent::Sent};

/// Both directions between a connection and its peer, which is the test.
pub struct Wire {
    input: VecDeque<u8>,
    is_ended: bool,
    /// Most bytes that go over at once.
    pub piece: usize,
    /// Bytes that the peer still takes.
    room: usize,
    wakers: Vec<Waker>,
    /// What the connection has read.
    pub sent: Sent,
    /// What the connection has written.
    pub seen: Seen,
}

impl Wire {
    /// A wire on which nothing was said.
    pub fn new(sent: Sent, seen: Seen) -> Self {
        Self {
            input: VecDeque::new(),
            is_ended: false,
            piece: usize::MAX,
            room: usize::MAX,
            wakers: Vec::new(),
            sent,
            seen,
        }
    }

    /// The peer sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.input.extend(bytes);
        self.wake();
    }

    /// The peer sends nothing more.
    pub fn end(&mut self) {
        self.is_ended = true;
        self.wake();
    }

    /// The peer takes so many bytes from now on.
    pub fn give_room(&mut self, bytes: usize) {
        self.room = bytes;
        self.wake();
    }

    /// Whether all that the peer has sent was read, and it would take more.
    pub fn is_idle(&self) -> bool {
        self.input.is_empty() && self.room > 0
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// The connection's end of a wire.
pub struct End(pub Rc<RefCell<Wire>>);

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        let count = wire.piece.min(wire.input.len()).min(out.remaining());
        if count == 0 && !wire.is_ended {
            wire.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes: Vec<u8> = wire.input.drain(..count).collect();
        wire.sent.take(&bytes);
        out.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        let count = wire.piece.min(wire.room).min(bytes.len());
        if count == 0 {
            wire.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        wire.room -= count;
        wire.seen.take(&bytes[..count], &mut wire.sent);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
