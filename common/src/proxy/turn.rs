//! Turn: where a backend limits its connections, a request waits here until there is one for it.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use super::{
    attempt::{Progress, Try, TryError},
    exchange::Exchange,
    respond::Failure,
};
use crate::upstream::{Http1Link, Http2Stream, Peer, Slot, Slots};

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
pub async fn http1(x: &Exchange<'_>, this: &Try<'_>) -> Result<Turn<Box<Http1Link>>, TryError> {
    let Some(slots) = this.peer.slots() else { return Ok(Turn::Open(None)) };
    let slot = take(x, &slots);
    if slot.is_some() {
        return Ok(Turn::Open(slot));
    }
    let left = left(x, this, || x.worker().pool.take(this.peer));
    wait(x, this.connect_timeout, &slots, left).await
}

/// For a tunnel, which has a connection of its own; it may wait for this long.
///
/// # Errors
/// When too many wait already, or the wait took too long.
pub async fn slot(x: &Exchange<'_>, peer: &Peer, limit: Duration) -> Result<Option<Slot>, Failure> {
    let Some(slots) = peer.slots() else { return Ok(None) };
    let slot = take(x, &slots);
    if slot.is_some() {
        return Ok(slot);
    }
    match wait(x, limit, &slots, pending::<Infallible>()).await {
        Ok(Turn::Open(slot)) => Ok(slot),
        Ok(Turn::Reuse(none)) => match none {},
        Err(error) => Err(error.failure),
    }
}

/// Room that there is, or that an idle connection to another endpoint of the backend leaves.
fn take(x: &Exchange<'_>, slots: &Arc<Slots>) -> Option<Slot> {
    slots.take().or_else(|| x.worker().pool.close_one(slots).then(|| slots.take())?)
}

/// For a request that found no HTTP/2 connection with room for a stream. The first one of a worker to an endpoint
/// never waits, lest a worker has none at all while others have all of them; where connections are not shared, each one
/// waits.
///
/// # Errors
/// When too many wait already, or the wait took too long.
pub async fn http2(x: &Exchange<'_>, this: &Try<'_>) -> Result<Turn<Http2Stream>, TryError> {
    let Some(slots) = this.peer.slots() else { return Ok(Turn::Open(None)) };
    let slot = slots.take();
    if slot.is_some() || (!this.peer.is_told_clients() && !x.worker().pool.has_http2(this.peer)) {
        return Ok(Turn::Open(slot));
    }
    let left = left(x, this, || x.worker().pool.take_http2(this.peer));
    wait(x, this.connect_timeout, &slots, left).await
}

/// A connection that another request of this worker leaves, or a stream.
async fn left<C>(x: &Exchange<'_>, this: &Try<'_>, take: impl Fn() -> Option<C>) -> C {
    if this.fresh {
        // What others leave is of no use to it.
        return pending().await;
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
    limit: Duration,
    slots: &Arc<Slots>,
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
    x.worker().deadlines.within(limit, either).await.map_err(|_| overload())
}
