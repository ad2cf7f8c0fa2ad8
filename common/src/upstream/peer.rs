//! Peers: endpoints in operation, each with its requests in flight and its health.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{Upstream, health::Health};
use crate::model::{Backend, BackendProtocol, BackendTls};

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
    pub tls: Option<BackendTls>,
    /// The peer's neighbours decide whether it may be ejected.
    upstream: Weak<Upstream>,
    health: Health,
    in_flight: AtomicU32,
    gone: AtomicBool,
}

/// A request in flight; it ends when this is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Peer>);

impl Peer {
    pub(super) fn new(address: SocketAddr, backend: &Backend, upstream: Weak<Upstream>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: PeerId(NEXT.fetch_add(1, Relaxed)),
            address,
            protocol: backend.protocol,
            tls: backend.tls.clone(),
            upstream,
            health: Health::new(),
            in_flight: AtomicU32::new(0),
            gone: AtomicBool::new(false),
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
