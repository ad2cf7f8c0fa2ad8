//! Entry: a request is counted towards its backend, after it has waited for its turn where callers have to.

use std::{future::poll_fn, net::IpAddr, pin::pin, sync::Arc, task::Poll, time::Instant};

use super::{exchange::Exchange, respond::Failure, responder::Responder, until::until};
use crate::upstream::{Admitted, Share, Turn, Upstream, Waiter};

/// A request that counts against the limits of its backend until this is dropped.
pub struct Entered {
    /// Apart, as few backends need it and every connection keeps room for it.
    _share: Option<Box<Share>>,
    _admitted: Option<Admitted>,
}

/// Counts a request, or a tunnel, against what its caller may take of the backend, where it may have to wait, and then
/// against what all callers together may.
///
/// # Errors
/// When the limits allow no more, the wait took too long or the client has gone.
pub async fn enter(
    x: &mut Exchange<'_>,
    upstream: &Arc<Upstream>,
    responder: &mut Responder<'_>,
) -> Result<Entered, Failure> {
    if upstream.lets_all_in() {
        return Ok(Entered { _share: None, _admitted: None });
    }
    let turn = upstream.share(|| caller(x)).map_err(|_| Failure::Overload)?;
    let share = match turn {
        None => None,
        Some(Turn::Now(share)) => Some(Box::new(share)),
        Some(Turn::Later(waiter)) => Some(Box::new(Box::pin(wait(x, upstream, waiter, responder)).await?)),
    };
    let admitted = upstream.admit().map_err(|_| Failure::Overload)?;
    Ok(Entered { _share: share, _admitted: admitted })
}

/// Who calls: the principal, or the address of the client where that is not known.
fn caller(x: &Exchange<'_>) -> Vec<u8> {
    match (&x.source, x.client_ip.to_canonical()) {
        (Some(source), _) => source.name.as_bytes().to_vec(),
        (None, IpAddr::V4(ip)) => ip.octets().to_vec(),
        (None, IpAddr::V6(ip)) => ip.octets().to_vec(),
    }
}

/// Waits as long as the backend's settings allow. The time counts as the backend's: what its answer may take becomes
/// shorter.
async fn wait(
    x: &mut Exchange<'_>,
    upstream: &Upstream,
    waiter: Waiter,
    responder: &mut Responder<'_>,
) -> Result<Share, Failure> {
    let begun = Instant::now();
    let longest = upstream.backend().fairness.queue_wait;
    let limit = x.route.as_ref().map_or(longest, |route| route.route.timeouts.request);
    let end = begun + longest.min(limit.saturating_sub(x.waited));
    let mut turn = pin!(waiter.turn());
    let either = poll_fn(|cx| match turn.as_mut().poll(cx) {
        Poll::Ready(share) => Poll::Ready(Ok(share)),
        Poll::Pending => responder.poll_closed(cx).map(|()| Err(Failure::ClientClosed)),
    });
    let result = until(Some(end), either).await;
    x.waited += begun.elapsed();
    result.unwrap_or(Err(Failure::Overload))
}
