//! Mirror: sends copies of requests to backends whose answers nobody sees, beside the requests and never in their way.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    again::Again,
    attempt::{Plan, Try},
    body::Incoming,
    exchange::{Client, Exchange},
    headers,
    picking::Choice,
    replay::Replay,
    respond::Failure,
    responder::Responder,
    send_http1, send_http2,
    worker::Worker,
};
use crate::{
    message::{Fields, Known, RequestHead},
    model::BackendProtocol,
    upstream::Upstream,
};

/// Copies under way at once on one worker; further ones are not sent.
const MOST_IN_FLIGHT: usize = 100;

/// Copies of one request that are to be sent.
pub struct Copies {
    client: Client,
    head: Box<RequestHead>,
    /// Each with the `Host` of its copies, if that is not the one of the request.
    targets: Vec<(Arc<Upstream>, Option<Arc<str>>)>,
    plan: CopyPlan,
}

/// What copies take over from the request.
#[derive(Clone, Copy)]
struct CopyPlan {
    limit: Duration,
    idle: Duration,
    stall: Duration,
}

/// A copy's body.
pub enum CopyBody {
    /// All of it.
    Whole(Vec<u8>),
    /// It was too large to keep, or was not read to its end.
    Missing,
}

/// Draws who gets a copy of a request whose head is ready for its backend. Copies of requests without a body are on
/// their way at once; the others are given back, to be sent when the body has been read.
pub fn draw(x: &Exchange<'_>, plan: &Plan, body: &Incoming<'_>) -> Option<Box<Copies>> {
    let route = x.route.as_ref().filter(|route| !route.mirrors.is_empty())?;
    if plan.upgrade {
        return None;
    }
    let drawn = route.mirrors.iter().filter(|mirror| x.worker().random() % 100 < mirror.percent.into());
    let counts = &x.worker().shared.metrics.mirrored;
    let targets: Vec<_> = drawn
        .filter_map(|mirror| {
            let upstream = mirror.upstream.clone().inspect_err(|_| counts.add("invalid")).ok()?;
            Some((upstream, mirror.host.clone()))
        })
        .collect();
    if targets.is_empty() {
        return None;
    }
    let mut head = Box::new(RequestHead::clone(&x.head));
    head.fields.push(b"x-selvedge-mirror", b"true");
    let plan =
        CopyPlan { limit: plan.answer_limit, idle: plan.answer_pace.idle, stall: plan.request_pace.stall };
    let copies = Copies { client: x.client.unconnected(), head, targets, plan };
    if body.is_done() {
        copies.send(x.worker(), CopyBody::Whole(Vec::new()));
        return None;
    }
    // Apart, as few routes have mirrors and every connection would keep room for them.
    Some(Box::new(copies))
}

/// What a copy gets of a body that has been sent.
pub fn whole(body: &Incoming<'_>) -> CopyBody {
    match body {
        Incoming::Replay(replay) => {
            replay.whole().map_or(CopyBody::Missing, |kept| CopyBody::Whole(kept.to_vec()))
        }
        _ => CopyBody::Missing,
    }
}

impl Copies {
    /// Sends the copies with this body, each in a task of its own.
    pub fn send(self, worker: &Rc<Worker>, body: CopyBody) {
        let counts = &worker.shared.metrics.mirrored;
        for (target, host) in self.targets {
            let CopyBody::Whole(body) = &body else {
                counts.add("body_not_kept");
                continue;
            };
            if worker.copies.get() >= MOST_IN_FLIGHT {
                counts.add("dropped");
                continue;
            }
            let (mut head, body, plan) = (self.head.clone(), body.clone(), self.plan);
            if let Some(host) = host {
                head.fields.set(Known::Host, b"host", host.as_bytes());
            }
            let client = self.client.unconnected();
            let counted = Counted::new(worker);
            worker.spawn("mirror", async move {
                let worker = &counted.0;
                let sent = worker.deadlines.within(plan.limit, send(&client, &target, plan, (head, body)));
                let result = match sent.await {
                    Ok(Ok(())) => "answered",
                    Ok(Err(failure)) => failure.reason(),
                    Err(_) => Failure::RequestTimeout.reason(),
                };
                worker.shared.metrics.mirrored.add(result);
            });
        }
    }
}

/// A copy that is counted as under way while this lives.
struct Counted(Rc<Worker>);

impl Counted {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.copies.set(worker.copies.get() + 1);
        Self(worker.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.copies.set(self.0.copies.get() - 1);
    }
}

/// Sends one copy and reads its answer to the end. It is tried once, but for a connection that was closed for being
/// idle.
async fn send(
    client: &Client,
    target: &Arc<Upstream>,
    plan: CopyPlan,
    (head, body): (Box<RequestHead>, Vec<u8>),
) -> Result<(), Failure> {
    let _admitted = target.admit().map_err(|_| Failure::Overload)?;
    let mut x = Exchange::unrecorded(client, head);
    let choice = Choice::new(&x, &target.backend());
    let mut body = match body.is_empty() {
        true => Incoming::Taken(Fields::default()),
        false => Incoming::Replay(Box::new(Replay::of(body))),
    };
    let plan = plan.whole();
    let mut fresh = false;
    loop {
        let connect_timeout = target.backend().connect_timeout;
        let peer = choice.pick(&x, (target, Instant::now()), None).ok_or(Failure::NoEndpoint)?;
        let _busy = peer.begin();
        headers::name_host(&mut x, peer.address);
        let answer_limit = plan.answer_limit;
        let this = Try {
            connect_timeout,
            peer: &peer,
            plan: &plan,
            answer_limit,
            fresh,
            may_drop: None,
            choice: &choice,
        };
        let responder = &mut Responder::Nobody;
        let result = match peer.protocol {
            BackendProtocol::Http1 => Box::pin(send_http1::send(&mut x, &this, &mut body, responder)).await,
            BackendProtocol::Http2 => Box::pin(send_http2::send(&mut x, &this, &mut body, responder)).await,
        };
        match result {
            Err(error) if error.is_idle_loss() && !fresh => {
                fresh = true;
                body.rewind();
            }
            result => return result.map_err(|error| error.failure),
        }
    }
}

impl CopyPlan {
    fn whole(self) -> Plan {
        let pace = super::body::Pace { idle: self.idle, min_rate_bytes: 0, stall: self.stall };
        Plan {
            answer_pace: pace,
            answer_limit: self.limit,
            try_limit: None,
            deadline: None,
            request_pace: pace,
            tunnel_idle: self.idle,
            upgrade: false,
            again: Again::default(),
            connect_timeout: Duration::ZERO,
            choice: Choice::default(),
        }
    }
}
