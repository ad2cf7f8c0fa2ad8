//! Upstreams: the live side of backends, which outlives snapshots: peers, their health, requests in flight.

mod balance;
mod connect;
mod health;
mod own;
mod peer;
mod pool;
mod registry;
pub mod resolve;
mod retry;
pub mod tls;

use std::{
    cell::OnceCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use arc_swap::{ArcSwap, Guard};

pub use connect::{ConnectError, connect};
pub use own::OwnAddresses;
pub use peer::{InFlight, Peer, PeerId};
pub use pool::{Http1Link, Http2Stream, Pool};
pub use registry::Registry;
pub use retry::RetryBudget;

use crate::{
    id::BackendId,
    model::{Backend, Endpoint, EndpointState, Endpoints},
};
use balance::Balancer;

/// A backend in operation. Settings and peers are swapped without replacing it.
#[derive(Debug)]
pub struct Upstream {
    /// Names the backend.
    pub id: BackendId,
    backend: ArcSwap<Backend>,
    peers: ArcSwap<PeerSet>,
    /// How many of its requests may be sent again.
    pub retries: RetryBudget,
    leads_back: AtomicBool,
}

/// The peers of an upstream at one moment, and how one of them is chosen.
#[derive(Debug)]
struct PeerSet {
    ready: Vec<Arc<Peer>>,
    /// Get new requests only if none is ready.
    draining: Vec<Arc<Peer>>,
    balancer: Arc<Balancer>,
}

impl Upstream {
    fn new(id: BackendId, backend: Arc<Backend>) -> Arc<Self> {
        let balancer = Arc::new(Balancer::new(&backend.balance));
        let peers = PeerSet { ready: Vec::new(), draining: Vec::new(), balancer };
        let retries = RetryBudget::new(&backend.retry_allowance);
        let (backend, peers) = (ArcSwap::new(backend), ArcSwap::from_pointee(peers));
        Arc::new(Self { id, backend, peers, retries, leads_back: AtomicBool::new(false) })
    }

    /// The settings now in effect.
    pub fn backend(&self) -> Guard<Arc<Backend>> {
        self.backend.load()
    }

    /// Whether it has endpoints that are not used as they are this very process.
    pub fn leads_back(&self) -> bool {
        self.leads_back.load(Ordering::Relaxed)
    }

    /// The endpoints now in use, without their zones.
    pub fn endpoints(&self) -> Endpoints {
        let set = self.peers.load();
        let of = |peers: &[Arc<Peer>], state| -> Vec<_> {
            peers.iter().map(|peer| Endpoint::new(peer.address, state)).collect()
        };
        let mut all = of(&set.ready, EndpointState::Ready);
        all.extend(of(&set.draining, EndpointState::Draining));
        all.sort_unstable();
        all.into()
    }

    /// Chooses a peer for a new request; `None` if there is none at all. Takes no lock and never waits.
    ///
    /// Ready peers come first, then draining ones. Ejected peers are passed over, unless too many of
    /// the peers are. `avoid`, which a retry sets to the peer that just failed, is chosen only if it is
    /// alone. `random` is any well-mixed value that differs from call to call.
    pub fn pick(&self, now: Instant, random: u64, avoid: Option<&Peer>) -> Option<Arc<Peer>> {
        let set = self.peers.load();
        let peers = set.usable();
        if let [] | [_] = peers {
            return peers.first().cloned();
        }
        let panic = OnceCell::new();
        let is_panic = || health::is_panic(&self.backend().health, peers, now);
        let is_other = |peer: &Peer| avoid.is_none_or(|avoid| avoid.id != peer.id);
        let is_fit = |peer: &Peer| is_other(peer) && (!peer.is_ejected(now) || *panic.get_or_init(is_panic));
        let chosen = set.balancer.choose(peers, random, &is_fit);
        chosen.or_else(|| set.balancer.choose(peers, random, &is_other)).or(peers.first()).cloned()
    }

    /// Takes over settings. Peers are replaced if what is spoken to them changed, because their idle
    /// connections are of no use then. Returns the number of peers that went.
    fn apply_backend(self: &Arc<Self>, backend: &Arc<Backend>) -> usize {
        let old = self.backend.swap(backend.clone());
        let set = self.peers.load_full();
        let replace = old.protocol != backend.protocol || old.tls != backend.tls;
        if !replace && old.balance == backend.balance {
            return 0;
        }
        let renew = |peers: &[Arc<Peer>]| match replace {
            true => peers.iter().map(|peer| Peer::new(peer.address, backend, Arc::downgrade(self))).collect(),
            false => peers.to_vec(),
        };
        let balancer = match old.balance == backend.balance {
            true => set.balancer.clone(),
            false => Arc::new(Balancer::new(&backend.balance)),
        };
        self.peers.store(Arc::new(PeerSet {
            ready: renew(&set.ready),
            draining: renew(&set.draining),
            balancer,
        }));
        match replace {
            true => set.all().map(|peer| peer.mark_gone()).count(),
            false => 0,
        }
    }

    /// The backend is in no snapshot any more. Its peers are gone, yet requests that were routed just before
    /// can still pick one. Returns the number of peers.
    fn retire(&self) -> usize {
        self.peers.load().all().map(|peer| peer.mark_gone()).count()
    }

    /// Takes over endpoints; peers with the same address stay. Returns how many peers went, or `None` if
    /// nothing changed.
    fn apply_endpoints(self: &Arc<Self>, endpoints: &Endpoints) -> Option<usize> {
        let (old, backend) = (self.peers.load_full(), self.backend.load());
        let mut known: std::collections::HashMap<_, _> = old.all().map(|peer| (peer.address, peer)).collect();
        let (mut ready, mut draining) = (Vec::new(), Vec::new());
        for endpoint in endpoints.iter() {
            let peer = match known.remove(&endpoint.address) {
                Some(peer) => peer.clone(),
                None => Peer::new(endpoint.address, &backend, Arc::downgrade(self)),
            };
            match endpoint.state {
                EndpointState::Ready => ready.push(peer),
                EndpointState::Draining => draining.push(peer),
            }
        }
        if same(&ready, &old.ready) && same(&draining, &old.draining) {
            return None;
        }
        self.peers.store(Arc::new(PeerSet { ready, draining, balancer: old.balancer.clone() }));
        Some(known.into_values().map(|peer| peer.mark_gone()).count())
    }
}

impl PeerSet {
    /// Those that new requests go to.
    fn usable(&self) -> &[Arc<Peer>] {
        match self.ready.is_empty() {
            true => &self.draining,
            false => &self.ready,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.ready.iter().chain(&self.draining)
    }
}

fn same(left: &[Arc<Peer>], right: &[Arc<Peer>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| Arc::ptr_eq(left, right))
}

#[cfg(test)]
mod tests;
