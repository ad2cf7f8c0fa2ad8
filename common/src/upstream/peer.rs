//! Peers: endpoints in operation, each with its requests in flight and its health.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    Upstream,
    balance::Latency,
    hashing::{hash, mix},
    health::{Health, since_epoch},
    slots::Slots,
    tls::Secured,
};
use crate::{
    id::BackendId,
    model::{Backend, BackendProtocol, ProxyProtocolVersion},
};

/// Share of requests that a peer gets at least while its share grows, of a hundred.
const LEAST_SHARE: u32 = 10;

/// Names a peer. An address that goes and comes back gets another one, so connections are never mixed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

/// An endpoint in operation.
pub struct Peer {
    /// Unique in this process.
    pub id: PeerId,
    /// Where to connect.
    pub address: SocketAddr,
    /// What is spoken to it. Another protocol makes another peer, so its connections always fit.
    pub protocol: BackendProtocol,
    /// TLS towards it, with the same lifetime.
    pub tls: Option<Arc<Secured>>,
    /// Header of the PROXY protocol sent to it, with the same lifetime.
    pub proxy_protocol: Option<ProxyProtocolVersion>,
    /// Names the address for cookies and hashing: the same on every replica and after a restart, different for each
    /// backend.
    pub mark: u64,
    /// The peer's neighbours decide whether it may be ejected.
    upstream: Weak<Upstream>,
    health: Health,
    checked: AtomicU8,
    pub(super) latency: Latency,
    in_flight: AtomicU32,
    gone: AtomicBool,
    /// When it joined others; `None` if it was there from the start.
    joined: Option<Instant>,
}

/// What health checks say of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Nothing yet, or there are no checks; it gets requests.
    Unknown,
    /// It is well.
    Healthy,
    /// It is not, and gets no requests unless too many others are not, too.
    Unhealthy,
}

/// A request in flight; it ends when this is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Peer>);

impl Peer {
    /// `joined` is when it came to others that were there before.
    pub(super) fn new(
        address: SocketAddr,
        (id, backend, tls): (&BackendId, &Backend, &Option<Arc<Secured>>),
        upstream: Weak<Upstream>,
        joined: Option<Instant>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: PeerId(NEXT.fetch_add(1, Relaxed)),
            address,
            protocol: backend.protocol,
            tls: tls.clone(),
            proxy_protocol: backend.proxy_protocol,
            mark: hash(format!("{} {address}", id.as_str()).as_bytes()),
            upstream,
            health: Health::new(),
            checked: AtomicU8::new(Checked::Unknown as u8),
            latency: Latency::default(),
            in_flight: AtomicU32::new(0),
            gone: AtomicBool::new(false),
            joined,
        })
    }

    /// Counts a request in flight until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }

    /// Requests in flight, of all workers.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Whether each of its connections is for one request, as it begins with the address of the client.
    pub fn is_told_clients(&self) -> bool {
        self.proxy_protocol.is_some()
    }

    /// Whether the endpoint was removed: requests in flight finish, idle connections close.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    pub(super) fn mark_gone(&self) {
        self.gone.store(true, Relaxed);
    }

    /// Whether it gets no new requests at this time because it kept failing.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.health.is_ejected(now)
    }

    /// The peer as it is asked how it is: at this port of its address, and over HTTP/2 if the question is in that
    /// whatever its requests are in.
    pub(super) fn asked_at(self: &Arc<Self>, port: u16, http2: bool) -> Arc<Self> {
        let protocol = if http2 { BackendProtocol::Http2 } else { self.protocol };
        if port == self.address.port() && protocol == self.protocol {
            return self.clone();
        }
        let tls = self.tls.as_ref().map(|secured| secured.tls.clone());
        let backend = Backend { protocol, tls, proxy_protocol: self.proxy_protocol, ..Backend::default() };
        let tls = if protocol == self.protocol { self.tls.clone() } else { Secured::of(&backend) };
        let address = SocketAddr::new(self.address.ip(), port);
        Self::new(address, (&BackendId::new("health check"), &backend, &tls), self.upstream.clone(), None)
    }

    /// What health checks say of it.
    pub fn checked(&self) -> Checked {
        match self.checked.load(Relaxed) {
            0 => Checked::Unknown,
            1 => Checked::Healthy,
            _ => Checked::Unhealthy,
        }
    }

    /// Health checks found it well, or not.
    pub fn set_checked(&self, is_healthy: bool) {
        let checked = if is_healthy { Checked::Healthy } else { Checked::Unhealthy };
        self.checked.store(checked as u8, Relaxed);
    }

    /// There are no health checks any more.
    pub(super) fn forget_checked(&self) {
        self.checked.store(Checked::Unknown as u8, Relaxed);
    }

    /// Whether it is neither ejected nor found unhealthy.
    pub fn is_well(&self, now: Instant) -> bool {
        !self.is_ejected(now) && self.checked() != Checked::Unhealthy
    }

    /// Whether it joined others at some time, so that its share may have to grow.
    pub(super) fn has_joined(&self) -> bool {
        self.joined.is_some()
    }

    /// Whether a new request is of the share that it gets while it grows to a full one within this time.
    pub(super) fn takes_share(&self, window: Duration, now: Instant, random: u64) -> bool {
        let Some(joined) = self.joined else { return true };
        let age = now.saturating_duration_since(joined);
        if age >= window {
            return true;
        }
        let share = (age.as_secs_f64() / window.as_secs_f64()).max(f64::from(LEAST_SHARE) / 100.0);
        // Not the value that ranks peers by a key, lest the best ranks never pass.
        let drawn = mix(random.wrapping_add(self.mark).rotate_left(32)) >> 32;
        (drawn as f64) < share * f64::from(u32::MAX)
    }

    /// An answer began this long after its request; only told where the balancer wants to know.
    pub fn observe(&self, took: Duration, now: Instant) {
        self.latency.observe(took, since_epoch(now));
    }

    /// A request failed after this time; only told where the balancer wants to know.
    pub fn penalize(&self, took: Duration, now: Instant) {
        self.latency.penalize(took, since_epoch(now));
    }

    /// A request was given up after it had waited this long for an answer; only told where the balancer wants to know.
    pub fn kept_waiting(&self, took: Duration, now: Instant) {
        self.latency.observe_at_least(took, since_epoch(now));
    }

    /// The peer answered as it should. Writes only if it failed before.
    pub fn succeeded(&self) {
        self.health.succeeded();
    }

    /// The peer could not be reached, or broke off without an answer. Enough of these in a row eject it for a
    /// while, if enough others are left. Returns whether it was ejected just now.
    pub fn failed(&self, now: Instant) -> bool {
        let Some(upstream) = self.upstream.upgrade() else { return false };
        let settings = &upstream.backend().health;
        if !self.health.failed(settings) {
            return false;
        }
        let set = upstream.peers.load();
        super::health::may_eject(settings, set.usable(), now) && self.health.eject(settings, now)
    }

    /// Where its connections are counted; `None` if they are not limited.
    pub fn slots(&self) -> Option<Arc<Slots>> {
        self.upstream.upgrade()?.slots()
    }
}

impl InFlight {
    /// The peer that the request is at.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({}, {} in flight, gone {})", self.address, self.in_flight(), self.is_gone())
    }
}
