//! Turn: where a backend limits its connections, a request waits here until there is one for it.

use super::{
    exchange::Exchange,
    forward::{Progress, Try, TryError},
    respond::Failure,
};
use crate::upstream::{Http1Link, Http2Stream, Slot, Slots};

/// What a request got.
pub enum Turn<C> {
    /// It may open a connection, which has this slot if connections are counted.
    Open(Option<Slot>),
    /// A connection that another request has just left.
    Reuse(C),
}

/// For a request that found no idle HTTP/1.1 connection.
///
/// # Errors
/// When too many wait already, or the wait took too long.
pub async fn http1(x: &Exchange<'_>, this: &Try<'_>) -> Result<Turn<Http1Link>, TryError> {
    let Some(slots) = this.peer.slots() else { return Ok(Turn::Open(None)) };
    let pool = &x.worker().pool;
    let slot = slots.take().or_else(|| pool.close_one(&slots).then(|| slots.take())?);
    if slot.is_some() {
        return Ok(Turn::Open(slot));
    }
    let left = left(x, this, || pool.take(this.peer));
    wait(x, this, &slots, left).await
}

/// For a request that found no HTTP/2 connection with room for a stream. The first one of a worker to an endpoint
/// never waits, lest a worker has none at all while others have all of them.
///
/// # Errors
/// When too many wait already, or the wait took too long.
pub async fn http2(x: &Exchange<'_>, this: &Try<'_>) -> Result<Turn<Http2Stream>, TryError> {
    let Some(slots) = this.peer.slots() else { return Ok(Turn::Open(None)) };
    let slot = slots.take();
    if slot.is_some() || !x.worker().pool.has_http2(this.peer) {
        return Ok(Turn::Open(slot));
    }
    let left = left(x, this, || x.worker().pool.take_http2(this.peer));
    wait(x, this, &slots, left).await
}

/// A connection that another request of this worker leaves, or a stream.
async fn left<C>(x: &Exchange<'_>, this: &Try<'_>, take: impl Fn() -> Option<C>) -> C {
    if this.fresh {
        // What others leave is of no use to it.
        return std::future::pending().await;
    }
    let local = x.worker().pool.waiting(this.peer);
    loop {
        local.freed().await;
        if let Some(found) = take() {
            return found;
        }
    }
}

async fn wait<C>(
    x: &Exchange<'_>,
    this: &Try<'_>,
    slots: &std::sync::Arc<Slots>,
    left: impl Future<Output = C>,
) -> Result<Turn<C>, TryError> {
    // Another endpoint would be no way out: all of them together are limited.
    let overload = || TryError { failure: Failure::Overload, progress: Progress::Answered, reused: false };
    let waiting = slots.wait().map_err(|_| overload())?;
    let either = async {
        tokio::select! {
            biased;
            link = left => Turn::Reuse(link),
            slot = waiting.room() => Turn::Open(Some(slot)),
        }
    };
    x.worker().deadlines.within(this.connect_timeout, either).await.map_err(|_| overload())
}
