//! Bodies of either protocol, and how one is pumped into another with backpressure and limits in time.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;

use super::{compressed::Compressed, limited::Limited, replay::Replay, shaped::Shaped};
use crate::{
    http1::{BodyError, BodyReader, BodyWriter},
    http2::{BrokenOff, Http2Incoming, Http2Outgoing},
    message::Fields,
    runtime::deadline::{Deadlines, Elapsed},
};

/// A body that is being received.
pub enum Incoming<'a> {
    /// From an HTTP/1.1 connection.
    Http1(BodyReader<'a>),
    /// From an HTTP/2 stream.
    Http2(Http2Incoming),
    /// From either, with its begin kept.
    Replay(Box<Replay<'a>>),
    /// From either, as long as it is not too large.
    Limited(Box<Limited<'a>>),
    /// From either, no faster than it may come.
    Shaped(Box<Shaped<'a>>),
    /// From either, compressed on its way.
    Compressed(Box<Compressed<'a>>),
    /// None any more: another value holds the body.
    Taken(Fields),
}

impl Incoming<'_> {
    /// Waits for data: `true` when [`Incoming::data`] has some, `false` at the end of the body.
    ///
    /// # Errors
    /// When the body breaks off or is malformed.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        match self {
            Self::Http1(reader) => reader.poll_data(cx),
            Self::Http2(incoming) => incoming.poll_data(cx),
            Self::Replay(replay) => replay.poll_data(cx),
            Self::Limited(limited) => limited.poll_data(cx),
            Self::Shaped(shaped) => shaped.poll_data(cx),
            Self::Compressed(compressed) => compressed.poll_data(cx),
            Self::Taken(_) => Poll::Ready(Ok(false)),
        }
    }

    /// Payload that has arrived.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Http1(reader) => reader.data(),
            Self::Http2(incoming) => incoming.data(),
            Self::Replay(replay) => replay.data(),
            Self::Limited(limited) => limited.inner().data(),
            Self::Shaped(shaped) => shaped.data(),
            Self::Compressed(compressed) => compressed.data(),
            Self::Taken(_) => b"",
        }
    }

    /// Drops payload that has been used.
    pub fn consume(&mut self, count: usize) {
        match self {
            Self::Http1(reader) => reader.consume(count),
            Self::Http2(incoming) => incoming.consume(count),
            Self::Replay(replay) => replay.consume(count),
            Self::Limited(limited) => limited.consume(count),
            Self::Shaped(shaped) => shaped.consume(count),
            Self::Compressed(compressed) => compressed.consume(count),
            Self::Taken(_) => debug_assert_eq!(count, 0),
        }
    }

    /// Takes payload that has arrived, up to so many bytes; without a copy if it came over HTTP/2.
    pub(super) fn take(&mut self, most_bytes: usize) -> Bytes {
        match self {
            Self::Http1(reader) => {
                let arrived = reader.data();
                let data = Bytes::copy_from_slice(&arrived[..arrived.len().min(most_bytes)]);
                reader.consume(data.len());
                data
            }
            Self::Http2(incoming) => incoming.take(most_bytes),
            Self::Replay(replay) => replay.take(most_bytes),
            Self::Limited(limited) => limited.take(most_bytes),
            Self::Shaped(shaped) => shaped.take(most_bytes),
            Self::Compressed(compressed) => compressed.take(most_bytes),
            Self::Taken(_) => Bytes::new(),
        }
    }

    /// See [`Http2Incoming::look_ahead`]; HTTP/1.1 says of each piece whether it is the last one.
    pub(super) fn look_ahead(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http2(incoming) => incoming.look_ahead(cx),
            Self::Replay(replay) => replay.look_ahead(cx),
            Self::Http1(_) | Self::Limited(_) | Self::Shaped(_) | Self::Compressed(_) | Self::Taken(_) => {}
        }
    }

    /// Trailer fields; complete once the body has ended.
    pub fn trailers(&self) -> &Fields {
        match self {
            Self::Http1(reader) => reader.trailers(),
            Self::Http2(incoming) => incoming.trailers(),
            Self::Replay(replay) => replay.trailers(),
            Self::Limited(limited) => limited.inner().trailers(),
            Self::Shaped(shaped) => shaped.inner().trailers(),
            Self::Compressed(compressed) => compressed.trailers(),
            Self::Taken(none) => none,
        }
    }

    /// Whether the body has been read to its end.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Http1(reader) => reader.is_done(),
            Self::Http2(incoming) => incoming.is_done(),
            Self::Replay(replay) => replay.is_done(),
            Self::Limited(limited) => limited.inner().is_done(),
            Self::Shaped(shaped) => shaped.inner().is_done(),
            Self::Compressed(compressed) => compressed.is_done(),
            Self::Taken(_) => true,
        }
    }

    fn http1(&self) -> Option<&BodyReader<'_>> {
        match self {
            Self::Http1(reader) => Some(reader),
            Self::Replay(replay) => replay.inner().http1(),
            Self::Limited(limited) => limited.inner().http1(),
            Self::Shaped(shaped) => shaped.inner().http1(),
            Self::Http2(_) | Self::Compressed(_) | Self::Taken(_) => None,
        }
    }

    fn owes_greeting(&self) -> bool {
        self.http1().is_some_and(BodyReader::owes_greeting)
    }

    /// Whether the client waits for `100 Continue` before it sends any of the body.
    pub fn awaits_greeting(&self) -> bool {
        self.http1().is_some_and(BodyReader::awaits_greeting)
    }

    /// Goes back to the begin; false if that was not kept.
    pub fn rewind(&mut self) -> bool {
        match self {
            Self::Replay(replay) => replay.rewind(),
            _ => false,
        }
    }

    /// Drops what has arrived already; says whether that was all of the body.
    pub fn discard_arrived(&mut self) -> bool {
        if self.owes_greeting() {
            return false;
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(result) = self.poll_data(&mut cx) {
            match result {
                Ok(true) => self.consume(self.data().len()),
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
        false
    }
}

/// A body that is being sent.
pub enum Outgoing<'a> {
    /// Over HTTP/1.1, after a head that may still be pending.
    Http1(BodyWriter<'a>),
    /// Over HTTP/2.
    Http2(Http2Outgoing),
    /// Nowhere: what it would hold is dropped.
    Nobody,
}

impl<'a> Outgoing<'a> {
    async fn send(&mut self, from: &mut Incoming<'_>) -> io::Result<u64> {
        match self {
            Self::Http1(writer) => {
                let count = from.data().len();
                writer.data(from.data()).await?;
                from.consume(count);
                Ok(count as u64)
            }
            Self::Http2(out) => {
                // Nothing is taken before there is room: a retry must find all that was not sent.
                let room = out.room(from.data().len()).await.map_err(broken)?;
                let data = from.take(room);
                let count = data.len() as u64;
                poll_fn(|cx| {
                    from.look_ahead(cx);
                    Poll::Ready(())
                })
                .await;
                let is_last = from.is_done() && from.trailers().is_empty();
                out.put(data, is_last).map_err(broken)?;
                Ok(count)
            }
            Self::Nobody => {
                let count = from.data().len();
                from.consume(count);
                Ok(count as u64)
            }
        }
    }

    /// Bytes that were written, as they grow, where a piece of any size is written at once.
    fn written(&self) -> Option<&'a Cell<u64>> {
        match self {
            Self::Http1(writer) => Some(writer.written()),
            Self::Http2(_) | Self::Nobody => None,
        }
    }

    /// Sends what is pending without waiting for more of the body.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Http1(writer) => writer.flush().await,
            Self::Http2(_) | Self::Nobody => Ok(()),
        }
    }

    /// Waits until whoever receives the body has gone; HTTP/1.1 does not tell before something is sent.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(_) | Self::Nobody => Poll::Pending,
            Self::Http2(out) => out.poll_closed(cx),
        }
    }

    /// Sends payload that is already there.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn data(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Http1(writer) => writer.data(data).await,
            Self::Http2(out) => {
                let mut rest = Bytes::copy_from_slice(data);
                while !rest.is_empty() {
                    let room = out.room(rest.len()).await.map_err(broken)?;
                    out.put(rest.split_to(room), false).map_err(broken)?;
                }
                Ok(())
            }
            Self::Nobody => Ok(()),
        }
    }

    /// Ends the body.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn finish(&mut self, trailers: &Fields) -> io::Result<()> {
        match self {
            Self::Http1(writer) => writer.finish(trailers).await,
            Self::Http2(out) => out.finish(trailers).map_err(broken),
            Self::Nobody => Ok(()),
        }
    }
}

fn broken(error: BrokenOff) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

/// So many bytes have to be taken at least in the time for a piece, if more of them are there.
const PIECE_BYTES: u64 = 128 << 10;

/// How slow either side of a pump may be.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Longest silence of the side that is read.
    pub idle: Duration,
    /// Lowest rate of the side that is read once `idle` has been spent waiting for it, in bytes per second.
    pub min_rate_bytes: u64,
    /// Longest time the side that is written may take for a piece of [`PIECE_BYTES`], or for what there is.
    pub stall: Duration,
}

/// Why a pump stopped before the end of the body.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// The side that is read broke off.
    #[error("{0}")]
    Read(#[from] BodyError),
    /// The side that is read was silent or slow for too long.
    #[error("the body came too slowly")]
    ReadTimeout,
    /// The side that is written broke off.
    #[error("{0}")]
    Write(io::Error),
    /// The side that is written took nothing for too long.
    #[error("the body was taken too slowly")]
    WriteTimeout,
}

impl PumpError {
    /// The side that is written has gone.
    pub fn gone() -> Self {
        Self::Write(io::ErrorKind::BrokenPipe.into())
    }
}

/// Moves a body to its end and adds the payload bytes to `moved` as it goes.
///
/// # Errors
/// The side that failed, and how.
pub async fn pump(
    deadlines: &Deadlines,
    from: &mut Incoming<'_>,
    to: &mut Outgoing<'_>,
    pace: Pace,
    moved: &Cell<u64>,
) -> Result<(), PumpError> {
    let mut waited = Duration::ZERO;
    loop {
        let ready = poll_fn(|cx| match from.poll_data(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
        let more = match ready {
            Some(more) => more?,
            None => {
                write_within(deadlines, pace.stall, to.flush()).await?;
                let start = tokio::time::Instant::now();
                let more = poll_fn(|cx| match from.poll_data(cx) {
                    Poll::Ready(more) => Poll::Ready(Ok(more)),
                    Poll::Pending => to.poll_closed(cx).map(|()| Err(PumpError::Write(broken(BrokenOff)))),
                });
                let more = deadlines.within(pace.idle, more).await;
                waited += start.elapsed();
                if waited > pace.idle && moved.get() < pace.min_rate_bytes.saturating_mul(waited.as_secs()) {
                    return Err(PumpError::ReadTimeout);
                }
                more.map_err(|_| PumpError::ReadTimeout)???
            }
        };
        if !more {
            break;
        }
        let count = send_within(deadlines, pace.stall, from, to).await?;
        moved.set(moved.get() + count);
    }
    write_within(deadlines, pace.stall, to.finish(from.trailers())).await
}

/// Sends what has arrived, in the time that is given for each piece of it.
fn send_within<'p>(
    deadlines: &'p Deadlines,
    stall: Duration,
    from: &'p mut Incoming<'_>,
    to: &'p mut Outgoing<'_>,
) -> impl Future<Output = Result<u64, PumpError>> {
    let written = to.written();
    let mut before = written.map_or(0, Cell::get);
    let goes_on = move || {
        let now = written.map_or(0, Cell::get);
        let is_piece = now - before >= PIECE_BYTES;
        before = now;
        is_piece
    };
    deadlines.within_each(stall, to.send(from), goes_on).map(write_result)
}

/// Not an `async fn`, which would hold the write twice.
fn write_within<'d, T, W: Future<Output = io::Result<T>>>(
    deadlines: &'d Deadlines,
    stall: Duration,
    write: W,
) -> impl Future<Output = Result<T, PumpError>> + use<'d, T, W> {
    deadlines.within(stall, write).map(write_result)
}

fn write_result<T>(result: Result<io::Result<T>, Elapsed>) -> Result<T, PumpError> {
    match result {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(PumpError::Write(error)),
        Err(_) => Err(PumpError::WriteTimeout),
    }
}
