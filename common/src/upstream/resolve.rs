//! Names: backends whose endpoints come from DNS are resolved again and again.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
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
/// Longest time to wait for an answer. Resolvers take 5 s to turn from a dead name server to the next one.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Time to the next question after a first failure; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest time to the next question after failures.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Keeps the endpoints of backends that [resolve a name](Discovery::Dns) up to date until `shutdown` ends,
/// with the resolver of the system. `forbidden` says which addresses are never used beside those that [never
/// are](is_never_a_backend), such as those of [this machine](is_local); IPv4 addresses come to it as such even where
/// the name gives them mapped into IPv6.
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
    /// Whether the last answer had addresses and all of them are forbidden.
    refused: bool,
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
            _ => Name {
                upstream,
                wanted,
                next: Some(Instant::now()),
                failures: 0,
                answered: false,
                refused: false,
            },
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
            let refused = endpoints.is_empty() && !addresses.is_empty();
            if refused && !name.refused {
                tracing::warn!(backend = %name.upstream.id, "the external name has only \
                    addresses that are loopback, link-local or of this machine; requests get 503");
            }
            name.refused = refused;
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
pub(super) fn usable(addresses: &[SocketAddr], forbidden: &impl Fn(SocketAddr) -> bool) -> Endpoints {
    let mut addresses: Vec<_> = addresses
        .iter()
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .filter(|address| !is_never_a_backend(address.ip()) && !forbidden(*address))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let endpoint = |address| Endpoint::new(address, EndpointState::Ready);
    addresses.into_iter().map(endpoint).collect()
}

/// Where clouds tell machines their secrets, beside the link-local 169.254.169.254.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether an address that a user's name gives is never used: loopback, link-local, unspecified, multicast
/// and broadcast, those where clouds tell machines their secrets, also where they are written inside an IPv6 address (RFC 4291 §2.5.5, RFC 6052).
pub fn is_never_a_backend(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_never_v4(address),
        IpAddr::V6(address) => {
            let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
            let special = special || address == METADATA_V6;
            special || address.is_unicast_link_local() || inner_v4(address).is_some_and(is_never_v4)
        }
    }
}

/// Whether an address is one of this machine, where the proxy itself or its admin server may listen.
///
/// Only such an address can be bound, unless the system allows to bind any (`ip_nonlocal_bind`), which shows at an
/// address that is nobody's (RFC 5737, RFC 3849); then it is one if packets to it would also come from it.
pub fn is_local(address: IpAddr) -> bool {
    let nobody: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    // Only these say that it is not ours; a lack of descriptors says nothing, and then it is better not to use it.
    let is_foreign = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
            || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
    };
    let can_bind = |address| UdpSocket::bind((address, 0)).map_or_else(|error| !is_foreign(&error), |_| true);
    can_bind(address)
        && (UdpSocket::bind((nobody, 0)).is_err()
            || source_towards(address).is_ok_and(|source| source == address))
}

/// The address that packets to this one would come from. Nothing is sent.
pub(super) fn source_towards(address: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((address, 9))?;
    Ok(socket.local_addr()?.ip())
}

fn is_never_v4(address: Ipv4Addr) -> bool {
    let special = address.is_loopback() || address.is_link_local() || address.is_multicast();
    // All of 0.0.0.0/8 means "this host" (RFC 1122 §3.2.1.3).
    let special = special || METADATA_V4.contains(&address);
    special || address.is_broadcast() || address.octets()[0] == 0
}

/// The IPv4 address inside a mapped, compatible, translated (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056) or
/// ISATAP (RFC 5214) address.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let inner = |high, low| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) => inner(high, low),
        (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, ..) => inner(high, low),
        (0x2002, high, low, ..) => inner(high, low),
        (.., 0 | 0x200, 0x5efe) => inner(high, low),
        _ => None,
    }
}

/// An address, and the IPv4 address inside it if there is one: whoever carries packets between both leads to either.
pub fn forms(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => inner_v4(address).map(IpAddr::V4),
    };
    [Some(address.to_canonical()), inner].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::Backend;

    fn v4(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 80)
    }

    /// A registry with one backend for each pair of id and name.
    fn registry(names: &[(&str, &str)]) -> Arc<Registry> {
        let registry = Arc::new(Registry::new());
        apply(&registry, names);
        registry
    }

    fn apply(registry: &Registry, names: &[(&str, &str)]) {
        let backend = |name: &str| {
            let discovery = Discovery::Dns { name: name.into(), port: 80 };
            Arc::new(Backend { discovery, ..Backend::default() })
        };
        let backends = names.iter().map(|(id, name)| ((*id).into(), backend(name))).collect();
        registry.apply_backends(&backends);
    }

    fn addresses(registry: &Registry, id: &str) -> Vec<String> {
        let upstream = registry.get(&id.into()).unwrap();
        let set = upstream.peers.load();
        set.all().map(|peer| peer.address.ip().to_string()).collect()
    }

    /// A resolver that answers from a table; a name that is not in it fails. Counts its questions.
    #[derive(Default)]
    struct Zone {
        names: Mutex<HashMap<&'static str, Vec<SocketAddr>>>,
        questions: Mutex<Vec<(String, Duration)>>,
    }

    impl Zone {
        fn set(&self, name: &'static str, addresses: &[&str]) {
            self.names.lock().unwrap().insert(name, addresses.iter().map(|text| v4(text)).collect());
        }

        fn fail(&self, name: &str) {
            self.names.lock().unwrap().remove(name);
        }

        /// Seconds since `start` of the questions for this name.
        fn asked(&self, name: &str) -> Vec<u64> {
            let questions = self.questions.lock().unwrap();
            questions.iter().filter(|(asked, _)| asked == name).map(|(_, at)| at.as_secs()).collect()
        }

        /// Resolves for this long.
        async fn run(&self, registry: &Arc<Registry>, start: Instant, time: Duration) {
            let lookup = async |name: Arc<str>, _port| {
                self.questions.lock().unwrap().push((name.to_string(), start.elapsed()));
                let known = self.names.lock().unwrap().get(&*name).cloned();
                match &*name {
                    "slow.example" => std::future::pending().await,
                    _ => known.ok_or_else(|| io::Error::other("no such name")),
                }
            };
            let own = |address| address == v4("198.51.100.9");
            run_with(registry.clone(), lookup, own, tokio::time::sleep(time)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_asked_every_five_seconds_and_changes_are_followed() {
        let (zone, registry, start) = (Zone::default(), registry(&[("shop", "a.example")]), Instant::now());
        zone.set("a.example", &["192.0.2.2", "192.0.2.1", "192.0.2.2"]);
        let change = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            assert_eq!(addresses(&registry, "shop"), ["192.0.2.1", "192.0.2.2"]);
            zone.set("a.example", &["192.0.2.3"]);
        };
        tokio::join!(zone.run(&registry, start, Duration::from_secs(12)), change);
        assert_eq!(addresses(&registry, "shop"), ["192.0.2.3"]);
        assert_eq!(zone.asked("a.example"), [0, 5, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn new_names_are_asked_at_once_and_removed_ones_no_more() {
        let (zone, registry, start) = (Zone::default(), registry(&[("shop", "a.example")]), Instant::now());
        zone.set("a.example", &["192.0.2.1"]);
        zone.set("b.example", &["192.0.2.2"]);
        let change = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            apply(&registry, &[("other", "b.example")]);
        };
        tokio::join!(zone.run(&registry, start, Duration::from_secs(11)), change);
        assert_eq!(addresses(&registry, "other"), ["192.0.2.2"]);
        assert_eq!((zone.asked("a.example"), zone.asked("b.example")), (vec![0, 5], vec![7]));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_the_last_good_addresses_stay_and_questions_become_rare() {
        let (zone, registry, start) = (Zone::default(), registry(&[("shop", "a.example")]), Instant::now());
        zone.set("a.example", &["192.0.2.1"]);
        let change = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            zone.fail("a.example");
            tokio::time::sleep(Duration::from_secs(99)).await;
            assert_eq!(addresses(&registry, "shop"), ["192.0.2.1"]);
            zone.set("a.example", &["192.0.2.2"]);
        };
        tokio::join!(zone.run(&registry, start, Duration::from_secs(140)), change);
        assert_eq!(addresses(&registry, "shop"), ["192.0.2.2"]);
        assert_eq!(zone.asked("a.example"), [0, 5, 6, 8, 12, 20, 36, 66, 96, 126, 131, 136]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_name_that_fails_does_not_leave_requests_with_the_old_one() {
        let (zone, registry, start) = (Zone::default(), registry(&[("shop", "a.example")]), Instant::now());
        zone.set("a.example", &["192.0.2.1"]);
        let change = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            apply(&registry, &[("shop", "nowhere.example")]);
        };
        tokio::join!(zone.run(&registry, start, Duration::from_secs(2)), change);
        assert_eq!(addresses(&registry, "shop"), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_an_answer_does_not_delay_the_others() {
        let names = [("slow", "slow.example"), ("shop", "a.example")];
        let (zone, registry, start) = (Zone::default(), registry(&names), Instant::now());
        zone.set("a.example", &["192.0.2.1"]);
        zone.run(&registry, start, Duration::from_secs(32)).await;
        assert_eq!(addresses(&registry, "shop"), ["192.0.2.1"]);
        assert_eq!(zone.asked("slow.example"), [0, 31]);
        assert_eq!(zone.asked("a.example"), [0, 5, 10, 15, 20, 25, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn forbidden_addresses_never_become_peers() {
        let (zone, registry, start) = (Zone::default(), registry(&[("shop", "a.example")]), Instant::now());
        zone.set(
            "a.example",
            &["127.0.0.1", "::ffff:198.51.100.9", "::ffff:192.0.2.7", "192.0.2.7", "fe80::1"],
        );
        let change = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(addresses(&registry, "shop"), ["192.0.2.7"]);
            zone.set("a.example", &["169.254.169.254"]);
        };
        tokio::join!(zone.run(&registry, start, Duration::from_secs(6)), change);
        assert_eq!(addresses(&registry, "shop"), Vec::<String>::new());
    }

    #[test]
    fn special_addresses_are_known_in_every_form() {
        let rows = [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("169.254.169.254", true),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("::", true),
            ("::1", true),
            ("fe80::1", true),
            ("ff02::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:169.254.169.254", true),
            ("::127.0.0.1", true),
            ("64:ff9b::7f00:1", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("64:ff9b:1::7f00:1", true),
            ("2002:7f00:1::1", true),
            ("::ffff:0:127.0.0.1", true),
            ("2001:db8::5efe:127.0.0.1", true),
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("fd00:ec2::254", true),
            ("2002:a00:1::1", false),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("100.64.0.1", false),
            ("192.0.2.1", false),
            ("::ffff:10.0.0.1", false),
            ("64:ff9b::a00:1", false),
            ("fd00::1", false),
            ("2001:db8::7f00:1", false),
        ];
        for (address, wanted) in rows {
            assert_eq!(is_never_a_backend(address.parse().unwrap()), wanted, "{address}");
        }
    }

    #[test]
    fn the_addresses_of_this_machine_are_local_and_others_are_not() {
        let (own, others) = (["127.0.0.1", "127.0.0.2"], ["192.0.2.1", "198.51.100.7", "2001:db8::1"]);
        assert_eq!(own.map(|address| is_local(address.parse().unwrap())), [true; 2]);
        assert_eq!(others.map(|address| is_local(address.parse().unwrap())), [false; 3]);
        // The address by which this machine would reach another one, if it has any.
        if let Ok(outward) = source_towards(Ipv4Addr::new(192, 0, 2, 1).into()) {
            assert!(is_local(outward), "{outward}");
        }
    }

    #[test]
    fn the_task_can_run_on_a_runtime_with_several_threads() {
        fn sendable<F: Future + Send>(_: F) {}
        sendable(run(Arc::new(Registry::new()), |_| false, std::future::ready(())));
    }
}
