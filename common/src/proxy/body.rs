//! Bodies of either protocol, and how one is pumped into another with backpressure and limits in time.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use http_body::Body;

use super::{limited::Limited, replay::Replay, shaped::Shaped};
use crate::{
    http1::{BodyError, BodyReader, BodyWriter, chunked::may_be_trailer},
    http2::{BodySender, BrokenOff},
    message::{Fields, Known, KnownSet},
    runtime::deadline::Deadlines,
};

/// Most bytes handed to HTTP/2 at once: a client that opens its window by a single byte makes us hold that many.
const HTTP2_PIECE_BYTES: usize = 32 << 10;

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
    /// None any more: another value holds the body.
    Taken(Fields),
}

/// A body that is being received over HTTP/2.
pub struct Http2Incoming {
    body: hyper::body::Incoming,
    current: Bytes,
    trailers: Fields,
    done: bool,
}

impl Http2Incoming {
    /// Wraps hyper's body.
    pub fn new(body: hyper::body::Incoming) -> Self {
        let done = body.is_end_stream();
        Self { body, current: Bytes::new(), trailers: Fields::default(), done }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        while self.current.is_empty() && !self.done {
            match ready!(std::pin::Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.done = true,
                Some(Err(_)) => return Poll::Ready(Err(BodyError::Reset)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.current = data,
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            let allowed = trailers.iter().filter(|(name, _)| may_be_trailer(name.as_ref()));
                            allowed.for_each(|(n, v)| self.trailers.push(n.as_ref(), v.as_bytes()));
                        }
                    }
                },
            }
        }
        Poll::Ready(Ok(!self.current.is_empty()))
    }
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
            Self::Taken(_) => Poll::Ready(Ok(false)),
        }
    }

    /// Payload that has arrived.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Http1(reader) => reader.data(),
            Self::Http2(incoming) => &incoming.current,
            Self::Replay(replay) => replay.data(),
            Self::Limited(limited) => limited.inner().data(),
            Self::Shaped(shaped) => shaped.data(),
            Self::Taken(_) => b"",
        }
    }

    /// Drops payload that has been used.
    pub fn consume(&mut self, count: usize) {
        match self {
            Self::Http1(reader) => reader.consume(count),
            Self::Http2(incoming) => drop(incoming.current.split_to(count)),
            Self::Replay(replay) => replay.consume(count),
            Self::Limited(limited) => limited.consume(count),
            Self::Shaped(shaped) => shaped.consume(count),
            Self::Taken(_) => debug_assert_eq!(count, 0),
        }
    }

    /// Takes payload that has arrived; without a copy if it came over HTTP/2.
    pub(super) fn take(&mut self) -> Bytes {
        match self {
            Self::Http1(reader) => {
                let arrived = reader.data();
                let data = Bytes::copy_from_slice(&arrived[..arrived.len().min(HTTP2_PIECE_BYTES)]);
                reader.consume(data.len());
                data
            }
            Self::Http2(incoming) => std::mem::take(&mut incoming.current),
            Self::Replay(replay) => replay.take(),
            Self::Limited(limited) => limited.take(),
            Self::Shaped(shaped) => shaped.take(),
            Self::Taken(_) => Bytes::new(),
        }
    }

    /// Trailer fields; complete once the body has ended.
    pub fn trailers(&self) -> &Fields {
        match self {
            Self::Http1(reader) => reader.trailers(),
            Self::Http2(incoming) => &incoming.trailers,
            Self::Replay(replay) => replay.trailers(),
            Self::Limited(limited) => limited.inner().trailers(),
            Self::Shaped(shaped) => shaped.inner().trailers(),
            Self::Taken(none) => none,
        }
    }

    /// Whether the body has been read to its end.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Http1(reader) => reader.is_done(),
            Self::Http2(incoming) => incoming.done && incoming.current.is_empty(),
            Self::Replay(replay) => replay.is_done(),
            Self::Limited(limited) => limited.inner().is_done(),
            Self::Shaped(shaped) => shaped.inner().is_done(),
            Self::Taken(_) => true,
        }
    }

    fn http1(&self) -> Option<&BodyReader<'_>> {
        match self {
            Self::Http1(reader) => Some(reader),
            Self::Replay(replay) => replay.inner().http1(),
            Self::Limited(limited) => limited.inner().http1(),
            Self::Shaped(shaped) => shaped.inner().http1(),
            Self::Http2(_) | Self::Taken(_) => None,
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
    Http2(BodySender),
    /// Nowhere: what it would hold is dropped.
    Nobody,
}

impl Outgoing<'_> {
    async fn send(&mut self, from: &mut Incoming<'_>) -> io::Result<u64> {
        match self {
            Self::Http1(writer) => {
                let count = from.data().len();
                writer.data(from.data()).await?;
                from.consume(count);
                Ok(count as u64)
            }
            Self::Http2(sender) => {
                // Nothing is taken before there is room: a retry must find all that was not sent.
                sender.ready().await.map_err(broken)?;
                let data = from.take();
                let count = data.len() as u64;
                sender.put(data);
                Ok(count)
            }
            Self::Nobody => Ok(from.take().len() as u64),
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
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(_) | Self::Nobody => Poll::Pending,
            Self::Http2(sender) => sender.poll_closed(cx),
        }
    }

    /// Sends payload that is already there.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn data(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Http1(writer) => writer.data(data).await,
            Self::Http2(sender) => sender.data(Bytes::copy_from_slice(data)).await.map_err(broken),
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
            Self::Http2(sender) => sender.finish(trailer_map(trailers)).await.map_err(broken),
            Self::Nobody => Ok(()),
        }
    }
}

fn broken(error: BrokenOff) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

fn trailer_map(trailers: &Fields) -> Option<HeaderMap> {
    if trailers.is_empty() {
        return None;
    }
    let mut map = HeaderMap::with_capacity(trailers.len());
    for (known, name, value) in trailers.iter_known() {
        if KnownSet::HOP_BY_HOP.contains(known) || matches!(known, Known::ContentLength | Known::Host) {
            // HTTP/2 has no room for them (RFC 9113 §8.2.2), and they say nothing where they stand.
            continue;
        }
        let name = http::HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    Some(map)
}

/// How slow either side of a pump may be.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Longest silence of the side that is read.
    pub idle: Duration,
    /// Lowest rate of the side that is read once `idle` has been spent waiting for it, in bytes per second.
    pub min_rate_bytes: u64,
    /// Longest time the side that is written may take nothing.
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
    moved: &std::cell::Cell<u64>,
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
        let count = write_within(deadlines, pace.stall, to.send(from)).await?;
        moved.set(moved.get() + count);
    }
    write_within(deadlines, pace.stall, to.finish(from.trailers())).await
}

/// Not an `async fn`, which would hold the write twice.
fn write_within<'d, T, W: Future<Output = io::Result<T>>>(
    deadlines: &'d Deadlines,
    stall: Duration,
    write: W,
) -> impl Future<Output = Result<T, PumpError>> + use<'d, T, W> {
    deadlines.within(stall, write).map(|result| match result {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(PumpError::Write(error)),
        Err(_) => Err(PumpError::WriteTimeout),
    })
}
