//! Edges: counts each request under who called which service by which route, without a lock or a text per request.

use std::{
    cell::RefCell,
    collections::HashMap,
    ptr,
    sync::{Arc, Weak},
    time::Duration,
};

use foldhash::fast::RandomState;

use crate::{
    model::{BackendTarget, Source},
    proxy::{
        exchange::Exchange,
        live::{LiveRoute, PASS_THROUGH},
    },
    runtime::metrics::{EdgeLabels, EdgeMetrics},
};

/// Edges that a worker keeps at hand.
const MOST: usize = 8_192;

/// The edges that a worker has at hand, by the pointers of source and route and the chosen target.
#[derive(Default)]
pub struct WorkerEdges(RefCell<HashMap<Key, AtHand, RandomState>>);

type Key = (usize, usize, Option<usize>);

/// Counters of an edge. Its weak references keep the pointers from being given to others.
struct AtHand {
    source: Option<Weak<Source>>,
    route: Weak<LiveRoute>,
    metrics: Arc<EdgeMetrics>,
}

impl AtHand {
    fn is_alive(&self) -> bool {
        self.route.strong_count() > 0 && self.source.as_ref().is_none_or(|source| source.strong_count() > 0)
    }
}

impl WorkerEdges {
    /// Lets go the edges whose source or route is gone; to be called from time to time.
    pub fn sweep(&self) {
        let mut edges = self.0.borrow_mut();
        if !edges.is_empty() {
            edges.retain(|_, edge| edge.is_alive());
        }
    }
}

/// Counts a request that ended, if its listener identifies and it had a route.
pub fn count(x: &Exchange<'_>, duration: Duration) {
    if !x.listener.as_ref().is_some_and(|listener| listener.identify) {
        return;
    }
    let Some(route) = &x.route else { return };
    let worker = x.worker();
    let source = x.source.as_ref().map_or(0, |source| ptr::from_ref::<Source>(source).addr());
    let key = (source, ptr::from_ref::<LiveRoute>(route).addr(), x.target);
    let mut edges = worker.edges.0.borrow_mut();
    if edges.len() >= MOST && !edges.contains_key(&key) {
        edges.clear();
    }
    let edge = edges.entry(key).or_insert_with(|| AtHand {
        source: x.source.as_ref().map(Arc::downgrade),
        route: Arc::downgrade(route),
        metrics: worker.shared.metrics.edge(&labels(x.source.as_deref(), route, x.target)),
    });
    edge.metrics.end(x.status, duration);
}

fn labels(source: Option<&Source>, route: &LiveRoute, target: Option<usize>) -> EdgeLabels {
    let object = &route.route.source;
    // Before one is chosen the first one stands for all, as it does in the metrics of routes.
    let backend = route.route.backends.get(target.unwrap_or_default()).map(|backend| &backend.target);
    let destination = match backend {
        Some(BackendTarget::Backend(id)) => {
            id.as_str().rsplit_once(':').map_or(id.as_str(), |(name, _)| name)
        }
        // Hosts beyond the cluster are one destination: clients choose their names.
        _ if route.route.id.as_str() == PASS_THROUGH => PASS_THROUGH,
        _ => "",
    };
    EdgeLabels {
        source: source.map_or_else(|| EdgeLabels::UNKNOWN.into(), |source| source.workload.clone()),
        destination: destination.into(),
        route: format!("{}/{}", object.namespace, object.name).into(),
    }
}
