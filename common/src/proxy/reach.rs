//! Reach: opens a connection of its own to a backend, for a tunnel; tries another endpoint where one cannot be reached.

use std::{sync::Arc, time::Instant};

use super::{
    attempt::open_to,
    entry::{Entered, enter},
    exchange::Exchange,
    forward::{is_allowed, no_endpoint, note_failure, pick_upstream},
    picking::Choice,
    respond::Failure,
    responder::Responder,
    turn,
};
use crate::{
    http1::Stream,
    runtime::metrics::OpenConnection,
    upstream::{InFlight, Peer, Slot},
};

/// A connection to an endpoint on which nothing was said yet.
pub struct Reached {
    /// The connection, under TLS if the backend wants that.
    pub stream: Stream,
    /// Counts it as open.
    pub open: OpenConnection,
    /// Counts the endpoint as busy.
    pub busy: InFlight,
    /// Counts it against the limits of the backend.
    pub limits: (Entered, Option<Slot>),
}

/// Chooses a backend of the route by weight and an endpoint by its balancer, and connects to it. One that cannot be
/// reached is followed by another as often as the route may try again: nothing was sent, so that does no harm.
///
/// # Errors
/// What became of the last try.
pub async fn reach(x: &mut Exchange<'_>, responder: &mut Responder<'_>) -> Result<Reached, Failure> {
    let upstream = pick_upstream(x)?;
    let entered = enter(x, &upstream, responder).await?;
    let mut left = x.route.as_ref().map_or(0, |route| route.route.retry.attempts);
    upstream.retries.earn(&upstream.backend().retry_allowance);
    let choice = Choice::new(x, &upstream.backend());
    let mut avoid = None::<Arc<Peer>>;
    loop {
        // Taken out at once: what guards the settings is not to be held while a connection is made.
        let connect_timeout = upstream.backend().connect_timeout;
        let peer = choice
            .pick(x, (&upstream, Instant::now()), avoid.as_deref())
            .ok_or_else(|| no_endpoint(&upstream))?;
        let busy = peer.begin();
        x.endpoint = Some(peer.address);
        x.tries += 1;
        let slot = turn::slot(x, &peer, connect_timeout).await?;
        match open_to(x, &peer, connect_timeout).await {
            Ok((stream, open)) => {
                peer.succeeded();
                return Ok(Reached { stream, open, busy, limits: (entered, slot) });
            }
            Err(error) => {
                drop(busy);
                note_failure(x, &upstream, (&peer, &choice), &error);
                if !is_allowed(&upstream, false, &mut left) {
                    return Err(error.failure);
                }
                x.worker().shared.metrics.upstream.retries.add(error.failure.reason());
                avoid = Some(peer);
            }
        }
    }
}
