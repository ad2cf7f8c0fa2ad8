//! One HTTP/1.1 connection: its stream and what was read ahead, lent out as a reading and a writing half.

use std::{
    cell::{Cell, Ref, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, net::TcpStream};

use super::{Appetite, BodyFraming, BodyState, Buffer, Buffers, ChunkError, Stream};
use crate::message::Fields;

/// A connection that speaks HTTP/1.1, as server or as client.
pub struct Connection {
    stream: RefCell<Stream>,
    input: Buffer,
    buffers: Rc<Buffers>,
    /// Bytes that were written since [`Connection::split`].
    written: Cell<u64>,
}

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection ended or broke within the body.
    #[error("the connection ended within the body: {0}")]
    Broken(io::ErrorKind),
    /// The chunked coding is malformed.
    #[error("malformed chunked body: {0}")]
    Chunk(#[from] ChunkError),
    /// An HTTP/2 stream was reset, or its content does not fit its Content-Length.
    #[error("the stream was reset")]
    Reset,
    /// It is larger than it may be.
    #[error("the body is too large")]
    TooLarge,
}

impl Connection {
    /// A connection on a fresh stream.
    pub fn new(stream: Stream, buffers: Rc<Buffers>) -> Self {
        Self { stream: RefCell::new(stream), input: Buffer::default(), buffers, written: Cell::new(0) }
    }

    /// What was received and not used yet.
    pub fn input(&self) -> &[u8] {
        self.input.data()
    }

    /// Drops bytes of [`Connection::input`] that have been used.
    pub fn consume(&mut self, count: usize) {
        self.input.consume(count, &self.buffers);
    }

    /// Receives more; 0 is the end of the stream.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.input.poll_fill(cx, &self.stream, &self.buffers, Appetite::Small)).await
    }

    /// Whether an idle connection can still be used: no end and no unexpected byte has arrived.
    pub fn is_reusable(&self) -> bool {
        self.input.is_empty() && self.stream.borrow().is_quiet()
    }

    /// The half that reads a body in this state, and the half that writes.
    pub fn split<'a>(&'a mut self, body: &'a mut BodyState) -> (BodyReader<'a>, Writer<'a>) {
        self.written.set(0);
        let reader = BodyReader {
            stream: &self.stream,
            input: &mut self.input,
            buffers: &self.buffers,
            body,
            greeting: b"",
        };
        (reader, Writer { stream: &self.stream, written: &self.written })
    }

    /// The half that writes.
    pub fn writer(&self) -> Writer<'_> {
        Writer { stream: &self.stream, written: &self.written }
    }

    /// Lets the other side see that what was sent is not complete, even where only the end of the connection
    /// would tell: dropping the connection resets it.
    pub fn reset_on_drop(&self) {
        let stream = self.stream.borrow();
        // If that fails, the connection is broken already.
        let _ = socket2::SockRef::from(stream.tcp()).set_linger(Some(std::time::Duration::ZERO));
    }

    /// The socket beneath.
    pub fn tcp(&self) -> Ref<'_, TcpStream> {
        Ref::map(self.stream.borrow(), Stream::tcp)
    }

    /// Gives the stream up, with what was read ahead and not used.
    pub fn into_parts(mut self) -> (Stream, Vec<u8>) {
        let ahead = self.input.data().to_vec();
        self.input.release(&self.buffers);
        (self.stream.into_inner(), ahead)
    }
}

/// The half of a connection that reads a body.
pub struct BodyReader<'a> {
    stream: &'a RefCell<Stream>,
    input: &'a mut Buffer,
    buffers: &'a Buffers,
    body: &'a mut BodyState,
    greeting: &'static [u8],
}

impl BodyReader<'_> {
    /// Asks for the body with `100 Continue` (RFC 9110 §10.1.1) when its first byte is wanted.
    pub fn greet(&mut self) {
        self.greeting = super::encode::CONTINUE;
    }

    /// Whether a `100 Continue` was to be sent and has not been.
    pub fn owes_greeting(&self) -> bool {
        !self.greeting.is_empty()
    }

    /// Whether the client waits for `100 Continue` before it sends any of the body.
    pub fn awaits_greeting(&self) -> bool {
        self.owes_greeting() && self.input.is_empty()
    }

    /// Waits for data: `true` when [`BodyReader::data`] has some, `false` at the end of the body.
    ///
    /// # Errors
    /// When the body breaks off or is malformed.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        loop {
            if let Some(result) = self.body.advance(self.input, self.buffers)? {
                return Poll::Ready(Ok(result));
            }
            ready!(self.poll_greet(cx)).map_err(|e| BodyError::Broken(e.kind()))?;
            let appetite = self.body.appetite();
            let count = ready!(self.input.poll_fill(cx, self.stream, self.buffers, appetite))
                .map_err(|e| BodyError::Broken(e.kind()))?;
            if count == 0 {
                self.body.end_of_stream()?;
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// Payload that has arrived.
    pub fn data(&self) -> &[u8] {
        &self.input.data()[..self.body.available()]
    }

    /// Drops payload that has been used.
    pub fn consume(&mut self, count: usize) {
        let count = self.body.used(count);
        self.input.consume(count, self.buffers);
    }

    /// Trailer fields; complete once the body has ended.
    pub fn trailers(&self) -> &Fields {
        self.body.trailers()
    }

    /// Whether the body has been read to its end.
    pub fn is_done(&self) -> bool {
        self.body.is_done()
    }

    fn poll_greet(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.greeting.is_empty() {
            let mut stream = self.stream.borrow_mut();
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, self.greeting))?;
            self.greeting = &self.greeting[count..];
            if self.greeting.is_empty() {
                let _ = Pin::new(&mut *stream).poll_flush(cx)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The bytes that have arrived, for whoever reads a head.
    pub(crate) fn input(&self) -> &[u8] {
        self.input.data()
    }

    /// Drops bytes of a head and says what body follows it.
    pub(crate) fn begin(&mut self, head_bytes: usize, framing: BodyFraming) {
        self.input.consume(head_bytes, self.buffers);
        *self.body = BodyState::new(framing);
    }

    /// Receives more bytes of a head; 0 is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.poll_fill(cx, self.stream, self.buffers, Appetite::Small)
    }
}

/// The half of a connection that writes.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    stream: &'a RefCell<Stream>,
    written: &'a Cell<u64>,
}

impl<'a> Writer<'a> {
    /// Writes all of these, one after the other, in as few system calls as can be.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn write_all(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = parts;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let count = poll_fn(|cx| {
                let mut stream = self.stream.borrow_mut();
                match &*rest {
                    [one] => Pin::new(&mut *stream).poll_write(cx, one),
                    several => Pin::new(&mut *stream).poll_write_vectored(cx, several),
                }
            })
            .await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written.set(self.written.get() + count as u64);
            IoSlice::advance_slices(&mut rest, count);
        }
        Ok(())
    }

    /// Bytes that were written since the connection was split, as they grow.
    pub fn written(&self) -> &'a Cell<u64> {
        self.written
    }

    /// Sends what TLS may still hold; nothing to do on a plain stream.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn flush(&self) -> io::Result<()> {
        if !self.stream.borrow().is_tls() {
            return Ok(());
        }
        poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)).await
    }

    /// Says that no more will be written.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)).await
    }

    /// Waits until the other side has gone; never ends if it sends bytes instead.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.borrow().poll_closed(cx)
    }
}
