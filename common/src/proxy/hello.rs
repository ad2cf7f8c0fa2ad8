//! Hello: how a client begins TLS, read whole before it is decided who goes on with it, and given back byte by byte.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::{LazyConfigAcceptor, server::StartHandshake};

use crate::http1::Socket;

/// Most bytes that are kept of what a client sends until its ClientHello is whole.
const MOST_KEPT: usize = 16 << 10;

/// A record with the fatal alert `unrecognized_name` (RFC 8446 §5.1 and §6.2).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The ClientHello of a connection, and the connection.
pub struct Hello {
    accepted: Accepted,
    socket: Kept,
}

impl Hello {
    /// Reads until a ClientHello is whole, in however many pieces and records it comes. What is none, or cannot be
    /// answered at all, is told to the client by an alert. With `keeps` the bytes can be had back.
    ///
    /// # Errors
    /// When the connection ends before, or begins with something else.
    pub async fn read(socket: Socket, keeps: bool) -> io::Result<Self> {
        let bytes = if keeps { Bytes::Kept(Vec::new()) } else { Bytes::Lost };
        let start = LazyConfigAcceptor::new(Acceptor::default(), Kept { socket, bytes }).await?;
        let StartHandshake { accepted, io, .. } = start;
        Ok(Self { accepted, socket: io })
    }

    /// The name in SNI in lower case; empty if there is none.
    pub fn server_name(&self) -> String {
        self.accepted.client_hello().server_name().unwrap_or_default().to_ascii_lowercase()
    }

    /// The connection as if nothing had been read of it.
    ///
    /// # Errors
    /// When more was read than is kept.
    pub fn give_back(self) -> io::Result<Socket> {
        let Kept { mut socket, bytes } = self.socket;
        let Bytes::Kept(bytes) = bytes else {
            let message = format!("the ClientHello is larger than {MOST_KEPT} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        };
        socket.put_back(&bytes);
        Ok(socket)
    }

    /// Tells the client that nobody here has the name that it asks for. What it is is an error, too.
    ///
    /// # Errors
    /// Always.
    pub async fn refuse<T>(mut self) -> io::Result<T> {
        self.socket.write_all(&UNRECOGNIZED_NAME).await?;
        self.socket.shutdown().await?;
        Err(io::Error::new(io::ErrorKind::NotFound, "no host has the name in SNI"))
    }

    /// The handshake that it begins, to be gone on with here.
    pub fn handshake(self) -> StartHandshake<Socket> {
        StartHandshake::from_parts(self.accepted, self.socket.socket)
    }
}

/// A connection whose bytes are kept as they are read.
struct Kept {
    socket: Socket,
    bytes: Bytes,
}

/// The bytes that were read.
enum Bytes {
    /// All of them.
    Kept(Vec<u8>),
    /// Nobody wants them, or they are too many.
    Lost,
}

impl Bytes {
    fn add(&mut self, more: &[u8]) {
        let Self::Kept(bytes) = self else { return };
        match bytes.len() + more.len() <= MOST_KEPT {
            true => bytes.extend_from_slice(more),
            false => *self = Self::Lost,
        }
    }
}

impl AsyncRead for Kept {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, out))?;
        this.bytes.add(&out.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Kept {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
