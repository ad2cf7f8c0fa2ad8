//! Streams: the bytes of a connection, plain or under TLS, with those read ahead put back in front.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{client, server};

/// A TCP connection, maybe with bytes in front that were read ahead of who reads now.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    ahead: Vec<u8>,
}

/// A connection to a client or to an endpoint.
#[derive(Debug)]
pub enum Stream {
    /// Plain text.
    Plain(Socket),
    /// TLS, we are the server.
    TlsServer(Box<server::TlsStream<Socket>>),
    /// TLS, we are the client.
    TlsClient(Box<client::TlsStream<Socket>>),
}

impl Socket {
    /// A socket from which nothing was read yet.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, ahead: Vec::new() }
    }

    /// Puts bytes in front of what is read next.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.ahead.splice(0..0, bytes.iter().copied());
    }

    /// The TCP connection underneath.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl Stream {
    /// The TCP connection underneath.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket.tcp(),
            Self::TlsServer(tls) => tls.get_ref().0.tcp(),
            Self::TlsClient(tls) => tls.get_ref().0.tcp(),
        }
    }

    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Whether nothing has arrived, not even an end, since the last read: so for an idle connection whether
    /// it can still be used. Costs no system call as a rule.
    pub fn is_quiet(&self) -> bool {
        if let Self::TlsClient(tls) = self
            && !tls.get_ref().1.wants_read()
        {
            // Decrypted bytes or the end of TLS are waiting already, whatever TCP says.
            return false;
        }
        let mut cx = Context::from_waker(Waker::noop());
        self.tcp().poll_read_ready(&mut cx).is_pending() || self.probe() == Probe::Nothing
    }

    /// Waits until the other side has closed or reset the connection. If it sends bytes instead, its end behind them
    /// is only seen when this is polled again.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.tcp().poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            match self.probe() {
                Probe::Nothing => {}
                Probe::Bytes => return Poll::Pending,
                Probe::Closed => return Poll::Ready(()),
            }
        }
    }

    /// Whether the other side has ended its half, though bytes of it still wait to be read: the end of TLS, or another
    /// request.
    fn has_hung_up(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut looked_at = [PollFd::new(self.tcp(), PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut looked_at, Some(&now)).is_ok_and(|count| count > 0)
    }

    fn probe(&self) -> Probe {
        use std::os::fd::AsFd;
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let peek = || socket2::SockRef::from(&self.tcp().as_fd()).peek(&mut byte);
        match self.tcp().try_io(tokio::io::Interest::READABLE, peek) {
            Ok(0) => Probe::Closed,
            Ok(_) if self.has_hung_up() => Probe::Closed,
            Ok(_) => Probe::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Probe::Nothing,
            Err(_) => Probe::Closed,
        }
    }
}

#[derive(PartialEq)]
enum Probe {
    Nothing,
    Bytes,
    Closed,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.tcp).poll_read(cx, out);
        }
        let count = self.ahead.len().min(out.remaining());
        out.put_slice(&self.ahead[..count]);
        self.ahead.drain(..count);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, out),
            Self::TlsServer(tls) => Pin::new(tls).poll_read(cx, out),
            Self::TlsClient(tls) => Pin::new(tls).poll_read(cx, out),
        }
    }
}

macro_rules! delegate_write {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Plain($inner) => $call,
            Self::TlsServer($inner) => $call,
            Self::TlsClient($inner) => $call,
        }
    };
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate_write!(self, inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate_write!(self, inner => Pin::new(inner).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate_write!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate_write!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
