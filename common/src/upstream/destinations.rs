//! Destinations: hosts that no snapshot names, as upstreams whose addresses are looked up when they are asked for.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::{Registry, Upstream, resolve};
use crate::{
    id::BackendId,
    model::{Backend, Endpoints},
};

/// Hosts that are remembered at once; for another one that was not asked for longest is forgotten.
const MOST: usize = 1024;
/// A host that nobody asked for this long is forgotten when another one comes.
const UNUSED: Duration = Duration::from_secs(300);
/// Names that are looked up at once; each may hold a thread for as long as the resolver takes.
const MOST_LOOKUPS: usize = 32;
/// Addresses of one name that are used; a name may have thousands.
const MOST_ADDRESSES: usize = 32;
/// How long addresses are used before the name is looked up again.
const FRESH: Duration = Duration::from_secs(10);
/// How long they are still used while that is done.
const STALE: Duration = Duration::from_secs(30);
/// How long a failure is remembered.
const FAILED: Duration = Duration::from_secs(1);

/// What a name is looked up with; the answer has the port that was asked for.
pub trait Lookup: Send + Sync {
    /// Looks up a name, in lower case and without a dot at its end. It is whole: no domain is to be added.
    fn look_up(&self, name: Arc<str>, port: u16) -> Looking;
}

/// A question that is under way.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The resolver of the system.
struct System;

impl Lookup for System {
    fn look_up(&self, name: Arc<str>, port: u16) -> Looking {
        // The dot keeps the system from adding domains of its own, which would lead to Services of the cluster.
        Box::pin(async move { Ok(tokio::net::lookup_host((format!("{name}."), port)).await?.collect()) })
    }
}

/// Why nothing is sent to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDestination {
    /// All its addresses are forbidden.
    Forbidden,
    /// Its name has no address, or nobody could tell.
    Unresolved,
    /// Too many names are being looked up.
    Overload,
}

/// All destinations that are remembered. Reading takes no lock; changes come one at a time.
#[derive(Default)]
pub struct Destinations {
    known: ArcSwap<Known>,
    changing: Mutex<()>,
    lookups: Arc<AtomicUsize>,
    lookup: OnceLock<Arc<dyn Lookup>>,
    forbidden: OnceLock<Vec<IpAddr>>,
}

type Known = HashMap<Arc<str>, Arc<Destination>, foldhash::fast::RandomState>;

/// A host and a port that requests are passed on to.
#[derive(Debug)]
pub struct Destination {
    /// Its live side.
    pub upstream: Arc<Upstream>,
    host: Arc<str>,
    port: u16,
    answer: ArcSwapOption<Answer>,
    /// Ends when the lookup that is under way has.
    asking: Mutex<Option<watch::Receiver<bool>>>,
    start: Instant,
    /// When it was last asked for, in milliseconds since the start.
    used: AtomicU64,
}

/// What became of the last lookup.
#[derive(Debug)]
struct Answer {
    result: Result<(), NoDestination>,
    at: Instant,
    fresh: Duration,
}

/// What to do to have the addresses of a destination.
#[derive(Debug)]
pub enum Asking {
    /// They are there; this is whether they may be used.
    Known(Result<(), NoDestination>),
    /// Somebody looks them up; true comes when he has done so.
    Wait(watch::Receiver<bool>),
    /// They are to be looked up by [`Question::ask`], on a task of its own: others may wait for it, too. Until then
    /// those that are there may be used, if there are any.
    Ask(Question, Option<Result<(), NoDestination>>, watch::Receiver<bool>),
}

/// A lookup to be made; it counts as under way until this is dropped.
pub struct Question {
    destination: Arc<Destination>,
    lookup: Arc<dyn Lookup>,
    lookups: Arc<AtomicUsize>,
    tell: watch::Sender<bool>,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Question({}:{})", self.destination.host, self.destination.port)
    }
}

impl Destinations {
    /// Looks names up with this one; the first one stays. Without one the system's resolver is asked.
    pub fn look_up_with(&self, lookup: Arc<dyn Lookup>) {
        // Whoever comes second has no say.
        let _ = self.lookup.set(lookup);
    }

    /// Never uses these addresses, whatever listeners say; what is said first stays.
    pub fn forbid(&self, addresses: Vec<IpAddr>) {
        let _ = self.forbidden.set(addresses);
    }

    /// Whether an address may never be used, whatever listeners say.
    pub fn is_forbidden(&self, address: IpAddr) -> bool {
        self.forbidden.get().is_some_and(|forbidden| forbidden.contains(&address))
    }

    /// The destination of this key, which is its host and port with a colon between.
    pub fn get(&self, key: &[u8]) -> Option<Arc<Destination>> {
        let known = self.known.load();
        let destination = known.get(std::str::from_utf8(key).ok()?)?;
        destination.touch(Instant::now());
        Some(destination.clone())
    }

    /// Remembers another destination, spoken to as the backend says.
    pub fn add(
        &self,
        registry: &Registry,
        (host, port): (&str, u16),
        backend: &Backend,
        now: Instant,
    ) -> Arc<Destination> {
        let _one_at_a_time = lock(&self.changing);
        let key: Arc<str> = format!("{host}:{port}").into();
        if let Some(known) = self.known.load().get(&key) {
            return known.clone();
        }
        let mut known = Known::clone(&self.known.load());
        let unused = known.extract_if(|_, destination| destination.unused(now) >= UNUSED);
        let mut gone: Vec<_> = unused.map(|(_, destination)| destination).collect();
        if known.len() >= MOST {
            let oldest = known.iter().max_by_key(|(_, destination)| destination.unused(now));
            let oldest = oldest.map(|(key, _)| key.clone());
            gone.extend(oldest.and_then(|key| known.remove(&key)));
        }
        let upstream = registry.apart(BackendId::new(&*key), backend);
        let destination = Arc::new(Destination::new(upstream, host, port, now));
        known.insert(key, destination.clone());
        self.known.store(Arc::new(known));
        gone.iter().for_each(|destination| registry.retire(&destination.upstream));
        destination
    }

    /// What to do to have the addresses of a destination now.
    pub fn ask(&self, destination: &Arc<Destination>, now: Instant) -> Asking {
        let answer = destination.answer.load();
        let age = answer.as_ref().map(|answer| now.saturating_duration_since(answer.at));
        let known = answer.as_ref().zip(age);
        if let Some((answer, _)) = known.filter(|(answer, age)| *age < answer.fresh) {
            return Asking::Known(answer.result);
        }
        let usable = known.filter(|(answer, age)| answer.result.is_ok() && *age < FRESH + STALE);
        let usable = usable.map(|(answer, _)| answer.result);
        let mut asking = lock(&destination.asking);
        // One that has no sender any more was asked for by a worker that has ended, or has been answered just now.
        if let Some(answer) = asking.as_ref().filter(|asking| asking.has_changed().is_ok()) {
            return usable.map_or_else(|| Asking::Wait(answer.clone()), Asking::Known);
        }
        let more = |count: usize| (count < MOST_LOOKUPS).then(|| count + 1);
        if self.lookups.fetch_update(Relaxed, Relaxed, more).is_err() {
            return Asking::Known(usable.unwrap_or(Err(NoDestination::Overload)));
        }
        let (tell, told) = watch::channel(false);
        *asking = Some(told.clone());
        let lookup = self.lookup.get().cloned().unwrap_or_else(|| Arc::new(System));
        let (destination, lookups) = (destination.clone(), self.lookups.clone());
        Asking::Ask(Question { destination, lookup, lookups, tell }, usable, told)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.load().len()
    }
}

impl Destination {
    fn new(upstream: Arc<Upstream>, host: &str, port: u16, now: Instant) -> Self {
        let (answer, asking) = (ArcSwapOption::empty(), Mutex::new(None));
        Self { upstream, host: host.into(), port, answer, asking, start: now, used: AtomicU64::new(0) }
    }

    /// What became of the last lookup, however long ago that was.
    pub fn last(&self) -> Result<(), NoDestination> {
        self.answer.load().as_ref().map_or(Err(NoDestination::Unresolved), |answer| answer.result)
    }

    fn touch(&self, now: Instant) {
        self.used.store(now.saturating_duration_since(self.start).as_millis() as u64, Relaxed);
    }

    fn unused(&self, now: Instant) -> Duration {
        let used = Duration::from_millis(self.used.load(Relaxed));
        now.saturating_duration_since(self.start).saturating_sub(used)
    }

    /// Takes over what a lookup gave. After a failure the last good addresses stay in use.
    fn settle(&self, found: io::Result<Endpoints>, had_any: bool, now: Instant) {
        let (result, fresh) = match found {
            Ok(endpoints) if !endpoints.is_empty() => {
                self.upstream.apply_endpoints(&endpoints);
                (Ok(()), FRESH)
            }
            Ok(endpoints) => {
                self.upstream.apply_endpoints(&endpoints);
                (Err(if had_any { NoDestination::Forbidden } else { NoDestination::Unresolved }), FAILED)
            }
            Err(error) => {
                tracing::debug!(host = %self.host, %error, "the name of a destination cannot be resolved");
                (self.last(), FAILED)
            }
        };
        self.answer.store(Some(Arc::new(Answer { result, at: now, fresh })));
    }
}

impl Question {
    /// Looks the name up; `forbidden` says which addresses are not used beside those that [never
    /// are](resolve::is_never_a_backend). An address that stands for a name needs nobody to be asked.
    pub async fn ask(self, forbidden: impl Fn(IpAddr) -> bool) {
        let destination = &self.destination;
        let found = match destination.host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, destination.port)]),
            Err(_) => self.lookup.look_up(destination.host.clone(), destination.port).await,
        };
        let found = found.map(|mut addresses| {
            addresses.truncate(MOST_ADDRESSES);
            addresses
        });
        let had_any = found.as_ref().is_ok_and(|addresses| !addresses.is_empty());
        let usable = found.map(|addresses| resolve::usable(&addresses, &|address| forbidden(address.ip())));
        destination.settle(usable, had_any, Instant::now());
        self.tell.send_replace(true);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.lookups.fetch_sub(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
