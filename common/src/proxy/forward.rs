//! Forward: chooses an endpoint, sends the request there and passes the answer on; tries again where that is safe.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    body::{Incoming, Pace},
    exchange::Exchange,
    headers,
    picking::Choice,
    replay::Replay,
    respond::Failure,
    responder::Responder,
    send_http1, send_http2,
};
use crate::{
    http1::Stream,
    model::{BackendProtocol, Limits, Listener},
    runtime::metrics::OpenConnection,
    upstream::{ConnectError, InFlight, Peer, Upstream, connect},
};

/// How far a try that failed had got, which decides whether another one is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not one byte of the request was sent.
    Nothing,
    /// Some of the request was sent, and not one byte of an answer came.
    Sent,
    /// An answer has begun; or the client is to blame: no other try can help.
    Answered,
}

/// A try that failed.
#[derive(Debug)]
pub struct TryError {
    /// What the client is told if there is no other try.
    pub failure: Failure,
    /// How far it had got.
    pub progress: Progress,
    /// The connection had served another request before: it may just have been closed for being idle.
    pub reused: bool,
}

impl TryError {
    /// The same of a try that maybe could not write a single byte.
    pub fn unless_sent(mut self, sent: bool) -> Self {
        if self.progress == Progress::Sent && !sent {
            self.progress = Progress::Nothing;
        }
        self
    }
}

/// What all tries of one request have in common.
pub struct Plan {
    /// Limits of the side that answers.
    pub answer_pace: Pace,
    /// Longest wait for the head of the answer, all tries together.
    pub answer_limit: Duration,
    /// Limits of the side that asks.
    pub request_pace: Pace,
    /// Longest silence of a tunnel.
    pub tunnel_idle: Duration,
    /// Whether the request may become a tunnel.
    pub upgrade: bool,
}

impl Plan {
    fn new(x: &Exchange<'_>, limits: &Limits, upgrade: bool) -> Self {
        let timeouts = x.route.as_ref().map(|route| &route.route.timeouts);
        let stall = limits.write_stall;
        let idle = timeouts.map_or(limits.body_idle, |timeouts| timeouts.backend_idle);
        Self {
            answer_pace: Pace { idle, min_rate_bytes: 0, stall },
            answer_limit: timeouts
                .map_or(limits.body_idle, |timeouts| timeouts.request)
                .saturating_sub(x.waited),
            request_pace: Pace { idle: limits.body_idle, min_rate_bytes: limits.body_min_rate_bytes, stall },
            tunnel_idle: limits.tunnel_idle,
            upgrade,
        }
    }
}

/// One try: everything that sending it needs to know.
pub struct Try<'t> {
    /// Longest time to open a connection, TLS included.
    pub connect_timeout: Duration,
    /// Where it goes; counts as busy while this lives.
    pub peer: &'t Arc<Peer>,
    /// What holds for all tries.
    pub plan: &'t Plan,
    /// Longest wait for the head of the answer once the request is sent, interim answers included.
    pub answer_limit: Duration,
    /// Only a new connection will do.
    pub fresh: bool,
    /// Why it goes there; hears of the answer.
    pub choice: &'t Choice,
}

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
    let upstream = pick_upstream(x)?;
    // A body belongs to the request, not to the tunnel: who sends one gets an ordinary answer.
    let upgrade = x.head.wants_upgrade() && body.is_done() && send_http1::may_upgrade(&x.head);
    headers::towards_backend(x, listener, upgrade);
    let retry = x.route.as_ref().map(|route| route.route.retry.clone()).unwrap_or_default();
    if x.head.method.is_idempotent() && !body.is_done() {
        Replay::keep(body, headers::content_length(&x.head.fields), retry.body_bytes as usize);
    }
    let _admitted = upstream.admit().map_err(|_| Failure::Overload)?;
    upstream.retries.earn(&upstream.backend().retry_allowance);
    let choice = Choice::new(x, &upstream);
    let plan = Plan::new(x, &listener.limits, upgrade);
    let start = Instant::now();
    let mut left = retry.attempts;
    let (mut avoid, mut fresh) = (None::<Arc<Peer>>, false);
    loop {
        // Taken out at once: what guards the settings is not to be held while a request lasts.
        let connect_timeout = upstream.backend().connect_timeout;
        let peer = choice.pick(x, &upstream, avoid.as_deref()).ok_or(Failure::NoEndpoint)?;
        let busy: InFlight = peer.begin();
        headers::name_host(x, peer.address);
        x.endpoint = Some(peer.address);
        x.tries += 1;
        let answer_limit = match x.tries {
            1 => plan.answer_limit,
            _ => plan.answer_limit.saturating_sub(start.elapsed()),
        };
        let this = Try { connect_timeout, peer: &peer, plan: &plan, answer_limit, fresh, choice: &choice };
        let result = match peer.protocol {
            BackendProtocol::Http1 => send_http1::send(x, &this, body, responder).await,
            BackendProtocol::Http2 => Box::pin(send_http2::send(x, &this, body, responder)).await,
        };
        drop(busy);
        let Err(error) = result else {
            choice.note_answer(x, &upstream, &peer);
            return Ok(());
        };
        note_failure(x, &upstream, (&peer, &choice), &error);
        let in_time = start.elapsed() < plan.answer_limit;
        if !in_time
            || !is_safe(x, &error)
            || !is_allowed(&upstream, error.reused && !fresh, &mut left)
            || !rewind(x, body)
        {
            return Err(error.failure);
        }
        x.worker().shared.metrics.upstream.retries.add(error.failure.reason());
        fresh |= error.reused;
        avoid = if error.reused { None } else { Some(peer) };
    }
}

/// Chooses a backend of the route by weight.
///
/// # Errors
/// When the route has none, or its reference does not resolve.
pub fn pick_upstream(x: &mut Exchange<'_>) -> Result<Arc<Upstream>, Failure> {
    let route = x.route.as_ref().ok_or(Failure::NoRoute)?;
    let index = route.pick(x.worker().random()).ok_or(Failure::NoWeight)?;
    x.target = Some(index);
    route.targets[index].upstream.clone().map_err(Failure::InvalidBackend)
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
    if !matches!(error.failure, Failure::ClientClosed | Failure::ClientBody | Failure::ClientBodyTimeout) {
        metrics.failed.add(error.failure.reason());
    }
    let blamed = matches!(
        error.failure,
        Failure::Connect
            | Failure::ConnectTimeout
            | Failure::UpstreamClosed
            | Failure::UpstreamProtocol
            | Failure::RequestTimeout
    );
    let idle_race = error.reused && error.progress != Progress::Answered;
    if blamed && !idle_race {
        choice.note_failure(x, upstream, peer, error.failure.reason());
    }
}

/// Whether sending a request again does no harm: nothing of it was sent, or no answer came and doing it twice has
/// the effect of doing it once. A POST of which a byte was sent may have been carried out, whatever became of the
/// answer, so it is never sent again (RFC 9110 §9.2.2).
fn is_safe(x: &Exchange<'_>, error: &TryError) -> bool {
    match error.progress {
        Progress::Answered => false,
        Progress::Nothing => true,
        Progress::Sent => x.head.method.is_idempotent() && error.failure == Failure::UpstreamClosed,
    }
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

/// Opens a connection to the peer of a try; it counts as open while the guard lives.
///
/// # Errors
/// As [`connect()`], with nothing sent.
pub async fn open(x: &Exchange<'_>, this: &Try<'_>) -> Result<(Stream, OpenConnection), TryError> {
    open_to(x, this.peer, this.connect_timeout).await
}

/// Opens a connection to a peer, TLS included, within this time; it counts as open while the guard lives.
///
/// # Errors
/// As [`connect()`], with nothing sent.
pub async fn open_to(
    x: &Exchange<'_>,
    peer: &Peer,
    limit: Duration,
) -> Result<(Stream, OpenConnection), TryError> {
    let mut opened = connect(peer, limit).await;
    if matches!(opened, Err(ConnectError::Shortage(_))) {
        x.worker().shed();
        // Those that shall close need their turn.
        tokio::task::yield_now().await;
        opened = connect(peer, limit).await;
    }
    match opened {
        Ok(stream) => Ok((stream, x.worker().shared.metrics.upstream.open())),
        Err(error) => {
            tracing::debug!(peer = %peer.address, %error, "cannot connect");
            let failure = match error {
                ConnectError::Timeout => Failure::ConnectTimeout,
                ConnectError::Shortage(_) => Failure::Shortage,
                ConnectError::Tcp(_) | ConnectError::Tls(_) => Failure::Connect,
            };
            Err(TryError { failure, progress: Progress::Nothing, reused: false })
        }
    }
}
