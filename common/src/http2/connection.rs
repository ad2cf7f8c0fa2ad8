//! Connection: moves the frames of one HTTP/2 connection, in either role (RFC 9113 §3).

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{
    client::Client,
    frame::{FrameHead, HEAD_BYTES, MOST_PAYLOAD, kind, put_window_update},
    outbox::Outbox,
    reason::Reason,
    receive::{Begin, Receiver},
    settings::{FIRST_WINDOW, Settings, put_settings},
    shared::{MOST_UNSENT, Shared},
    traffic::Traffic,
};

/// What each client begins with (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read at once: a whole frame.
const READ_BYTES: usize = MOST_PAYLOAD + LEAST_READ;
/// What is read at once while more comes than that.
const MOST_READ_BYTES: usize = 4 * READ_BYTES;
/// Room from which on it is worth to read.
const LEAST_READ: usize = 2 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The peer broke a rule.
    #[error("the peer broke a rule of HTTP/2: {0}")]
    Protocol(Reason),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A connection, to be polled until it ends. Dropping it ends all its streams.
pub struct Connection<S> {
    stream: S,
    input: BytesMut,
    /// What is missing of the client's preface.
    preface: &'static [u8],
    /// The frame of which some is missing.
    head: Option<FrameHead>,
    receiver: Receiver,
    shared: Rc<Shared>,
    /// What was read last filled all the room there was.
    is_busy: bool,
    /// Nothing was read because much waits to be written.
    is_held: bool,
    /// What was written is with the system.
    is_flushed: bool,
    /// There is nothing left to do but to write what waits.
    is_finishing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Serves a client, of which not even the preface was read.
    pub fn server(stream: S, settings: Settings) -> Self {
        Self::new(stream, true, settings)
    }

    /// Opens a connection to a server, of whose protocol we are sure. It closes when nobody holds the client any more
    /// and its streams are at their end.
    pub fn client(stream: S, settings: Settings) -> (Client, Self) {
        let connection = Self::new(stream, false, settings);
        (Client::new(connection.shared.clone()), connection)
    }

    fn new(stream: S, is_server: bool, settings: Settings) -> Self {
        let shared = Shared::new(is_server, settings);
        shared.with_outbox(|outbox| {
            outbox.write(|out| {
                if !is_server {
                    out.extend_from_slice(PREFACE);
                }
                put_settings(out, &settings, is_server);
                let more = settings.connection_window_bytes.saturating_sub(FIRST_WINDOW);
                if more > 0 {
                    put_window_update(out, 0, more);
                }
            });
        });
        let preface = if is_server { PREFACE } else { b"" };
        let receiver = Receiver::new(shared.clone());
        Self {
            stream,
            input: BytesMut::new(),
            preface,
            head: None,
            receiver,
            shared,
            is_busy: false,
            is_held: false,
            is_flushed: true,
            is_finishing: false,
        }
    }

    /// What goes over the connection.
    pub fn watch(&self) -> Watch {
        Watch(self.shared.clone())
    }

    /// Takes what comes and writes what waits, until the connection ends. `begin` gets each request.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn poll(&mut self, cx: &mut Context<'_>, begin: &mut Begin<'_>) -> Poll<Result<(), ConnectionError>> {
        self.shared.begin_drive(cx);
        let ended = self.poll_both(cx, begin);
        match &ended {
            Poll::Ready(_) => self.shared.end(),
            Poll::Pending => self.shared.end_drive(),
        }
        ended
    }

    fn poll_both(
        &mut self,
        cx: &mut Context<'_>,
        begin: &mut Begin<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        while !self.is_finishing {
            let read = self.poll_read(cx, begin);
            if let Poll::Ready(Err(ConnectionError::Protocol(reason))) = read {
                self.shared.say_goodbye(reason);
            }
            let written = self.poll_write(cx)?;
            match read {
                Poll::Ready(Ok(())) => {
                    // What is said already may still be read.
                    self.shared.end();
                    self.is_finishing = true;
                }
                Poll::Ready(failed) => {
                    // The last word goes out as far as that needs no waiting.
                    let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                    return Poll::Ready(failed);
                }
                Poll::Pending if self.shared.is_done() => self.is_finishing = true,
                Poll::Pending
                    if std::mem::take(&mut self.is_held) && (written.is_ready() || !self.is_full()) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        self.poll_finish(cx)
    }

    /// Whether so much waits to be written that nothing more is read: who takes nothing of what it is told is not heard
    /// either. Backends get more, so that two of us do not wait for each other.
    fn is_full(&self) -> bool {
        let most = if self.shared.is_server { 2 * MOST_UNSENT } else { 4 * MOST_UNSENT };
        self.shared.with_outbox(|outbox| outbox.len()) >= most
    }

    /// Reads as long as there is anything; ready at the end.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        begin: &mut Begin<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        loop {
            self.take_frames(begin).map_err(ConnectionError::Protocol)?;
            self.is_held = self.is_full();
            if self.is_held {
                return Poll::Pending;
            }
            if self.input.capacity() - self.input.len() < LEAST_READ {
                self.input.reserve(if self.is_busy { MOST_READ_BYTES } else { READ_BYTES });
            }
            let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx)?;
            if read.is_pending() && self.input.is_empty() && self.shared.has_no_stream() {
                self.input = BytesMut::new();
            }
            let count = ready!(read);
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            self.is_busy = self.input.len() == self.input.capacity();
            self.shared.traffic.count_read(count);
        }
    }

    /// Takes the frames that have arrived whole.
    fn take_frames(&mut self, begin: &mut Begin<'_>) -> Result<(), Reason> {
        let count = self.preface.len().min(self.input.len());
        if self.input[..count] != self.preface[..count] {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.preface = &self.preface[count..];
        self.input.advance(count);
        while let Some(head) = self.frame_head()? {
            let length = HEAD_BYTES + head.length;
            if self.input.len() < length {
                self.input.reserve(length - self.input.len());
                break;
            }
            self.head = None;
            let taken = match head.kind {
                kind::DATA => {
                    let frame = self.input.split_to(length).freeze();
                    self.receiver.data(head, frame.slice(HEAD_BYTES..))
                }
                _ => {
                    let taken = self.receiver.take(head, &self.input[HEAD_BYTES..length], begin);
                    self.input.advance(length);
                    taken
                }
            };
            taken.or_else(|fault| self.receiver.mend(fault))?;
        }
        Ok(())
    }

    /// The head of the next frame, looked at once.
    fn frame_head(&mut self) -> Result<Option<FrameHead>, Reason> {
        if self.head.is_none()
            && self.preface.is_empty()
            && let Some(head) = self.input.first_chunk()
        {
            let head = FrameHead::read(head);
            self.receiver.expect(head)?;
            self.head = Some(head);
        }
        Ok(self.head)
    }

    /// Writes what waits; ready when all is with the system.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, shared, is_flushed, .. } = self;
        let written = shared.with_outbox(|outbox| {
            *is_flushed &= outbox.is_empty();
            outbox.poll_write(stream, cx, |count| shared.traffic.count_written(count))
        })?;
        shared.wake_waiting();
        ready!(written);
        if !*is_flushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            *is_flushed = true;
        }
        if shared.has_no_stream() {
            shared.with_outbox(Outbox::shrink);
        }
        Poll::Ready(Ok(()))
    }

    /// Says goodbye, and closes once all is written. What still comes is dropped: a peer may read only when it has
    /// written. Clients are read to their end, as the system would take back what they have not got yet, if anything of
    /// them were unread.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.shared.say_goodbye(Reason::NO_ERROR);
        let is_read = self.poll_drop_input(cx)?;
        ready!(self.poll_write(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        if self.shared.is_server {
            ready!(is_read);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads to the end and drops everything.
    fn poll_drop_input(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.input.clear();
            self.input.reserve(LEAST_READ);
            match ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))? {
                0 => return Poll::Ready(Ok(())),
                count => self.shared.traffic.count_read(count),
            }
        }
    }

    /// Ends the connection at once. The peer is told as far as that needs no waiting.
    pub fn abort(&mut self) {
        self.shared.say_goodbye(Reason::NO_ERROR);
        let _ = self.poll_write(&mut Context::from_waker(Waker::noop()));
        self.shared.end();
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// A look at a connection that somebody else polls.
pub struct Watch(Rc<Shared>);

impl Watch {
    /// What has gone over the connection.
    pub fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    /// How many hold what the connection is made of: itself, its streams, its client and those who watch it.
    pub fn holders(&self) -> usize {
        Rc::strong_count(&self.0)
    }

    /// Asks whether the peer is there, and waits for its answer (RFC 9113 §6.7).
    pub async fn ping(&self) {
        self.0.ping();
        poll_fn(|cx| self.0.poll_pong(cx)).await;
    }

    /// Tells the peer that no further streams are taken; those that are open end as ever, and the connection with them.
    pub fn leave(&self) {
        self.0.leave();
    }
}
