//! What all workers of an engine share: read-mostly, atomic, no lock on the way of a request.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::{
    accept::{Handover, Message},
    auth_request::AuthAnswers,
    bound::Opening,
    client_tls::ClientVerifiers,
    counting::Counts,
    detect::LiveResolver,
    identity::Identity,
    live::Live,
    passwords::Passwords,
    rate_limits::RateLimits,
    shedding::Load,
    spreading::WorkerLoad,
    tls,
};
use crate::{
    runtime::{access_log::AccessLog, drain::Drain, metrics::Metrics},
    upstream::{Destinations, Registry},
};

/// The shared state of an engine.
pub struct Shared {
    /// What new requests are served with; set by [`Shared::publish`] alone. Workers keep it [by them](super::Worker::live).
    pub live: ArcSwap<Live>,
    /// Grows whenever `live` is replaced, after that.
    published: AtomicU64,
    /// Live sides of backends.
    pub registry: Arc<Registry>,
    /// Hosts that requests are passed on to.
    pub destinations: Destinations,
    /// Who calls.
    pub identity: Identity,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Access log.
    pub access_log: AccessLog,
    /// Whether the engine is about to stop.
    pub drain: Drain,
    /// Settings that do not change while it runs.
    pub settings: ProxySettings,
    /// What is going on at each worker.
    pub workers: Vec<WorkerLoad>,
    /// Whether there is a snapshot to serve; until then clients wait in the queue of the system.
    has_snapshot: watch::Sender<bool>,
    /// Connections that each worker is asked to close, as another one has no room.
    pub room_wanted: Vec<AtomicUsize>,
    /// Open connections of each source address, where that is limited.
    pub sources: Sources,
    /// What is going on, where that is limited.
    pub load: Load,
    /// What limits of the rate remember.
    pub rate_limits: RateLimits,
    /// What services of authentication said, where that is remembered.
    pub auth_answers: AuthAnswers,
    /// Bytes of bodies that are held whole for a while.
    pub buffered: AtomicU64,
    /// Memory of what compresses answers now.
    pub compressing: AtomicU64,
    /// Settings of handshakes that verify clients.
    pub verifiers: ClientVerifiers,
    /// What it takes to look passwords up.
    pub passwords: Passwords,
    /// Requests of each client that are being served, where that is limited.
    pub counts: Counts,
    messages: Vec<mpsc::UnboundedSender<Message>>,
}

/// Settings of the proxy that do not change while it runs.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// How long an unused connection to an endpoint is kept.
    pub upstream_idle: Duration,
    /// Connections from clients open at once on all listeners together.
    pub connections: usize,
    /// Requests and tunnels in flight at once on all listeners together; 0 is no limit.
    pub requests: usize,
    /// How often it is looked whether HTTP/2 connections had better be opened anew, on workers with less to do; 0 is
    /// never.
    pub spread_every: Duration,
    /// Say in `x-selvedge-reason` why the proxy itself answered.
    pub reason_field: bool,
}

impl Shared {
    /// The state of an engine that serves nothing yet. One worker for each of `messages`.
    pub fn new(
        settings: ProxySettings,
        (metrics, access_log): (Arc<Metrics>, AccessLog),
        messages: Vec<mpsc::UnboundedSender<Message>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            live: ArcSwap::from_pointee(Live::empty()),
            published: AtomicU64::new(0),
            registry: Arc::new(Registry::new()),
            destinations: Destinations::default(),
            identity: Identity::default(),
            metrics,
            access_log,
            drain: Drain::default(),
            load: Load::new(settings.requests),
            settings,
            workers: messages.iter().map(|_| WorkerLoad::default()).collect(),
            has_snapshot: watch::Sender::new(false),
            room_wanted: messages.iter().map(|_| AtomicUsize::new(0)).collect(),
            sources: Sources::default(),
            rate_limits: RateLimits::default(),
            auth_answers: AuthAnswers::default(),
            buffered: AtomicU64::new(0),
            compressing: AtomicU64::new(0),
            verifiers: ClientVerifiers::default(),
            passwords: Passwords::default(),
            counts: Counts::default(),
            messages,
        })
    }

    /// TLS settings of the listener at this place.
    ///
    /// # Errors
    /// If the system gives no randomness for TLS.
    pub fn tls_settings(
        self: &Arc<Self>,
        listener: usize,
    ) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        tls::server_settings(Arc::new(LiveResolver::new(Arc::downgrade(self), listener)))
    }

    /// Connections open now on all listeners together.
    pub fn connections(&self) -> usize {
        self.workers.iter().map(|load| load.connections.load(Ordering::Relaxed)).sum()
    }

    /// Lets new requests be served with this.
    pub fn publish(&self, live: Live) {
        self.live.store(Arc::new(live));
        self.published.fetch_add(1, Ordering::Release);
    }

    /// Changes whenever something else was published.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
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
        let _ = self.messages[worker].send(Message::Serve(connection));
    }

    /// Gives each worker its socket of a new listener; one that has ended already drops it.
    pub fn listen(&self, openings: Vec<Opening>) {
        for (messages, opening) in self.messages.iter().zip(openings) {
            let _ = messages.send(Message::Listen(opening));
        }
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
