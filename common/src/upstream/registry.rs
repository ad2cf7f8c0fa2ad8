//! The registry: every upstream by the id of its backend, from the first snapshot that names it to the last.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::{OwnAddresses, Peer, Upstream};
use crate::{
    id::BackendId,
    model::{Backend, Difference, Discovery, Endpoints, HealthCheck, SharedMap},
};

type Upstreams = SharedMap<BackendId, Arc<Upstream>>;

/// Every upstream by the id of its backend. Reading takes no lock; changes come one at a time.
#[derive(Debug)]
pub struct Registry {
    upstreams: ArcSwap<Upstreams>,
    applied: Mutex<AppliedState>,
    own: ArcSwap<OwnAddresses>,
    surroundings: Arc<Surroundings>,
    discoveries: watch::Sender<u64>,
    checks: watch::Sender<u64>,
}

/// What only those who change the registry look at, one at a time.
#[derive(Debug, Default)]
struct AppliedState {
    /// Backends as they were last taken over.
    backends: SharedMap<BackendId, Arc<Backend>>,
    /// Endpoints announced for backends that resolve a name instead; used if they stop doing so.
    unused: HashMap<BackendId, Endpoints>,
}

/// What a change means to those who follow the registry.
#[derive(Default)]
struct Effects {
    /// Peers that went.
    departed: usize,
    /// A backend that resolves a name came, went or changed.
    discovers: bool,
    /// The same of one whose peers are asked how they are, or of these peers.
    checks: bool,
}

/// What all upstreams of a registry share.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Zone that the proxy is in, if known.
    pub(super) zone: ArcSwapOption<Arc<str>>,
    departures: watch::Sender<u64>,
}

impl Surroundings {
    /// Asks all workers to close the idle connections that are no longer of use or that others wait for.
    pub(super) fn sweep(&self) {
        self.departures.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry without upstreams.
    pub fn new() -> Self {
        Self {
            upstreams: ArcSwap::default(),
            applied: Mutex::default(),
            own: ArcSwap::default(),
            surroundings: Arc::new(Surroundings {
                zone: ArcSwapOption::empty(),
                departures: watch::Sender::new(0),
            }),
            discoveries: watch::Sender::new(0),
            checks: watch::Sender::new(0),
        }
    }

    /// The upstream of a backend; `None` if no snapshot in effect names it.
    pub fn get(&self, id: &BackendId) -> Option<Arc<Upstream>> {
        self.upstreams.load().get(id).cloned()
    }

    /// An upstream beside those of snapshots, whose endpoints are its owner's matter.
    pub(super) fn apart(&self, id: BackendId, backend: &Backend) -> Arc<Upstream> {
        let backend = Backend { discovery: Discovery::Endpoints, ..backend.clone() };
        Upstream::new(id, Arc::new(backend), self.surroundings.clone())
    }

    /// Lets such an upstream go: requests finish, idle connections close.
    pub(super) fn retire(&self, upstream: &Upstream) {
        self.announce(&Effects { departed: upstream.retire(), ..Effects::default() });
    }

    /// Never uses endpoints at these addresses. Those that are in use already stay until they are announced again.
    pub fn set_own(&self, own: OwnAddresses) {
        self.own.store(Arc::new(own));
    }

    /// Changes whenever peers go, and whenever a request waits for a connection that another worker may have idle;
    /// then the pool of each worker is to be [swept](super::Pool::sweep).
    pub fn departures(&self) -> watch::Receiver<u64> {
        self.surroundings.departures.subscribe()
    }

    /// Says which zone the proxy is in (label `topology.kubernetes.io/zone` of its node): endpoints that are meant
    /// for it come first.
    pub fn set_zone(&self, zone: Option<Arc<str>>) {
        let _one_at_a_time = self.lock();
        self.surroundings.zone.store(zone.map(Arc::new));
        self.upstreams.load().values().for_each(|upstream| upstream.apply_zone());
    }

    /// Changes whenever a backend that resolves a name comes, goes or changes.
    pub(super) fn discoveries(&self) -> watch::Receiver<u64> {
        self.discoveries.subscribe()
    }

    /// The upstreams whose endpoints come from a name.
    pub(super) fn resolving(&self) -> Vec<(Arc<Upstream>, Discovery)> {
        let upstreams = self.upstreams.load();
        let resolving = upstreams.values().filter_map(|upstream| match &upstream.backend().discovery {
            Discovery::Endpoints => None,
            name @ Discovery::Dns { .. } => Some((upstream.clone(), name.clone())),
        });
        resolving.collect()
    }

    /// Changes whenever a backend whose peers are asked how they are comes, goes or changes, or these peers do.
    pub(super) fn checks(&self) -> watch::Receiver<u64> {
        self.checks.subscribe()
    }

    /// The upstreams whose peers are asked how they are.
    pub(super) fn checking(&self) -> Vec<(Arc<Upstream>, HealthCheck)> {
        let upstreams = self.upstreams.load();
        let check = |upstream: &Arc<Upstream>| Some((upstream.clone(), upstream.backend().check.clone()?));
        upstreams.values().filter_map(check).collect()
    }

    /// Takes over the backends of a snapshot. Those that stay keep peers, health and requests in flight; the
    /// peers of those that are not in it are gone, but who still holds such an upstream can finish what he
    /// began. The cost is that of the backends that differ.
    pub fn apply_backends(&self, backends: &SharedMap<BackendId, Arc<Backend>>) {
        let mut applied = self.lock();
        let before = std::mem::replace(&mut applied.backends, backends.clone());
        let upstreams = self.upstreams.load_full();
        let mut effects = Effects::default();
        let mut changed = None;
        for Difference { key: id, before, after } in backends.differences(&before) {
            match (upstreams.get(id), after) {
                (Some(upstream), Some(backend)) => {
                    self.change(upstream, backend, &mut applied.unused, &mut effects);
                }
                (None, Some(backend)) => {
                    effects.see(backend);
                    let new = Upstream::new(id.clone(), backend.clone(), self.surroundings.clone());
                    changed.get_or_insert_with(|| Upstreams::clone(&upstreams)).insert(id.clone(), new);
                }
                (Some(upstream), None) => {
                    before.into_iter().for_each(|backend| effects.see(backend));
                    applied.unused.remove(id);
                    effects.departed += upstream.retire();
                    changed.get_or_insert_with(|| Upstreams::clone(&upstreams)).remove(id);
                }
                (None, None) => {}
            }
        }
        if let Some(changed) = changed {
            self.upstreams.store(Arc::new(changed));
        }
        self.announce(&effects);
    }

    /// Takes over other settings of a backend.
    fn change(
        &self,
        upstream: &Arc<Upstream>,
        backend: &Arc<Backend>,
        unused: &mut HashMap<BackendId, Endpoints>,
        effects: &mut Effects,
    ) {
        let before = upstream.backend();
        effects.departed += upstream.apply_backend(backend);
        effects.discovers |= before.discovery != backend.discovery;
        effects.checks |= before.check.is_some() || backend.check.is_some();
        match (&before.discovery, &backend.discovery) {
            (Discovery::Endpoints, Discovery::Dns { .. }) => {
                unused.insert(upstream.id.clone(), upstream.endpoints());
            }
            (Discovery::Dns { .. }, Discovery::Endpoints) => {
                let endpoints = unused.remove(&upstream.id).unwrap_or_default();
                effects.departed += self.take_over(upstream, &endpoints).unwrap_or(0);
            }
            _ => {}
        }
    }

    /// Takes over the endpoints of a backend. Peers with the same address stay, with their health and their
    /// requests; those that are no longer there are gone. Returns whether anything changed.
    ///
    /// Endpoints of a backend that no snapshot names are ignored; those of one that resolves a name are kept
    /// until it stops doing so.
    pub fn apply_endpoints(&self, id: &BackendId, endpoints: &Endpoints) -> bool {
        let mut applied = self.lock();
        let Some(upstream) = self.get(id) else { return false };
        if upstream.backend().discovery != Discovery::Endpoints {
            applied.unused.insert(id.clone(), endpoints.clone());
            return false;
        }
        let departed = self.take_over(&upstream, endpoints);
        self.announce(&Effects::of_endpoints(&upstream, departed));
        departed.is_some()
    }

    fn take_over(&self, upstream: &Arc<Upstream>, endpoints: &Endpoints) -> Option<usize> {
        let others = self.own.load().refuse(endpoints);
        let was_known = upstream.leads_back.swap(others.is_some(), Ordering::Relaxed);
        if others.is_some() && !was_known {
            tracing::info!(backend = %upstream.id, "endpoints that are this very process are not used");
        }
        upstream.apply_endpoints(others.as_ref().unwrap_or(endpoints))
    }

    /// Takes over the addresses of a name, if the backend is still looking for just this one.
    pub(super) fn apply_resolved(
        &self,
        upstream: &Arc<Upstream>,
        wanted: &Discovery,
        endpoints: &Endpoints,
    ) -> bool {
        let _one_at_a_time = self.lock();
        let is_current = self.get(&upstream.id).is_some_and(|current| Arc::ptr_eq(&current, upstream));
        if !is_current || upstream.backend().discovery != *wanted {
            return false;
        }
        let departed = upstream.apply_endpoints(endpoints);
        self.announce(&Effects::of_endpoints(upstream, departed));
        departed.is_some()
    }

    /// Takes over what questions to a peer have found, if just these are still to be asked.
    pub(super) fn apply_checked(
        &self,
        upstream: &Arc<Upstream>,
        check: &HealthCheck,
        peer: &Peer,
        is_healthy: bool,
    ) -> bool {
        let _one_at_a_time = self.lock();
        let is_current = self.get(&upstream.id).is_some_and(|current| Arc::ptr_eq(&current, upstream));
        if !is_current || upstream.backend().check.as_ref() != Some(check) || peer.is_gone() {
            return false;
        }
        peer.set_checked(is_healthy);
        true
    }

    fn announce(&self, effects: &Effects) {
        if effects.departed > 0 {
            self.surroundings.sweep();
        }
        for (changed, followers) in [(effects.discovers, &self.discoveries), (effects.checks, &self.checks)] {
            if changed {
                followers.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }

    /// Every change is complete before the lock is released, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, AppliedState> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Effects {
    /// A backend comes or goes.
    fn see(&mut self, backend: &Backend) {
        self.discovers |= backend.discovery != Discovery::Endpoints;
        self.checks |= backend.check.is_some();
    }

    /// Endpoints came, changed and went, if anything did; so many of their peers are gone.
    fn of_endpoints(upstream: &Upstream, departed: Option<usize>) -> Self {
        let checks = departed.is_some() && upstream.backend().check.is_some();
        Self { departed: departed.unwrap_or(0), discovers: false, checks }
    }
}
