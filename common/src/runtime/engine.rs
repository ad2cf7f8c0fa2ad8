//! Engine: binds listeners, starts workers and applies updates; a value, so that two can live in one process.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustls::sign::CertifiedKey;
use tokio::sync::mpsc;

use super::{
    access_log::AccessLog,
    drain::{Drain, Phase},
    graph,
    listening::{BindError, Followed, Listening},
    metrics::Metrics,
    workers::{self, Post},
};
use crate::{
    id::{BackendId, ListenerName},
    model::{Endpoints, Listener, Snapshot},
    proxy::{Live, Parts, ProxySettings, Shared, tls},
    source::{Applied, Rejected, Sink, Update, tokens::TokenVerifier},
    spans::{Exports, Recorder},
    upstream::{Lookup, OwnAddresses, check, resolve},
};

/// What an engine is started with.
pub struct EngineSettings {
    /// Number of workers; 0 is one for each core.
    pub workers: usize,
    /// Settings of the proxy.
    pub proxy: ProxySettings,
    /// Where counters are kept.
    pub metrics: Arc<Metrics>,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// Listen beside another process that shares its ports too, as when one takes over from the other. Without it
    /// an address in use is an error.
    pub share_ports: bool,
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("cannot listen on {address} ({listener}); choose another address or stop who uses it")]
    Bind {
        /// Which listener.
        listener: ListenerName,
        /// Its address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a worker: {0}")]
    Thread(io::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl StartError {
    fn new(listener: &ListenerName, error: BindError) -> Self {
        match error {
            BindError::Address(address, source) => Self::Bind { listener: listener.clone(), address, source },
            BindError::Tls(error) => Self::Tls(error),
        }
    }
}

/// A running proxy. It serves what it was last told by [`Sink::apply`].
pub struct Engine {
    shared: Arc<Shared>,
    self_signed: Arc<CertifiedKey>,
    listening: Mutex<Listening>,
    /// What only applying an update needs; held as long as one is applied.
    applying: Mutex<Applying>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    graph: Arc<graph::Record>,
    exports: Exports,
}

/// What is kept from one update to the next.
#[derive(Default)]
struct Applying {
    /// States that requests may still use; dropped here, never on a worker.
    retired: Vec<Arc<Live>>,
    /// Certificates of the snapshot in effect that cannot be used.
    unusable: Vec<Rejected>,
}

impl Engine {
    /// Binds all listeners and starts the workers. Until the first snapshot clients wait to be accepted.
    ///
    /// # Errors
    /// When an address cannot be bound or the system gives no threads.
    pub fn start(
        settings: EngineSettings,
        listeners: &BTreeMap<ListenerName, Arc<Listener>>,
    ) -> Result<Self, StartError> {
        let count = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let shared = Shared::new(settings.proxy, (settings.metrics, settings.access_log), senders);
        let graph = Arc::new(graph::Record::new(shared.metrics.clone()));
        let mut listening = Listening::new(count, settings.share_ports);
        for (name, listener) in listeners {
            let openings = listening.bind(name, listener, &shared);
            shared.listen(openings.map_err(|error| StartError::new(name, error))?);
        }
        shared.registry.set_own(OwnAddresses::new(listening.addresses().into_values()));
        let threads = (receivers.into_iter().enumerate())
            .map(|(index, messages)| workers::start(shared.clone(), Post { index, messages }))
            .collect::<Result<_, _>>()
            .map_err(StartError::Thread)?;
        Ok(Self {
            shared,
            self_signed: Arc::new(tls::self_signed()),
            listening: Mutex::new(listening),
            applying: Mutex::default(),
            threads: Mutex::new(threads),
            graph,
            exports: Exports::default(),
        })
    }

    /// The address that each listener is bound to.
    pub fn addresses(&self) -> BTreeMap<ListenerName, SocketAddr> {
        lock(&self.listening).addresses()
    }

    /// Its counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Has tokens of callers verified by this one, on listeners that identify; the first one stays.
    pub fn verify_tokens_with(&self, verifier: Arc<dyn TokenVerifier>) {
        self.shared.identity.tokens.verify_with(verifier);
    }

    /// Never passes requests on to these addresses; what is said first stays.
    pub fn forbid_destinations(&self, addresses: Vec<IpAddr>) {
        self.shared.destinations.forbid(addresses);
    }

    /// Looks up the hosts that requests are passed on to with this one; the first one stays. Without one the system's
    /// resolver is asked.
    pub fn look_up_with(&self, lookup: Arc<dyn Lookup>) {
        self.shared.destinations.look_up_with(lookup);
    }

    /// Requests and tunnels in flight at each worker.
    pub fn worker_requests(&self) -> Vec<usize> {
        self.shared.workers.iter().map(|load| load.requests()).collect()
    }

    /// The snapshot in effect and its generation.
    pub fn snapshot(&self) -> (u64, Arc<Snapshot>) {
        let live = self.shared.live.load();
        (live.generation, live.snapshot.clone())
    }

    /// The endpoints now in use of each backend in the snapshot.
    pub fn endpoints(&self) -> BTreeMap<BackendId, Endpoints> {
        let (_, snapshot) = self.snapshot();
        let of = |id: &BackendId| Some((id.clone(), self.shared.registry.get(id)?.endpoints()));
        snapshot.backends.keys().filter_map(of).collect()
    }

    /// Says which zone the proxy is in (label `topology.kubernetes.io/zone` of its node): endpoints that are meant
    /// for it come first.
    pub fn set_zone(&self, zone: Option<Arc<str>>) {
        self.shared.registry.set_zone(zone);
    }

    /// Whether it serves, drains or has stopped.
    pub fn phase(&self) -> Phase {
        self.shared.drain.phase()
    }

    /// Keeps backends that are named in DNS resolved; runs as long as the engine does. To be spawned beside the
    /// workers.
    pub fn resolve(&self) -> impl Future<Output = ()> + Send + use<> {
        let drain = self.shared.drain.clone();
        let registry = self.shared.registry.clone();
        async move {
            // Whatever its port: it may be a listener bound to all addresses, or the admin server.
            let forbidden = |address: SocketAddr| resolve::is_local(address.ip());
            resolve::run(registry, forbidden, async move { drain.reached(Phase::Stopped).await }).await;
        }
    }

    /// Asks the endpoints of backends that want it whether they are well; runs as long as the engine does. To be spawned
    /// beside the workers.
    pub fn check_health(&self) -> impl Future<Output = ()> + Send + use<> {
        let drain = self.shared.drain.clone();
        let (registry, metrics) = (self.shared.registry.clone(), self.shared.metrics.clone());
        check::run(registry, metrics, async move { drain.reached(Phase::Stopped).await })
    }

    /// Sends the spans of traced requests, also those that are left when the engine has stopped: it ends within a few
    /// seconds then. To be spawned beside the workers, once.
    pub fn export_spans(&self) -> impl Future<Output = ()> + Send + use<> {
        self.exports.run(self.shared.metrics.clone())
    }

    /// Who calls whom; `None` if no listener finds that out.
    pub fn graph(&self) -> Option<graph::Graph> {
        let live = self.shared.live.load();
        let identifies = live.snapshot.listeners.values().any(|listener| listener.identify);
        identifies.then(|| self.graph.graph(Instant::now(), live.generation))
    }

    /// Notes from time to time what has been counted, for the rates of [`graph`](Self::graph); runs as long as the
    /// engine does. To be spawned beside the workers.
    pub fn record_graph(&self) -> impl Future<Output = ()> + Send + use<> {
        let (drain, graph) = (self.shared.drain.clone(), self.graph.clone());
        let ticking = async move {
            loop {
                tokio::time::sleep(graph::TICK).await;
                graph.tick(Instant::now());
            }
        };
        async move {
            tokio::select! {
                () = ticking => {}
                () = drain.reached(Phase::Stopped) => {}
            }
        }
    }

    /// Stops without breaking requests: serves on for `lameduck`, then lets connections end after the request
    /// that they serve, for at most `deadline`, then cuts off what is left.
    pub async fn drain(&self, lameduck: Duration, deadline: Duration) {
        let drain: &Drain = &self.shared.drain;
        drain.enter(Phase::Lameduck);
        tokio::time::sleep(lameduck).await;
        drain.enter(Phase::Draining);
        let threads = std::mem::take(&mut *lock(&self.threads));
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        let mut joined = std::pin::pin!(joined);
        if tokio::time::timeout(deadline, joined.as_mut()).await.is_err() {
            tracing::warn!("drain deadline reached; cutting off what is left");
            drain.enter(Phase::Stopped);
            let _ = joined.await;
        }
        drain.enter(Phase::Stopped);
        self.exports.finish();
    }

    /// Who takes spans from now on; the same as before if the settings are.
    fn recorder(&self, snapshot: &Snapshot, before: &Live) -> Option<Arc<Recorder>> {
        let settings = snapshot.tracing.as_ref()?;
        match &before.recorder {
            Some(recorder) if recorder.settings() == settings => Some(recorder.clone()),
            _ => Some(self.exports.record(settings, &self.shared.metrics)),
        }
    }

    fn apply_snapshot(&self, snapshot: Arc<Snapshot>, endpoints: &[(BackendId, Endpoints)]) -> Applied {
        let mut applying = lock(&self.applying);
        let before = self.shared.live.load_full();
        self.shared.registry.apply_backends(&snapshot.backends);
        let changed = self.apply_endpoints(endpoints);
        let mut listening = lock(&self.listening);
        let Followed { openings, rejected: unbound } = listening.follow(&snapshot.listeners, &self.shared);
        let places = listening.places();
        self.shared.registry.set_own(OwnAddresses::new(listening.addresses().into_values()));
        drop(listening);
        if openings.is_empty() && *before.snapshot == *snapshot {
            let rejected = applying.unusable.iter().cloned().chain(unbound).collect();
            return Applied { generation: before.generation, changed, rejected };
        }
        let parts = Parts {
            listeners: &places,
            registry: &self.shared.registry,
            metrics: &self.shared.metrics,
            self_signed: &self.self_signed,
            recorder: self.recorder(&snapshot, &before),
        };
        let (live, unusable) = Live::build(snapshot, &before, &parts);
        let generation = live.generation;
        self.shared.publish(live);
        self.shared.open();
        openings.into_iter().for_each(|openings| self.shared.listen(openings));
        applying.unusable = unusable.clone();
        applying.retired.push(before);
        applying.retired.retain(|live| Arc::strong_count(live) > 1);
        self.shared.metrics.configuration.generation.set(generation as i64);
        self.shared.metrics.configuration.updates_applied.inc();
        Applied { generation, changed: true, rejected: unusable.into_iter().chain(unbound).collect() }
    }

    fn apply_endpoints(&self, endpoints: &[(BackendId, Endpoints)]) -> bool {
        let registry = &self.shared.registry;
        endpoints
            .iter()
            .fold(false, |changed, (id, endpoints)| registry.apply_endpoints(id, endpoints) || changed)
    }
}

impl Sink for Engine {
    fn apply(&self, update: Update) -> Applied {
        match update {
            Update::Snapshot { snapshot, endpoints } => self.apply_snapshot(snapshot, &endpoints),
            Update::Callers(callers) => {
                let changed = self.shared.identity.callers.apply(callers);
                Applied { generation: self.shared.live.load().generation, changed, rejected: Vec::new() }
            }
            Update::Endpoints(endpoints) => {
                let changed = self.apply_endpoints(&endpoints);
                Applied { generation: self.shared.live.load().generation, changed, rejected: Vec::new() }
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.drain.enter(Phase::Stopped);
        lock(&self.threads).drain(..).for_each(|thread| drop(thread.join()));
        self.exports.finish();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
