//! Health checks: each endpoint of a backend that wants it is asked again and again whether it is well.

mod ask;
mod grpc;
mod http1;
mod http2;
mod rounds;

use std::{collections::HashMap, sync::Arc};

use futures_util::{
    StreamExt,
    future::{AbortHandle, Abortable, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use tokio::sync::Semaphore;

use super::{PeerId, Registry, Upstream, set::PeerSet};
use crate::{id::BackendId, model::HealthCheck, runtime::metrics::Metrics};
use rounds::Rounds;

/// Questions under way at once, to all endpoints together.
const MOST_AT_ONCE: usize = 64;
/// Questions under way at once to the endpoints of one backend, lest one whose endpoints all hang keeps the others
/// waiting.
const MOST_OF_A_BACKEND: usize = 16;

/// Asks the endpoints of all backends that [want it](crate::model::Backend::check) until `shutdown` ends.
///
/// It follows the registry: who comes is asked from some random time within the interval on, who goes no more. Where
/// no backend wants it nothing happens, and no time is kept.
pub async fn run(registry: Arc<Registry>, metrics: Arc<Metrics>, shutdown: impl Future<Output = ()>) {
    let mut changes = registry.checks();
    let mut checker = Checker {
        registry,
        metrics,
        turns: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        backends: HashMap::new(),
        asking: FuturesUnordered::new(),
    };
    let mut shutdown = std::pin::pin!(shutdown);
    changes.mark_changed();
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            // The registry is held by the checker, so the sender is alive.
            _ = changes.changed() => checker.refresh(),
            Some(_ended) = checker.asking.next() => {}
        }
    }
}

struct Checker {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    /// One for each question under way.
    turns: Arc<Semaphore>,
    backends: HashMap<BackendId, CheckedBackend>,
    asking: FuturesUnordered<Abortable<BoxFuture<'static, ()>>>,
}

/// A backend whose endpoints are asked.
struct CheckedBackend {
    rounds: Arc<Rounds>,
    /// The peers when they were last looked at.
    seen: Arc<PeerSet>,
    peers: HashMap<PeerId, Asked>,
}

/// A peer that is asked until this is dropped.
struct Asked(AbortHandle);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Checker {
    /// Brings who is asked in line with the registry.
    fn refresh(&mut self) {
        let mut before = std::mem::take(&mut self.backends);
        for (upstream, check) in self.registry.checking() {
            let id = upstream.id.clone();
            let known = before.remove(&id).filter(|known| known.rounds.are_of(&upstream, &check));
            let mut checked = known.unwrap_or_else(|| self.begin(upstream, check));
            self.follow_peers(&mut checked);
            self.backends.insert(id, checked);
        }
    }

    fn begin(&self, upstream: Arc<Upstream>, check: HealthCheck) -> CheckedBackend {
        let rounds = Rounds {
            registry: self.registry.clone(),
            metrics: self.metrics.clone(),
            upstream,
            check,
            turns: [Arc::new(Semaphore::new(MOST_OF_A_BACKEND)), self.turns.clone()],
        };
        let nobody = Arc::new(PeerSet::empty(rounds.upstream.peers.load().balancer.clone()));
        CheckedBackend { rounds: Arc::new(rounds), seen: nobody, peers: HashMap::new() }
    }

    fn follow_peers(&self, checked: &mut CheckedBackend) {
        let set = checked.rounds.upstream.peers.load_full();
        if Arc::ptr_eq(&set, &checked.seen) {
            return;
        }
        let mut before = std::mem::take(&mut checked.peers);
        for peer in set.usable() {
            let asked = before.remove(&peer.id).unwrap_or_else(|| {
                let asking: BoxFuture<'static, ()> = Box::pin(checked.rounds.clone().ask(peer.clone()));
                let (asking, handle) = abortable(asking);
                self.asking.push(asking);
                Asked(handle)
            });
            checked.peers.insert(peer.id, asked);
        }
        checked.seen = set;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_can_run_on_a_runtime_with_several_threads() {
        fn sendable<F: Future + Send>(_: F) {}
        sendable(run(Arc::new(Registry::new()), Metrics::new(), std::future::ready(())));
    }
}
