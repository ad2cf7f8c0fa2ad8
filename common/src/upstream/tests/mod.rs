//! Facts about upstreams: what survives a change, who gets requests, and who is ejected.

mod choice;
mod destinations;
mod fair;
mod limits;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Peer, Registry, Upstream};
use crate::{
    id::BackendId,
    model::{
        Backend, BackendProtocol, Balance, Discovery, Endpoint, EndpointState, Endpoints, HashKey, Health,
        SharedMap,
    },
};

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn endpoints(ready: &[u16], draining: &[u16]) -> Endpoints {
    let of = |ports: &[u16], state| -> Vec<_> {
        ports.iter().map(|port| Endpoint::new(address(*port), state)).collect()
    };
    [of(ready, EndpointState::Ready), of(draining, EndpointState::Draining)].concat().into()
}

fn backends(list: &[(&str, Backend)]) -> SharedMap<BackendId, Arc<Backend>> {
    list.iter().map(|(id, backend)| ((*id).into(), Arc::new(backend.clone()))).collect()
}

fn registry(balance: &Balance, ready: &[u16]) -> (Registry, Arc<Upstream>) {
    let registry = Registry::new();
    registry
        .apply_backends(&backends(&[("shop", Backend { balance: balance.clone(), ..Backend::default() })]));
    registry.apply_endpoints(&"shop".into(), &endpoints(ready, &[]));
    let upstream = registry.get(&"shop".into()).unwrap();
    (registry, upstream)
}

/// A repeatable source of well-mixed values (splitmix64).
fn randoms() -> impl Iterator<Item = u64> {
    let mut state = 7_u64;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(mixed ^ (mixed >> 31))
    })
}

fn picks(upstream: &Upstream, count: usize, now: Instant) -> HashMap<u16, usize> {
    let mut seen = HashMap::new();
    for random in randoms().take(count) {
        *seen.entry(upstream.pick(now, random, None).unwrap().address.port()).or_default() += 1;
    }
    seen
}

fn peer(upstream: &Upstream, port: u16) -> Arc<Peer> {
    upstream.peers.load().all().find(|peer| peer.address.port() == port).unwrap().clone()
}

/// Fails so often in a row that it should be ejected; whether it was.
fn fail(upstream: &Upstream, port: u16, now: Instant) -> bool {
    let peer = peer(upstream, port);
    (0..5).filter(|_| peer.failed(now)).count() == 1
}

const ALL: [Balance; 4] =
    [Balance::RoundRobin, Balance::LeastRequests, Balance::Ewma, Balance::Hash(HashKey::Source)];
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn round_robin_gives_ten_endpoints_ten_of_a_hundred_requests_each() {
    let (_registry, upstream) = registry(&Balance::RoundRobin, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let seen = picks(&upstream, 100, Instant::now());
    assert_eq!(seen, (1..=10).map(|port| (port, 10)).collect());
}

#[test]
fn round_robin_is_even_over_all_workers_together() {
    let (_registry, upstream) = registry(&Balance::RoundRobin, &[1, 2, 3, 4, 5]);
    let now = Instant::now();
    let seen: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| picks(&upstream, 250, now))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for port in 1..=5 {
        let total: usize = seen.iter().map(|worker| worker.get(&port).copied().unwrap_or_default()).sum();
        assert_eq!(total, 200, "port {port}");
    }
}

#[test]
fn round_robin_does_not_always_begin_with_the_same_endpoint() {
    let all: Vec<_> = (1..=100).collect();
    let first = || *picks(&registry(&Balance::RoundRobin, &all).1, 1, Instant::now()).keys().next().unwrap();
    let firsts: std::collections::HashSet<_> = (0..20).map(|_| first()).collect();
    assert!(firsts.len() > 1, "{firsts:?}");
}

#[test]
fn least_requests_spreads_and_shuns_the_busy() {
    let (_registry, upstream) = registry(&Balance::LeastRequests, &[1, 2, 3, 4]);
    let now = Instant::now();
    let seen = picks(&upstream, 4000, now);
    assert!((1..=4).all(|port| (800..1200).contains(&seen[&port])), "{seen:?}");
    let busy: Vec<_> = (0..3).map(|_| peer(&upstream, 2).begin()).collect();
    assert_eq!(peer(&upstream, 2).in_flight(), 3);
    assert!(!picks(&upstream, 4000, now).contains_key(&2));
    drop(busy);
    assert_eq!(peer(&upstream, 2).in_flight(), 0);
    assert!(picks(&upstream, 4000, now).contains_key(&2));
}

#[test]
fn ready_endpoints_come_before_draining_ones_and_draining_ones_before_none() {
    for balance in ALL {
        let (registry, upstream) = registry(&balance, &[]);
        let (id, now) = ("shop".into(), Instant::now());
        assert!(upstream.pick(now, 1, None).is_none());
        registry.apply_endpoints(&id, &endpoints(&[1], &[2]));
        assert_eq!(picks(&upstream, 10, now), [(1, 10)].into());
        registry.apply_endpoints(&id, &endpoints(&[], &[1, 2]));
        assert_eq!(picks(&upstream, 100, now).len(), 2);
        registry.apply_endpoints(&id, &endpoints(&[], &[]));
        assert!(upstream.pick(now, 1, None).is_none());
    }
}

#[test]
fn the_peer_to_avoid_is_chosen_only_if_it_is_alone() {
    for balance in ALL {
        let (registry, upstream) = registry(&balance, &[1, 2]);
        let (avoid, now) = (peer(&upstream, 1), Instant::now());
        let all_other = || {
            randoms().take(100).all(|random| upstream.pick(now, random, Some(&avoid)).unwrap().id != avoid.id)
        };
        assert!(all_other());
        assert!(fail(&upstream, 2, now));
        assert!(all_other(), "an ejected peer is better than the one that just failed");
        registry.apply_endpoints(&"shop".into(), &endpoints(&[1], &[]));
        assert_eq!(upstream.pick(now, 1, Some(&avoid)).unwrap().id, avoid.id);
    }
}

#[test]
fn five_failures_in_a_row_eject_for_thirty_seconds() {
    for balance in ALL {
        let (_registry, upstream) = registry(&balance, &[1, 2, 3, 4, 5]);
        let now = Instant::now();
        let failing = peer(&upstream, 3);
        for _ in 0..4 {
            assert!(!failing.failed(now));
        }
        failing.succeeded();
        for _ in 0..4 {
            assert!(!failing.failed(now));
        }
        assert!(!failing.is_ejected(now));
        assert!(failing.failed(now));
        let seen = picks(&upstream, 400, now + 29 * SECOND);
        assert!(!seen.contains_key(&3) && seen.len() == 4, "{seen:?}");
        if balance == Balance::RoundRobin {
            assert!(seen.values().all(|count| *count == 100), "{seen:?}");
        }
        assert!(picks(&upstream, 400, now + 30 * SECOND).contains_key(&3));
    }
}

#[test]
fn ejections_in_a_row_double_up_to_five_minutes() {
    let (_registry, upstream) = registry(&Balance::RoundRobin, &[1, 2]);
    let mut now = Instant::now();
    for seconds in [30, 60, 120, 240, 300, 300] {
        assert!(fail(&upstream, 1, now));
        assert!(!fail(&upstream, 1, now), "ejected already");
        now += (seconds - 1) * SECOND;
        assert!(peer(&upstream, 1).is_ejected(now), "{seconds}");
        now += SECOND;
        assert!(!peer(&upstream, 1).is_ejected(now), "{seconds}");
    }
    peer(&upstream, 1).succeeded();
    assert!(fail(&upstream, 1, now));
    assert!(!peer(&upstream, 1).is_ejected(now + 30 * SECOND));
}

#[test]
fn at_most_half_of_the_peers_are_ejected() {
    let rows: [(&[u16], usize); 5] =
        [(&[1], 0), (&[1, 2], 1), (&[1, 2, 3], 1), (&[1, 2, 3, 4], 2), (&[1, 2, 3, 4, 5], 2)];
    for (ports, wanted) in rows {
        let (_registry, upstream) = registry(&Balance::RoundRobin, ports);
        let now = Instant::now();
        let ejected = ports.iter().filter(|port| fail(&upstream, **port, now)).count();
        assert_eq!(ejected, wanted, "of {ports:?}");
    }
}

#[test]
fn if_more_than_half_are_ejected_all_are_used() {
    for balance in ALL {
        let (registry, upstream) = registry(&balance, &[1, 2, 3, 4]);
        let (id, now) = ("shop".into(), Instant::now());
        assert!(fail(&upstream, 1, now) && fail(&upstream, 2, now));
        assert_eq!(picks(&upstream, 100, now).len(), 2);
        // Two healthy ones go: two of three are ejected now.
        registry.apply_endpoints(&id, &endpoints(&[1, 2, 3], &[]));
        assert_eq!(picks(&upstream, 100, now).len(), 3);
        // Once the ejections are over there is nothing special.
        assert_eq!(picks(&upstream, 100, now + 31 * SECOND).len(), 3);
    }
}

#[test]
fn a_backend_says_how_its_peers_are_ejected() {
    let (registry, upstream) = registry(&Balance::RoundRobin, &[1, 2, 3, 4]);
    let (ejection, longest_ejection) = (2 * SECOND, 3 * SECOND);
    let strict = Health {
        failures: 2,
        ejection,
        longest_ejection,
        most_ejected_percent: 75,
        panic_percent: 74,
        ..Health::default()
    };
    let apply = |health: &Health| {
        registry
            .apply_backends(&backends(&[("shop", Backend { health: health.clone(), ..Backend::default() })]));
    };
    apply(&strict);
    let mut now = Instant::now();
    for seconds in [2, 3, 3] {
        assert_eq!([peer(&upstream, 1).failed(now), peer(&upstream, 1).failed(now)], [false, true]);
        now += (seconds - 1) * SECOND;
        assert!(peer(&upstream, 1).is_ejected(now), "{seconds}");
        now += SECOND;
        assert!(!peer(&upstream, 1).is_ejected(now), "{seconds}");
    }
    assert_eq!([1, 2, 3, 4].map(|port| fail(&upstream, port, now)), [true, true, true, false]);
    assert_eq!(picks(&upstream, 100, now).len(), 4, "three of four are more than 74 %");
    apply(&Health { panic_percent: 75, ..strict });
    assert_eq!(picks(&upstream, 100, now).len(), 1, "and not more than 75 %");
    apply(&Health { failures: 0, ..Health::default() });
    assert!(!fail(&upstream, 4, now));
}

#[test]
fn endpoints_with_the_same_address_keep_health_and_requests() {
    let (registry, upstream) = registry(&Balance::RoundRobin, &[1, 2, 3]);
    let (id, now) = ("shop".into(), Instant::now());
    let departures = registry.departures();
    let (kept, going) = (peer(&upstream, 1), peer(&upstream, 2));
    let request = kept.begin();
    assert!(fail(&upstream, 1, now));
    assert!(!registry.apply_endpoints(&id, &endpoints(&[1, 2, 3], &[])), "nothing changed");
    assert!(registry.apply_endpoints(&id, &endpoints(&[1, 2, 3, 4], &[])));
    assert!(!departures.has_changed().unwrap(), "nobody went");
    assert!(registry.apply_endpoints(&id, &endpoints(&[3], &[1])));
    assert!(departures.has_changed().unwrap());
    assert_eq!((going.is_gone(), kept.is_gone()), (true, false));
    let now_there = peer(&upstream, 1);
    assert!(Arc::ptr_eq(&now_there, &kept) && now_there.is_ejected(now) && now_there.in_flight() == 1);
    assert_eq!(request.peer().id, kept.id);
    // An address that comes back is another peer.
    registry.apply_endpoints(&id, &endpoints(&[1, 2], &[]));
    assert_ne!(peer(&upstream, 2).id, going.id);
}

#[test]
fn backends_that_stay_keep_their_peers_whatever_else_changes() {
    let (registry, upstream) = registry(&Balance::RoundRobin, &[1, 2]);
    let (kept, departures) = (peer(&upstream, 1), registry.departures());
    let slower =
        Backend { connect_timeout: 9 * SECOND, balance: Balance::LeastRequests, ..Backend::default() };
    registry.apply_backends(&backends(&[("shop", slower), ("other", Backend::default())]));
    assert!(Arc::ptr_eq(&registry.get(&"shop".into()).unwrap(), &upstream));
    assert!(Arc::ptr_eq(&peer(&upstream, 1), &kept));
    assert_eq!(upstream.backend().connect_timeout, 9 * SECOND);
    assert!(registry.get(&"other".into()).unwrap().endpoints().is_empty());
    assert!(!departures.has_changed().unwrap());
}

#[test]
fn another_protocol_makes_new_peers_because_old_connections_are_of_no_use() {
    let (registry, upstream) = registry(&Balance::RoundRobin, &[1]);
    let (old, departures) = (peer(&upstream, 1), registry.departures());
    let http2 = Backend { protocol: BackendProtocol::Http2, ..Backend::default() };
    registry.apply_backends(&backends(&[("shop", http2)]));
    assert!(old.is_gone() && departures.has_changed().unwrap());
    assert_ne!(peer(&upstream, 1).id, old.id);
    assert!(!peer(&upstream, 1).is_gone());
    assert_eq!([old.protocol, peer(&upstream, 1).protocol], [BackendProtocol::Http1, BackendProtocol::Http2]);
}

#[test]
fn the_peers_of_a_removed_backend_are_gone_yet_finish_what_was_routed_to_them() {
    let (registry, upstream) = registry(&Balance::RoundRobin, &[1]);
    let departures = registry.departures();
    registry.apply_backends(&backends(&[]));
    assert!(registry.get(&"shop".into()).is_none());
    assert!(departures.has_changed().unwrap());
    assert!(upstream.pick(Instant::now(), 1, None).unwrap().is_gone());
    assert!(!registry.apply_endpoints(&"shop".into(), &endpoints(&[1], &[])), "nobody names it any more");
    registry.apply_backends(&backends(&[("shop", Backend::default())]));
    assert!(registry.get(&"shop".into()).unwrap().endpoints().is_empty());
}

#[test]
fn endpoints_announced_while_a_name_is_resolved_count_when_it_no_longer_is() {
    let dns =
        Backend { discovery: Discovery::Dns { name: "a.example".into(), port: 80 }, ..Backend::default() };
    let registry = Registry::new();
    registry.apply_backends(&backends(&[("shop", dns)]));
    let id = "shop".into();
    assert!(!registry.apply_endpoints(&id, &endpoints(&[5], &[])));
    let upstream = registry.get(&id).unwrap();
    assert!(upstream.endpoints().is_empty());
    registry.apply_backends(&backends(&[("shop", Backend::default())]));
    assert_eq!(peer(&upstream, 5).address, address(5));
}

#[test]
fn a_backend_that_resolves_a_name_for_a_while_finds_its_endpoints_again() {
    let (registry, upstream) = registry(&Balance::RoundRobin, &[1, 3]);
    registry.apply_endpoints(&"shop".into(), &endpoints(&[1, 3], &[2]));
    let before = upstream.endpoints();
    assert_eq!(before.len(), 3);
    let name = Discovery::Dns { name: "a.example".into(), port: 80 };
    let dns = Backend { discovery: name.clone(), ..Backend::default() };
    registry.apply_backends(&backends(&[("shop", dns)]));
    assert_eq!(upstream.endpoints(), before, "until the name is resolved");
    assert!(registry.apply_resolved(&upstream, &name, &endpoints(&[9], &[])));
    registry.apply_backends(&backends(&[("shop", Backend::default())]));
    assert_eq!(upstream.endpoints(), before);
    assert!(!registry.apply_resolved(&upstream, &name, &endpoints(&[9], &[])), "an answer that comes late");
}
