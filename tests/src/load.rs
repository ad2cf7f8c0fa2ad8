//! Load: clients that ask without a pause or at a steady rate, and note every request that fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    client::{Answer, Client},
    waiting::until,
};

/// How often a client that may not ask looks whether it may.
const PAUSE: Duration = Duration::from_millis(1);
/// Failures of which the text is kept.
const KEPT: usize = 20;

/// Clients at work; [`Load::stop`] ends them.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What a load came to.
#[derive(Clone, Debug, Default)]
pub struct LoadResult {
    /// Requests, with those that failed.
    pub requests: usize,
    /// Requests that failed.
    pub failed: usize,
    /// What happened to the first of them.
    pub failures: Vec<String>,
    /// Connections that were opened.
    pub connections: usize,
}

#[derive(Default)]
struct Shared {
    /// A connection serves one request only.
    fresh: bool,
    /// So many requests in a second, from then on.
    rate: Option<(Instant, usize)>,
    stop: AtomicBool,
    /// A client whose connection is closed opens no other.
    last_connections: AtomicBool,
    /// Requests that may be made.
    allowed: AtomicUsize,
    requests: AtomicUsize,
    failed: AtomicUsize,
    connections: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// So many clients that ask for `/` of a host; what is not 200 has failed.
    pub fn start(address: SocketAddr, host: &str, clients: usize) -> Self {
        let load = Self::paced(address, host, clients);
        load.allow(usize::MAX);
        load
    }

    /// The same, but they make only as many requests as they are [allowed](Self::allow).
    pub fn paced(address: SocketAddr, host: &str, clients: usize) -> Self {
        Self::with(Shared::default(), address, host, clients)
    }

    /// The same at a steady rate: so many requests in a second, of all clients together.
    pub fn steady(address: SocketAddr, host: &str, clients: usize, per_second: usize) -> Self {
        let shared = Shared { rate: Some((Instant::now(), per_second)), ..Shared::default() };
        Self::with(shared, address, host, clients)
    }

    /// Clients that open a connection for each request.
    pub fn fresh(address: SocketAddr, host: &str, clients: usize) -> Self {
        let load = Self::with(Shared { fresh: true, ..Shared::default() }, address, host, clients);
        load.allow(usize::MAX);
        load
    }

    fn with(shared: Shared, address: SocketAddr, host: &str, clients: usize) -> Self {
        let shared = Arc::new(shared);
        let client = |number: usize| {
            let (shared, host) = (shared.clone(), host.to_owned());
            thread::spawn(move || shared.run(address, &host, number))
        };
        Self { clients: (0..clients).map(client).collect(), shared }
    }

    /// Allows so many requests more.
    pub fn allow(&self, count: usize) {
        self.shared.allowed.fetch_add(count, Ordering::Relaxed);
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Waits until there have been this many requests.
    pub fn until_requests(&self, count: usize) {
        until(|| (self.requests() >= count).then_some(()));
    }

    /// From now on clients keep the connection that they have, as when a balancer opens no new ones; each ends
    /// when its connection is closed.
    pub fn keep_connections(&self) {
        self.shared.last_connections.store(true, Ordering::Relaxed);
    }

    /// Waits until every client has ended by itself.
    pub fn ended(self) -> LoadResult {
        until(|| self.clients.iter().all(JoinHandle::is_finished).then_some(()));
        self.stop()
    }

    /// Lets clients finish what they are at.
    ///
    /// # Panics
    /// If a client has panicked.
    pub fn stop(self) -> LoadResult {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("clients do not panic"));
        let shared = &self.shared;
        LoadResult {
            requests: shared.requests.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
            connections: shared.connections.load(Ordering::Relaxed),
            failures: shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Shared {
    fn run(&self, address: SocketAddr, host: &str, number: usize) {
        let close = if self.fresh { "Connection: close\r\n" } else { "" };
        let request = format!("GET /?client={number} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n");
        let mut connection: Option<Client> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let may = |made: usize| (made < self.allowed()).then_some(made + 1);
            if self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, may).is_err() {
                thread::sleep(PAUSE);
                continue;
            }
            let mut client = match connection.take() {
                Some(client) => client,
                None if self.last_connections.load(Ordering::Relaxed) => {
                    self.requests.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
                None => {
                    self.connections.fetch_add(1, Ordering::Relaxed);
                    match Client::try_connect(address) {
                        Ok(client) => client,
                        Err(error) => {
                            self.fail(format!("client {number} cannot connect: {error}"));
                            continue;
                        }
                    }
                }
            };
            match client.try_send(&request).and_then(|()| client.try_answer()) {
                Ok(Answer { status: 200, fields, .. }) => {
                    let closes = fields.iter().any(|(name, value)| {
                        name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
                    });
                    connection = (!closes).then_some(client);
                }
                Ok(answer) => self.fail(format!("client {number}: {answer:?}")),
                Err(error) => self.fail(format!("client {number}: {error}")),
            }
        }
    }

    fn allowed(&self) -> usize {
        match self.rate {
            Some((start, per_second)) => {
                (start.elapsed().as_millis() as usize).saturating_mul(per_second) / 1000
            }
            None => self.allowed.load(Ordering::Relaxed),
        }
    }

    fn fail(&self, what: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < KEPT {
            failures.push(what);
        }
    }
}
