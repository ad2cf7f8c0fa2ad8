//! Upstreams: the live side of backends, which outlives snapshots: peers, their health, requests in flight.

mod balance;
pub mod check;
mod connect;
mod destinations;
mod fair;
mod hashing;
mod health;
mod own;
mod peer;
mod pool;
mod proxy_header;
mod registry;
pub mod resolve;
mod retry;
mod set;
mod slots;
pub mod tls;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

pub use connect::{Asker, ConnectError, connect, connect_for, give_up_after};
pub use destinations::{Asking, Destination, Destinations, Looking, Lookup, NoDestination, Question};
pub use fair::{Share, Turn, Waiter};
pub use hashing::hash;
pub use own::OwnAddresses;
pub use peer::{Checked, InFlight, Peer, PeerId};
pub use pool::{Http1Link, Http2Stream, LocalWait, Pool};
pub use registry::Registry;
pub use retry::RetryBudget;
pub use slots::{Admitted, Overload, Slot, Slots, Waiting};

use crate::{
    id::BackendId,
    model::{Backend, BackendLimits, Endpoints, HealthCheck},
};
use balance::Balancer;
use fair::Callers;
use registry::Surroundings;
use set::{PeerSet, Wanted};
use tls::Secured;

/// A backend in operation. Settings and peers are swapped without replacing it.
#[derive(Debug)]
pub struct Upstream {
    /// Names the backend.
    pub id: BackendId,
    /// Name of its Service alone, for metrics; all routes that lead here share it.
    pub service: Arc<str>,
    backend: ArcSwap<Backend>,
    peers: ArcSwap<PeerSet>,
    /// How many of its requests may be sent again.
    pub retries: RetryBudget,
    /// Requests in flight, counted while they are limited.
    admitted: AtomicU32,
    /// What each caller takes of it, counted while that is limited.
    callers: Callers,
    /// Its connections, if they are limited.
    slots: ArcSwapOption<Slots>,
    /// TLS for the next peers.
    tls: ArcSwapOption<Secured>,
    surroundings: Arc<Surroundings>,
    leads_back: AtomicBool,
}

impl Upstream {
    fn new(id: BackendId, backend: Arc<Backend>, surroundings: Arc<Surroundings>) -> Arc<Self> {
        let peers = PeerSet::empty(Arc::new(Balancer::new(&backend.balance)));
        let retries = RetryBudget::new(&backend.retry_allowance);
        let slots = Slots::new(&backend.limits, &surroundings);
        let tls = ArcSwapOption::new(Secured::of(&backend));
        Arc::new(Self {
            service: service_of(&id).into(),
            id,
            tls,
            backend: ArcSwap::new(backend),
            peers: ArcSwap::from_pointee(peers),
            retries,
            admitted: AtomicU32::new(0),
            callers: Callers::default(),
            slots: ArcSwapOption::new(slots),
            surroundings,
            leads_back: AtomicBool::new(false),
        })
    }

    /// The settings now in effect.
    pub fn backend(&self) -> Guard<Arc<Backend>> {
        self.backend.load()
    }

    /// Whether it has endpoints that are not used as they are this very process.
    pub fn leads_back(&self) -> bool {
        self.leads_back.load(Ordering::Relaxed)
    }

    /// The endpoints now in use.
    pub fn endpoints(&self) -> Endpoints {
        self.peers.load().endpoints.clone()
    }

    /// Where its connections are counted; `None` if they are not limited.
    pub fn slots(&self) -> Option<Arc<Slots>> {
        self.slots.load_full()
    }

    /// Whether neither one caller nor all together have a limit.
    pub fn lets_all_in(&self) -> bool {
        let backend = self.backend();
        backend.fairness.per_caller.is_none() && backend.limits.requests.is_none()
    }

    /// Counts a request in flight until the guard is dropped; no guard if they are not limited.
    ///
    /// # Errors
    /// If there are as many already as may be.
    pub fn admit(self: &Arc<Self>) -> Result<Option<Admitted>, Overload> {
        match self.backend().limits.requests {
            None => Ok(None),
            Some(most) => Admitted::new(self, most).map(Some),
        }
    }

    /// Counts a request against what its caller may take, until the guard is dropped, or lets it wait; nothing if that
    /// is not limited. `caller` names the caller.
    ///
    /// # Errors
    /// If as many requests of the caller wait already as may.
    pub fn share<C: AsRef<[u8]>>(
        self: &Arc<Self>,
        caller: impl FnOnce() -> C,
    ) -> Result<Option<Turn>, Overload> {
        let backend = self.backend();
        match backend.fairness.per_caller {
            None => Ok(None),
            Some(_) => Share::take(self, &backend.fairness, caller().as_ref()).map(Some),
        }
    }

    /// Chooses a peer for a new request; `None` if there is none at all. Takes no lock and never waits.
    ///
    /// Ready peers come first, near ones before others, then draining ones. Ejected and unhealthy peers are passed
    /// over, unless too many of the peers are. `avoid`, which a retry sets to the peer that just failed, is chosen
    /// only if it is alone. `random` is any well-mixed value that differs from call to call, or else the
    /// [hash](hash()) of what shall always go to the same peer.
    pub fn pick(&self, now: Instant, random: u64, avoid: Option<&Peer>) -> Option<Arc<Peer>> {
        self.peers.load().pick(&Wanted { now, random, avoid }, &self.backend).cloned()
    }

    /// The peer of this [mark](Peer::mark), if new requests go to it.
    pub fn find(&self, now: Instant, mark: u64) -> Option<Arc<Peer>> {
        let set = self.peers.load();
        set.usable().iter().find(|peer| peer.mark == mark && peer.is_well(now)).cloned()
    }

    /// Takes over settings. Peers are replaced if what is spoken to them changed, because their idle
    /// connections are of no use then. Returns the number of peers that went.
    fn apply_backend(self: &Arc<Self>, backend: &Arc<Backend>) -> usize {
        let old = self.backend.swap(backend.clone());
        let set = self.peers.load_full();
        if limits_connections_otherwise(&old.limits, &backend.limits) {
            self.slots.store(Slots::new(&backend.limits, &self.surroundings));
        }
        if old.fairness != backend.fairness {
            self.callers.follow(&backend.fairness);
        }
        if backend.check.is_none() || !asks_the_same(old.check.as_ref(), backend.check.as_ref()) {
            set.all().for_each(|peer| peer.forget_checked());
        }
        let replace = old.protocol != backend.protocol
            || old.tls != backend.tls
            || old.proxy_protocol != backend.proxy_protocol;
        let rearrange = old.slow_start != backend.slow_start || old.prefer_zone != backend.prefer_zone;
        if !replace && !rearrange && old.balance == backend.balance {
            return 0;
        }
        let balancer = match old.balance == backend.balance {
            true => set.balancer.clone(),
            false => Arc::new(Balancer::new(&backend.balance)),
        };
        if replace {
            self.tls.store(Secured::of(backend));
        }
        let known = if replace { HashMap::new() } else { by_address(&set) };
        self.arrange(set.endpoints.clone(), known, None, balancer);
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
        let old = self.peers.load_full();
        if old.endpoints == *endpoints {
            return None;
        }
        let joined = (!old.endpoints.is_empty()).then(Instant::now);
        let gone = self.arrange(endpoints.clone(), by_address(&old), joined, old.balancer.clone());
        Some(gone.into_values().map(|peer| peer.mark_gone()).count())
    }

    /// Sees the peers from another zone.
    fn apply_zone(self: &Arc<Self>) {
        let old = self.peers.load_full();
        self.arrange(old.endpoints.clone(), by_address(&old), None, old.balancer.clone());
    }

    /// Makes a new set of peers, known or else new ones that join now. Returns those that are left over.
    fn arrange<'a>(
        self: &Arc<Self>,
        endpoints: Endpoints,
        mut known: HashMap<SocketAddr, &'a Arc<Peer>>,
        joined: Option<Instant>,
        balancer: Arc<Balancer>,
    ) -> HashMap<SocketAddr, &'a Arc<Peer>> {
        let (backend, zone) = (self.backend.load(), self.surroundings.zone.load());
        let tls = self.tls.load();
        let mut peer = |address| match known.remove(&address) {
            Some(peer) => peer.clone(),
            None => Peer::new(address, (&self.id, &backend, &tls), Arc::downgrade(self), joined),
        };
        let peers = endpoints.iter().map(|endpoint| peer(endpoint.address)).collect();
        let set = PeerSet::new((endpoints, peers), &backend, zone.as_deref().map(|zone| &**zone), balancer);
        self.peers.store(Arc::new(set));
        known
    }
}

/// The name of a Service in the id of its backend, which is `namespace/service:port`.
pub fn service_of(id: &BackendId) -> &str {
    id.as_str().split(['/', ':']).nth(1).unwrap_or_default()
}

fn by_address(set: &PeerSet) -> HashMap<SocketAddr, &Arc<Peer>> {
    set.all().map(|peer| (peer.address, peer)).collect()
}

/// Whether what one check found holds for another one, too.
fn asks_the_same(old: Option<&HealthCheck>, new: Option<&HealthCheck>) -> bool {
    let question = |check: &HealthCheck| (check.kind.clone(), check.port);
    old.map(question) == new.map(question)
}

fn limits_connections_otherwise(old: &BackendLimits, new: &BackendLimits) -> bool {
    (old.connections, old.pending) != (new.connections, new.pending)
}

#[cfg(test)]
mod tests;
