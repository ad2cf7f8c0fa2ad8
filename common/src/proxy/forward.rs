//! Forward: chooses an endpoint, sends the request there and passes the answer on; tries again where that is safe.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    again::Again,
    attempt::{Plan, Progress, Try, TryError},
    body::Incoming,
    buffering,
    entry::enter,
    exchange::Exchange,
    grpc_timeout, headers, loops, mirror,
    picking::{self, Choice},
    replay::Replay,
    respond::Failure,
    responder::Responder,
    send_http1, send_http2,
    until::until,
};
use crate::{
    model::{BackendProtocol, Listener},
    upstream::{InFlight, Peer, Upstream},
};

/// Forwards a request and passes the answer on.
///
/// # Errors
/// What the client is to be told, unless the answer has started.
pub async fn forward(
    x: &mut Exchange<'_>,
    listener: &Listener,
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Result<(), Failure> {
    let _room = match body.is_done() {
        true => None,
        false => Box::pin(buffering::read_whole(x, listener, body)).await?,
    };
    let upstream = pick_upstream(x)?;
    let _entered = enter(x, &upstream, responder).await?;
    // A body belongs to the request, not to the tunnel: who sends one gets an ordinary answer.
    let upgrade = x.head.wants_upgrade() && body.is_done() && send_http1::may_upgrade(&x.head);
    headers::towards_backend(x, listener, upgrade);
    if let Some(protection) = &listener.loop_protection {
        loops::leave_trace(x, protection);
    }
    let mut plan = plan(x, &upstream, listener, upgrade);
    let copies = mirror::draw(x, &plan, body);
    if let Incoming::Replay(replay) = &*body {
        plan.again.keeps_body = true;
        plan.again.body_bytes = u32::try_from(replay.most_bytes()).unwrap_or(u32::MAX);
    } else if (plan.again.repeatable || copies.is_some()) && !body.is_done() {
        let length = headers::content_length(&x.head.fields);
        plan.again.keeps_body = Replay::keep(body, length, plan.again.body_bytes as usize);
    }
    let result = attempt(x, (&upstream, &plan), body, responder).await;
    if let Some(copies) = copies {
        copies.send(x.worker(), mirror::whole(body));
    }
    result
}

/// What all tries have in common. The settings of the backend are looked at here alone, as far as they matter for every
/// request, and not held: what guards them is not to be held while a request lasts.
fn plan(x: &mut Exchange<'_>, upstream: &Upstream, listener: &Listener, upgrade: bool) -> Plan {
    let backend = upstream.backend();
    // Counts towards what may be sent again.
    upstream.retries.earn(&backend.retry_allowance);
    let again = x.route.as_ref().map(|route| Again::new(&route.route.retry, x.head.method));
    let mut plan = Plan::new(x, &listener.limits, (upgrade, again.unwrap_or_default()));
    plan.connect_timeout = backend.connect_timeout;
    plan.choice = Choice::new(x, &backend);
    if backend.protocol == BackendProtocol::Http2 {
        plan.deadline = grpc_timeout::deadline(x);
    }
    plan
}

/// Chooses a backend of the route by weight; a request that is passed on has one of its own.
///
/// # Errors
/// When the route has none, or its reference does not resolve.
pub fn pick_upstream(x: &mut Exchange<'_>) -> Result<Arc<Upstream>, Failure> {
    if let Some(destination) = &x.destination {
        return Ok(destination.upstream.clone());
    }
    let route = x.route.as_ref().ok_or(Failure::NoRoute)?;
    let held = picking::held_target(x, route);
    let index = held.or_else(|| route.pick(x.worker().random())).ok_or(Failure::NoWeight)?;
    x.target = Some(index);
    route.targets[index].upstream.clone().map_err(Failure::InvalidBackend)
}

/// What the tries so far leave for the next one.
struct Tries {
    start: Instant,
    /// Further tries that are counted.
    left: u32,
    /// The peer that just failed.
    avoid: Option<Arc<Peer>>,
    /// Only a new connection will do.
    fresh: bool,
}

/// Tries to have an answer until there is one to pass on or no other try is allowed.
///
/// # Errors
/// What the last try failed with.
pub async fn attempt(
    x: &mut Exchange<'_>,
    (upstream, plan): (&Arc<Upstream>, &Plan),
    body: &mut Incoming<'_>,
    responder: &mut Responder<'_>,
) -> Result<(), Failure> {
    let choice = &plan.choice;
    let mut tries = Tries { start: Instant::now(), left: plan.again.attempts, avoid: None, fresh: false };
    loop {
        let now = if x.tries == 0 { tries.start } else { Instant::now() };
        let peer =
            choice.pick(x, (upstream, now), tries.avoid.as_deref()).ok_or_else(|| no_endpoint(upstream))?;
        let busy: InFlight = peer.begin();
        headers::name_host(x, peer.address);
        x.endpoint = Some(peer.address);
        x.tries += 1;
        let this = next_try(x, (upstream, plan), &peer, &tries)?;
        let waiting = choice.watch(&peer);
        let result = match peer.protocol {
            BackendProtocol::Http1 => send_http1::send(x, &this, body, responder).await,
            BackendProtocol::Http2 => Box::pin(send_http2::send(x, &this, body, responder)).await,
        };
        drop(busy);
        let Err(mut error) = result else {
            note_answer(x, upstream, (&peer, choice));
            return Ok(());
        };
        if let Failure::Replaced(status) = error.failure {
            x.status = status;
            note_answer(x, upstream, (&peer, choice));
            return Err(error.failure);
        }
        error.failure = plan.name(error.failure);
        note_failure(x, upstream, (&peer, choice), &error);
        drop(waiting);
        if !may_go_on(upstream, plan, &mut tries, &error) || !rewind(x, body) {
            return Err(error.failure);
        }
        x.worker().shared.metrics.upstream.retries.add(error.failure.reason());
        if error.is_idle_loss() {
            (tries.fresh, tries.avoid) = (true, None);
            continue;
        }
        tries.avoid = Some(peer);
        let pause = pause(x, plan, &tries);
        if !pause.is_zero() {
            Box::pin(rest(pause, responder)).await?;
        }
    }
}

/// Why a backend has nobody who could be asked.
pub fn no_endpoint(upstream: &Upstream) -> Failure {
    match upstream.leads_back() {
        true => Failure::OwnAddress,
        false => Failure::NoEndpoint,
    }
}

/// What the next try needs to know.
fn next_try<'t>(
    x: &mut Exchange<'_>,
    (upstream, plan): (&'t Arc<Upstream>, &'t Plan),
    peer: &'t Arc<Peer>,
    tries: &Tries,
) -> Result<Try<'t>, Failure> {
    let mut connect_timeout = plan.connect_timeout;
    let mut answer_limit = match x.tries {
        1 => plan.answer_limit,
        _ => plan.answer_limit.saturating_sub(tries.start.elapsed()),
    };
    if let Some(limit) = plan.try_limit {
        (connect_timeout, answer_limit) = (connect_timeout.min(limit), answer_limit.min(limit));
    }
    if let Some(deadline) = plan.deadline {
        grpc_timeout::pass_on(x, deadline)?;
        let left = deadline.saturating_duration_since(Instant::now());
        (connect_timeout, answer_limit) = (connect_timeout.min(left), answer_limit.min(left));
    }
    if x.timing.is_asked {
        x.timing.last_try = Some(Instant::now());
    }
    let may_drop = plan.again.drops_answers && tries.left > 0 && plan.again.is_in_time(tries.start.elapsed());
    let may_drop = may_drop.then_some(&**upstream);
    Ok(Try { connect_timeout, peer, plan, answer_limit, fresh: tries.fresh, may_drop, choice: &plan.choice })
}

/// Notes that a peer answered, which may be a failure by its status.
fn note_answer(x: &Exchange<'_>, upstream: &Upstream, (peer, choice): (&Peer, &Choice)) {
    match x.status >= 500 && upstream.backend().health.failing_statuses.contain(x.status) {
        true => blame(x, upstream, (peer, choice), Failure::Status(x.status)),
        false => peer.succeeded(),
    }
}

/// Counts a try that failed, unless it is the client's fault. A peer is to blame for what it did not do; a connection
/// that was closed for being idle blames nobody.
pub fn note_failure(
    x: &Exchange<'_>,
    upstream: &Upstream,
    (peer, choice): (&Peer, &Choice),
    error: &TryError,
) {
    let metrics = &x.worker().shared.metrics.upstream;
    let is_clients = matches!(
        error.failure,
        Failure::ClientClosed | Failure::ClientBody | Failure::ClientBodyTimeout | Failure::BodyTooLarge
    );
    if !is_clients {
        metrics.failed.add(error.failure.reason());
    }
    let blamed = match error.failure {
        Failure::Connect
        | Failure::ConnectTimeout
        | Failure::UpstreamClosed
        | Failure::UpstreamProtocol
        | Failure::RequestTimeout => !error.is_idle_loss(),
        Failure::Status(status) => upstream.backend().health.failing_statuses.contain(status),
        _ => false,
    };
    if blamed {
        blame(x, upstream, (peer, choice), error.failure);
    }
}

/// Counts a failure of a peer, which may eject it.
fn blame(x: &Exchange<'_>, upstream: &Upstream, (peer, choice): (&Peer, &Choice), failure: Failure) {
    let now = Instant::now();
    choice.blame(peer, now);
    if peer.failed(now) {
        x.worker().shared.metrics.upstream.ejections.inc();
        tracing::warn!(backend = %upstream.id, peer = %peer.address, reason = failure.reason(),
            "endpoint ejected: it kept failing and gets no requests for a while");
    }
}

/// Whether another try is wanted and allowed; if so, it is counted.
fn may_go_on(upstream: &Upstream, plan: &Plan, tries: &mut Tries, error: &TryError) -> bool {
    if error.progress == Progress::Dropped {
        tries.left = tries.left.saturating_sub(1);
        return true;
    }
    let elapsed = tries.start.elapsed();
    let in_time = elapsed < plan.answer_limit && plan.again.is_in_time(elapsed);
    if !in_time || !plan.again.is_wanted(error) {
        return false;
    }
    is_allowed(upstream, error.is_idle_loss() && !tries.fresh, &mut tries.left)
}

/// Whether there is a try left. The loss of a connection that was closed for being idle is not counted, once.
pub fn is_allowed(upstream: &Upstream, was_idle: bool, left: &mut u32) -> bool {
    if was_idle {
        return true;
    }
    let allowed = *left > 0 && upstream.retries.take(&upstream.backend().retry_allowance, Instant::now());
    *left = left.saturating_sub(1);
    allowed
}

/// Makes the body begin again; false if that is not possible.
fn rewind(x: &Exchange<'_>, body: &mut Incoming<'_>) -> bool {
    let rewound = body.rewind() || x.received.get() == 0;
    x.received.set(0);
    rewound
}

/// How long to wait before the next try.
fn pause(x: &Exchange<'_>, plan: &Plan, tries: &Tries) -> Duration {
    if !plan.again.has_pauses() {
        return Duration::ZERO;
    }
    let number = plan.again.attempts - tries.left;
    let left = plan.answer_limit.saturating_sub(tries.start.elapsed());
    let left = plan.deadline.map_or(left, |end| left.min(end.saturating_duration_since(Instant::now())));
    plan.again.pause(number, x.worker().random(), left)
}

/// Waits before another try, as long as the client does.
async fn rest(pause: Duration, responder: &mut Responder<'_>) -> Result<(), Failure> {
    let gone = poll_fn(|cx| responder.poll_closed(cx));
    match until(Some(Instant::now() + pause), gone).await {
        Ok(()) => Err(Failure::ClientClosed),
        Err(_) => Ok(()),
    }
}
