//! What all workers of an engine share: read-mostly, atomic, no lock on the way of a request.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicUsize},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::{
    accept::Handover, detect::LiveResolver, identity::Identity, live::Live, rate_limits::RateLimits, tls,
};
use crate::{
    id::ListenerName,
    model::ListenerProtocol,
    runtime::{
        access_log::AccessLog,
        drain::Drain,
        metrics::{ListenerMetrics, Metrics},
    },
    upstream::Registry,
};

/// The shared state of an engine.
pub struct Shared {
    /// What new requests are served with.
    pub live: ArcSwap<Live>,
    /// Live sides of backends.
    pub registry: Arc<Registry>,
    /// Who calls.
    pub identity: Identity,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Counters of each listener.
    pub listener_metrics: Vec<Arc<ListenerMetrics>>,
    /// Access log.
    pub access_log: AccessLog,
    /// Whether the engine is about to stop.
    pub drain: Drain,
    /// Settings that do not change while it runs.
    pub settings: ProxySettings,
    /// TLS settings of each listener that speaks it.
    pub tls: Vec<Option<Arc<rustls::ServerConfig>>>,
    /// Open connections of each listener.
    pub listener_connections: Vec<AtomicUsize>,
    /// Open connections of each worker.
    pub worker_connections: Vec<AtomicUsize>,
    /// Whether there is a snapshot to serve; until then clients wait in the queue of the system.
    has_snapshot: watch::Sender<bool>,
    /// Connections that each worker is asked to close, as another one has no room.
    pub room_wanted: Vec<AtomicUsize>,
    /// Open connections of each source address, where that is limited.
    pub sources: Sources,
    /// What limits of the rate remember.
    pub rate_limits: RateLimits,
    handovers: Vec<mpsc::UnboundedSender<Handover>>,
}

/// Settings of the proxy that do not change while it runs.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// How long an unused connection to an endpoint is kept.
    pub upstream_idle: Duration,
    /// Connections from clients open at once on all listeners together.
    pub connections: usize,
    /// Say in `x-selvedge-reason` why the proxy itself answered.
    pub reason_field: bool,
}

impl Shared {
    /// The state of an engine with these listeners that serves nothing yet. One worker for each of `handovers`.
    ///
    /// # Errors
    /// If the system gives no randomness for TLS.
    pub fn new(
        listeners: &[(ListenerName, ListenerProtocol)],
        settings: ProxySettings,
        (metrics, access_log): (Arc<Metrics>, AccessLog),
        handovers: Vec<mpsc::UnboundedSender<Handover>>,
    ) -> Result<Arc<Self>, rustls::Error> {
        let mut error = None;
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
            let tls = (listeners.iter().enumerate())
                .map(|(index, (_, protocol))| match protocol {
                    ListenerProtocol::Http | ListenerProtocol::Tcp(_) => None,
                    ListenerProtocol::Https => {
                        let resolver = Arc::new(LiveResolver::new(weak.clone(), index));
                        tls::server_settings(resolver).map_err(|e| error = Some(e)).ok()
                    }
                })
                .collect();
            Self {
                live: ArcSwap::from_pointee(Live::empty()),
                registry: Arc::new(Registry::new()),
                identity: Identity::default(),
                listener_metrics: listeners.iter().map(|(name, _)| metrics.listener(name)).collect(),
                metrics,
                access_log,
                drain: Drain::default(),
                settings,
                tls,
                listener_connections: listeners.iter().map(|_| AtomicUsize::new(0)).collect(),
                worker_connections: handovers.iter().map(|_| AtomicUsize::new(0)).collect(),
                has_snapshot: watch::Sender::new(false),
                room_wanted: handovers.iter().map(|_| AtomicUsize::new(0)).collect(),
                sources: Sources::default(),
                rate_limits: RateLimits::default(),
                handovers,
            }
        });
        error.map_or(Ok(shared), Err)
    }

    /// The first snapshot is in effect: clients may come.
    pub fn open(&self) {
        self.has_snapshot.send_if_modified(|has| !std::mem::replace(has, true));
    }

    /// Waits for the first snapshot.
    pub async fn opened(&self) {
        // The sender lives in `self`, so it cannot be gone.
        let _ = self.has_snapshot.subscribe().wait_for(|has| *has).await;
    }

    /// Gives a connection to another worker; one that has ended already drops it.
    pub fn hand_over(&self, worker: usize, connection: Handover) {
        let _ = self.handovers[worker].send(connection);
    }
}

/// Counts connections by source address. Locked once when a connection comes and goes, never for a request.
#[derive(Debug, Default)]
pub struct Sources(Mutex<HashMap<IpAddr, usize>>);

impl Sources {
    /// Counts one in and says how many there are with it.
    pub fn enter(&self, source: IpAddr) -> usize {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        *count += 1;
        *count
    }

    /// Counts one out.
    pub fn leave(&self, source: IpAddr) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&source);
            }
        }
    }
}
