//! Attempt: what one try to have an answer needs to know, how it fails, and how its connection is opened.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{again::Again, body::Pace, exchange::Exchange, picking::Choice, respond::Failure};
use crate::{
    http1::Stream,
    message::ResponseHead,
    model::Limits,
    runtime::metrics::OpenConnection,
    upstream::{Asker, ConnectError, Peer, Upstream, connect_for, give_up_after},
};

/// Our own limit may be too short to say that a peer that acknowledges nothing is gone; then this counts.
const LEAST_PATIENCE: Duration = Duration::from_secs(50);
/// How much longer than that the system waits, so that our own limit says first what was wrong.
const MORE_PATIENCE: Duration = Duration::from_secs(10);

/// How far a try that failed had got, which decides whether another one is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not one byte of the request was sent.
    Nothing,
    /// Some of the request was sent, and not one byte of an answer came.
    Sent,
    /// An answer came and was dropped, as another try is worth more and is allowed already.
    Dropped,
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
    /// Whether the connection may just have been closed for being idle, which is nobody's fault.
    pub fn is_idle_loss(&self) -> bool {
        let unanswered = matches!(self.progress, Progress::Nothing | Progress::Sent);
        self.reused && unanswered && self.failure == Failure::UpstreamClosed
    }

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
    /// The same for each try, if it is limited; connecting may take no longer either.
    pub try_limit: Option<Duration>,
    /// When the client of gRPC stops waiting for the end of the answer, if it said so.
    pub deadline: Option<Instant>,
    /// Limits of the side that asks.
    pub request_pace: Pace,
    /// Longest silence of a tunnel.
    pub tunnel_idle: Duration,
    /// Whether the request may become a tunnel.
    pub upgrade: bool,
    /// When it is sent again.
    pub again: Again,
    /// Longest time to open a connection, TLS included.
    pub connect_timeout: Duration,
    /// What decides its endpoint.
    pub choice: Choice,
}

impl Plan {
    /// The plan for a request whose route is known.
    pub fn new(x: &Exchange<'_>, limits: &Limits, (upgrade, again): (bool, Again)) -> Self {
        let timeouts = x.route.as_ref().map(|route| &route.route.timeouts);
        let stall = limits.write_stall;
        let idle = timeouts.map_or(limits.body_idle, |timeouts| timeouts.backend_idle);
        Self {
            answer_pace: Pace { idle, min_rate_bytes: 0, stall },
            answer_limit: timeouts
                .map_or(limits.body_idle, |timeouts| timeouts.request)
                .saturating_sub(x.waited),
            try_limit: timeouts.and_then(|timeouts| timeouts.backend),
            deadline: None,
            request_pace: Pace { idle: limits.body_idle, min_rate_bytes: limits.body_min_rate_bytes, stall },
            tunnel_idle: limits.tunnel_idle,
            upgrade,
            again,
            connect_timeout: Duration::ZERO,
            choice: Choice::default(),
        }
    }

    /// The exact end of a wait that begins now. Only where time is counted out does a wait need one: the others end
    /// to a tenth of a second, which costs less.
    pub fn exact_end(&self, wait: Duration) -> Option<Instant> {
        (self.try_limit.is_some() || self.deadline.is_some()).then(|| Instant::now() + wait)
    }

    /// What a failure is called: one that came as the client's own time was over is that.
    pub fn name(&self, failure: Failure) -> Failure {
        let is_late = || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        match failure {
            Failure::RequestTimeout | Failure::ConnectTimeout if is_late() => Failure::Deadline,
            other => other,
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
    /// The backend, if an answer of this try may be dropped for another one.
    pub may_drop: Option<&'t Upstream>,
    /// Why it goes there; hears of the answer.
    pub choice: &'t Choice,
}

impl Try<'_> {
    /// Whether an answer with this head is to be dropped as another try is worth more. If so, that try is paid for,
    /// and it is safe: all of the body that was sent can be sent again.
    pub fn drops(&self, x: &Exchange<'_>, answer: &ResponseHead) -> bool {
        let (Some(upstream), Some(route)) = (self.may_drop, &x.route) else { return false };
        self.plan.again.is_listed(&route.route.retry.on, answer)
            && self.plan.again.can_replay(x.received.get())
            && upstream.retries.take(&upstream.backend().retry_allowance, Instant::now())
    }

    /// The error of a try whose answer was dropped as another backend has a page for it.
    pub fn replaced(status: u16) -> TryError {
        TryError { failure: Failure::Replaced(status), progress: Progress::Answered, reused: false }
    }

    /// The error of a try whose answer was dropped for its status.
    pub fn dropped(status: u16) -> TryError {
        TryError { failure: Failure::Status(status), progress: Progress::Dropped, reused: false }
    }
}

/// Opens a connection for requests to the peer of a try; it counts as open while the guard lives. A peer that takes
/// nothing for longer than our own limit allows is gone: who waits for its answer is told so.
///
/// # Errors
/// As [`connect_for()`], with nothing sent.
pub async fn open(x: &Exchange<'_>, this: &Try<'_>) -> Result<(Stream, OpenConnection), TryError> {
    let opened = open_to(x, this.peer, this.connect_timeout).await?;
    give_up_after(opened.0.tcp(), Some(x.write_stall().max(LEAST_PATIENCE).saturating_add(MORE_PATIENCE)));
    Ok(opened)
}

/// Opens a connection to a peer, TLS included, within this time; it counts as open while the guard lives.
///
/// # Errors
/// As [`connect_for()`], with nothing sent.
pub async fn open_to(
    x: &Exchange<'_>,
    peer: &Peer,
    limit: Duration,
) -> Result<(Stream, OpenConnection), TryError> {
    let asker = Asker { client: Some(x.client_address()), brings_tls: x.brings_tls };
    let mut opened = connect_for(peer, asker, limit).await;
    if matches!(opened, Err(ConnectError::Shortage(_))) {
        x.worker().shed();
        // Those that shall close need their turn.
        tokio::task::yield_now().await;
        opened = connect_for(peer, asker, limit).await;
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
