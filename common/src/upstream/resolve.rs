//! Names: backends whose endpoints come from DNS are resolved again and again.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Registry, Upstream};
use crate::{
    id::BackendId,
    model::{Discovery, Endpoint, EndpointState, Endpoints},
};

/// Time from one answer to the next question for the same name.
const INTERVAL: Duration = Duration::from_secs(5);
/// Longest time to wait for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Time to the next question after a first failure; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest time to the next question after failures.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Keeps the endpoints of backends that [resolve a name](Discovery::Dns) up to date until `shutdown` ends, with the
/// resolver of the system. `forbidden` says which addresses are never used beside those that
/// [never are](is_never_a_backend), such as those of our own listeners; IPv4 addresses come to it as such even
/// where the name gives them mapped into IPv6.
pub async fn run(
    registry: Arc<Registry>,
    forbidden: impl Fn(SocketAddr) -> bool,
    shutdown: impl Future<Output = ()>,
) {
    let lookup = async |name: Arc<str>, port| Ok(tokio::net::lookup_host((&*name, port)).await?.collect());
    run_with(registry, lookup, forbidden, shutdown).await;
}

/// [`run`] with another way to look a name and its port up.
pub async fn run_with(
    registry: Arc<Registry>,
    lookup: impl AsyncFn(Arc<str>, u16) -> io::Result<Vec<SocketAddr>>,
    forbidden: impl Fn(SocketAddr) -> bool,
    shutdown: impl Future<Output = ()>,
) {
    let mut changes = registry.discoveries();
    let mut names: HashMap<BackendId, Name> = HashMap::new();
    let mut questions = FuturesUnordered::new();
    let mut shutdown = std::pin::pin!(shutdown);
    changes.mark_changed();
    loop {
        if changes.has_changed().is_ok_and(|changed| changed) {
            changes.mark_unchanged();
            refresh(&registry, &mut names);
        }
        let now = Instant::now();
        for name in names.values_mut().filter(|name| name.next.is_some_and(|next| next <= now)) {
            name.next = None;
            let (upstream, wanted) = (name.upstream.clone(), name.wanted.clone());
            questions.push(ask(&lookup, upstream, wanted));
        }
        let next = names.values().filter_map(|name| name.next).min();
        tokio::select! {
            () = &mut shutdown => return,
            // The registry is held here, so the sender is alive.
            _ = changes.changed() => changes.mark_changed(),
            () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            Some(answer) = questions.next() => settle(&registry, &mut names, answer, &forbidden),
        }
    }
}

/// A backend with the name that it resolves.
struct Name {
    upstream: Arc<Upstream>,
    wanted: Discovery,
    /// When to ask; `None` while a question is under way.
    next: Option<Instant>,
    /// In a row.
    failures: u32,
    /// Whether this name ever gave an answer.
    answered: bool,
}

struct Answer {
    upstream: Arc<Upstream>,
    wanted: Discovery,
    addresses: io::Result<Vec<SocketAddr>>,
}

/// Brings the names in line with the registry; new ones are due at once.
fn refresh(registry: &Registry, names: &mut HashMap<BackendId, Name>) {
    let mut before = std::mem::take(names);
    for (upstream, wanted) in registry.resolving() {
        let id = upstream.id.clone();
        let name = match before.remove(&id) {
            Some(name) if name.wanted == wanted && Arc::ptr_eq(&name.upstream, &upstream) => name,
            _ => Name { upstream, wanted, next: Some(Instant::now()), failures: 0, answered: false },
        };
        names.insert(id, name);
    }
}

async fn ask(
    lookup: &impl AsyncFn(Arc<str>, u16) -> io::Result<Vec<SocketAddr>>,
    upstream: Arc<Upstream>,
    wanted: Discovery,
) -> Answer {
    let addresses = match &wanted {
        Discovery::Dns { name, port } => match timeout(LONGEST_WAIT, lookup(name.clone(), *port)).await {
            Ok(addresses) => addresses,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        },
        Discovery::Endpoints => Ok(Vec::new()),
    };
    Answer { upstream, wanted, addresses }
}

/// Applies an answer and sets the time of the next question. An answer for a backend that has changed or gone
/// meanwhile is dropped. After a failure the last good addresses stay, if there are any for this very name.
fn settle(
    registry: &Registry,
    names: &mut HashMap<BackendId, Name>,
    answer: Answer,
    forbidden: &impl Fn(SocketAddr) -> bool,
) {
    let Some(name) = names.get_mut(&answer.upstream.id) else { return };
    if name.wanted != answer.wanted || !Arc::ptr_eq(&name.upstream, &answer.upstream) {
        return;
    }
    let (endpoints, wait) = match answer.addresses {
        Ok(addresses) => {
            let endpoints = usable(&addresses, forbidden);
            if endpoints.is_empty() && !addresses.is_empty() && !name.answered {
                tracing::warn!(backend = %name.upstream.id, "all addresses of the external name are loopback, \
                    link-local or our own; requests get 503 until it names others");
            }
            name.answered = true;
            name.failures = 0;
            (Some(endpoints), INTERVAL)
        }
        Err(error) => {
            if name.failures == 0 {
                tracing::warn!(backend = %name.upstream.id, %error, "the external name cannot be resolved; \
                    its last good addresses, if there are any, stay in use");
            }
            let wait = FIRST_BACKOFF.saturating_mul(1 << name.failures.min(16)).min(LONGEST_BACKOFF);
            name.failures = name.failures.saturating_add(1);
            ((!name.answered).then(Endpoints::default), wait)
        }
    };
    name.next = Some(Instant::now() + wait);
    if let Some(endpoints) = endpoints {
        registry.apply_resolved(&name.upstream, &name.wanted, &endpoints);
    }
}

/// The addresses that may be used, sorted and without duplicates, as IPv4 where they are that.
fn usable(addresses: &[SocketAddr], forbidden: &impl Fn(SocketAddr) -> bool) -> Endpoints {
    let mut addresses: Vec<_> = addresses
        .iter()
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .filter(|address| !is_never_a_backend(address.ip()) && !forbidden(*address))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let endpoint = |address| Endpoint { address, state: EndpointState::Ready, zone: None };
    addresses.into_iter().map(endpoint).collect()
}

/// Whether an address that a user's name gives is never used: loopback, link-local, unspecified, multicast and
/// broadcast, also where they are written inside an IPv6 address (RFC 4291 §2.5.5, RFC 6052).
pub fn is_never_a_backend(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_never_v4(address),
        IpAddr::V6(address) => {
            let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
            special || address.is_unicast_link_local() || inner_v4(address).is_some_and(is_never_v4)
        }
    }
}

fn is_never_v4(address: Ipv4Addr) -> bool {
    let special = address.is_loopback() || address.is_link_local() || address.is_multicast();
    // All of 0.0.0.0/8 means "this host" (RFC 1122 §3.2.1.3).
    special || address.is_broadcast() || address.octets()[0] == 0
}

/// The IPv4 address inside a mapped, a compatible or a NAT64 address.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let inner = matches!((a, b, c, d, e, f), (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0));
    inner.then(|| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}
