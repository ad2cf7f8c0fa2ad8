//! Facts about who is chosen: by latency, by key, by zone, by health checks and while a share grows.

use super::*;
use crate::{
    model::{FailingStatuses, HealthCheck, HealthCheckKind},
    upstream::Checked,
};

const MILLI: Duration = Duration::from_millis(1);

fn with(backend: Backend, ready: &[u16]) -> (Registry, Arc<Upstream>) {
    let registry = Registry::new();
    registry.apply_backends(&backends(&[("shop", backend)]));
    registry.apply_endpoints(&"shop".into(), &endpoints(ready, &[]));
    let upstream = registry.get(&"shop".into()).unwrap();
    (registry, upstream)
}

#[test]
fn ewma_shuns_the_slow_and_spreads_over_the_quick() {
    let (_registry, upstream) = registry(&Balance::Ewma, &[1, 2, 3, 4]);
    let now = Instant::now();
    (1..=4).for_each(|port| peer(&upstream, port).observe(MILLI, now));
    let seen = picks(&upstream, 4000, now);
    assert!((1..=4).all(|port| (800..1200).contains(&seen[&port])), "{seen:?}");
    peer(&upstream, 2).observe(50 * MILLI, now);
    assert!(!picks(&upstream, 4000, now).contains_key(&2));
    // Its work weighs as much as its time.
    let quick = [1, 3, 4].map(|port| peer(&upstream, port));
    let _busy: Vec<_> = quick.iter().flat_map(|peer| (0..60).map(|_| peer.begin())).collect();
    assert!(picks(&upstream, 4000, now)[&2] > 1500);
}

#[test]
fn ewma_tries_a_new_endpoint_once_before_it_answers() {
    let (registry, upstream) = registry(&Balance::Ewma, &[1, 2]);
    let now = Instant::now();
    (1..=2).for_each(|port| peer(&upstream, port).observe(MILLI, now));
    registry.apply_endpoints(&"shop".into(), &endpoints(&[1, 2, 3], &[]));
    // It wins whenever it is drawn, with two of three.
    let seen = picks(&upstream, 3000, now);
    assert!((1800..2200).contains(&seen[&3]), "{seen:?}");
    let first = peer(&upstream, 3).begin();
    assert!(!picks(&upstream, 3000, now).contains_key(&3));
    drop(first);
    peer(&upstream, 3).observe(MILLI, now);
    assert!((800..1200).contains(&picks(&upstream, 3000, now)[&3]));
}

#[test]
fn ewma_takes_no_quick_failure_for_a_quick_answer() {
    let (_registry, upstream) = registry(&Balance::Ewma, &[1, 2, 3]);
    let now = Instant::now();
    (1..=3).for_each(|port| peer(&upstream, port).observe(20 * MILLI, now));
    peer(&upstream, 1).penalize(MILLI, now);
    assert!(!picks(&upstream, 3000, now).contains_key(&1));
    // Only the others are told of.
    let later = now + 60 * SECOND;
    (2..=3).for_each(|port| peer(&upstream, port).observe(20 * MILLI, later));
    assert!(picks(&upstream, 3000, later).contains_key(&1), "it fades");
}

#[test]
fn a_key_always_goes_to_the_same_endpoint_and_keys_are_spread() {
    let ports: Vec<u16> = (1..=10).collect();
    let (_registry, upstream) = registry(&Balance::Hash(HashKey::Source), &ports);
    let (_other_registry, replica) = registry(&Balance::Hash(HashKey::Source), &ports);
    let now = Instant::now();
    for key in randoms().take(1000) {
        let port = |upstream: &Upstream| upstream.pick(now, key, None).unwrap().address.port();
        assert_eq!(port(&upstream), port(&upstream));
        assert_eq!(port(&upstream), port(&replica), "another process agrees");
    }
    let seen = picks(&upstream, 10_000, now);
    assert!(ports.iter().all(|port| (900..1100).contains(&seen[port])), "{seen:?}");
}

#[test]
fn when_one_of_ten_endpoints_goes_or_is_ejected_only_its_keys_move() {
    let all: Vec<u16> = (1..=10).collect();
    let (registry, upstream) = registry(&Balance::Hash(HashKey::Source), &all);
    let now = Instant::now();
    let places = |now| -> Vec<u16> {
        let port = |key| upstream.pick(now, key, None).unwrap().address.port();
        randoms().take(10_000).map(port).collect()
    };
    let before = places(now);
    assert!(fail(&upstream, 4, now));
    let ejected = places(now);
    assert_eq!(places(now + 60 * SECOND), before, "its keys come back");
    registry.apply_endpoints(&"shop".into(), &endpoints(&[1, 2, 3, 5, 6, 7, 8, 9, 10], &[]));
    let gone = places(now);
    assert_eq!(gone, ejected);
    let mut taken_over = HashMap::new();
    for (before, after) in before.into_iter().zip(gone) {
        match before {
            4 => *taken_over.entry(after).or_insert(0) += 1,
            _ => assert_eq!(after, before),
        }
    }
    assert!(taken_over.len() == 9 && taken_over.values().all(|count| *count < 200), "{taken_over:?}");
}

#[test]
fn a_retry_of_a_key_goes_elsewhere() {
    let (_registry, upstream) = registry(&Balance::Hash(HashKey::Source), &[1, 2, 3]);
    let now = Instant::now();
    for key in randoms().take(100) {
        let first = upstream.pick(now, key, None).unwrap();
        assert_ne!(upstream.pick(now, key, Some(&first)).unwrap().id, first.id);
    }
}

#[test]
fn the_share_of_an_endpoint_that_joins_others_grows_from_a_tenth() {
    for balance in ALL {
        let backend =
            Backend { balance: balance.clone(), slow_start: Some(100 * SECOND), ..Backend::default() };
        let (registry, upstream) = with(backend, &[1, 2, 3]);
        let id = "shop".into();
        let now = Instant::now();
        (1..=3).for_each(|port| peer(&upstream, port).observe(MILLI, now));
        assert!(
            (800..1200).contains(&picks(&upstream, 3000, now)[&3]),
            "who is there from the start is no newcomer"
        );
        registry.apply_endpoints(&id, &endpoints(&[1, 2, 3, 4], &[]));
        peer(&upstream, 4).observe(MILLI, now);
        let share = |seconds: u32| picks(&upstream, 4000, Instant::now() + seconds * SECOND)[&4];
        // Of two drawn, both others and the newcomer when it is drawn and let through.
        let shares = [0, 50, 100].map(share);
        assert!((40..220).contains(&shares[0]), "{balance:?}: {shares:?}");
        assert!((350..700).contains(&shares[1]), "{balance:?}: {shares:?}");
        assert!((850..1150).contains(&shares[2]), "{balance:?}: {shares:?}");
        let others = picks(&upstream, 4000, Instant::now());
        assert!((1..=3).all(|port| (1100..1500).contains(&others[&port])), "{balance:?}: {others:?}");
    }
}

#[test]
fn newcomers_alone_take_everything() {
    let backend = Backend { slow_start: Some(100 * SECOND), ..Backend::default() };
    let (registry, upstream) = with(backend, &[1]);
    registry.apply_endpoints(&"shop".into(), &endpoints(&[2, 3], &[]));
    let seen = picks(&upstream, 1000, Instant::now());
    assert_eq!(seen.values().sum::<usize>(), 1000);
    assert!((400..600).contains(&seen[&2]), "{seen:?}");
}

#[test]
fn unhealthy_endpoints_are_passed_over_and_count_for_panic_with_the_ejected() {
    for balance in ALL {
        let (_registry, upstream) = registry(&balance, &[1, 2, 3, 4]);
        let now = Instant::now();
        assert_eq!(peer(&upstream, 1).checked(), Checked::Unknown);
        peer(&upstream, 1).set_checked(false);
        assert!(!picks(&upstream, 1000, now).contains_key(&1), "{balance:?}");
        assert!(fail(&upstream, 2, now));
        assert_eq!(picks(&upstream, 1000, now).len(), 2, "{balance:?}");
        peer(&upstream, 3).set_checked(false);
        assert_eq!(picks(&upstream, 1000, now).len(), 4, "{balance:?}: three of four are more than half");
        peer(&upstream, 1).set_checked(true);
        assert_eq!(picks(&upstream, 1000, now).len(), 2, "{balance:?}");
    }
}

#[test]
fn what_checks_said_is_forgotten_when_there_are_none_any_more() {
    let (registry, upstream) = registry(&Balance::RoundRobin, &[1, 2]);
    peer(&upstream, 1).set_checked(false);
    let slower = Backend { connect_timeout: 9 * SECOND, ..Backend::default() };
    registry.apply_backends(&backends(&[("shop", slower)]));
    assert_eq!(peer(&upstream, 1).checked(), Checked::Unknown);
}

#[test]
fn what_a_check_found_holds_as_long_as_it_asks_the_same() {
    let asked = |interval, port| {
        let kind = HealthCheckKind::Tcp;
        let check =
            HealthCheck { kind, interval, timeout: SECOND, healthy_after: 1, unhealthy_after: 1, port };
        Backend { check: Some(check), ..Backend::default() }
    };
    let (registry, upstream) = with(asked(SECOND, None), &[]);
    registry.apply_endpoints(&"shop".into(), &endpoints(&[1, 2], &[]));
    let first = peer(&upstream, 1);
    let find = |backend: Backend| registry.apply_checked(&upstream, &backend.check.unwrap(), &first, false);
    assert!(find(asked(SECOND, None)));
    registry.apply_backends(&backends(&[("shop", asked(2 * SECOND, None))]));
    assert_eq!(first.checked(), Checked::Unhealthy, "asked at other times");
    assert!(!find(asked(SECOND, None)), "of a check that has changed");
    registry.apply_backends(&backends(&[("shop", asked(2 * SECOND, Some(9)))]));
    assert_eq!(first.checked(), Checked::Unknown, "asked at another port");
    registry.apply_endpoints(&"shop".into(), &endpoints(&[2], &[]));
    assert!(!find(asked(2 * SECOND, Some(9))), "of a peer that is gone");
    registry.apply_backends(&backends(&[]));
    assert!(!registry.apply_checked(
        &upstream,
        upstream.backend().check.as_ref().unwrap(),
        &peer(&upstream, 2),
        false
    ));
}

#[test]
fn changes_of_what_is_asked_are_told_and_no_others() {
    let check = HealthCheck {
        kind: HealthCheckKind::Tcp,
        interval: SECOND,
        timeout: SECOND,
        healthy_after: 1,
        unhealthy_after: 1,
        port: None,
    };
    let checked = Backend { check: Some(check), ..Backend::default() };
    let registry = Registry::new();
    let mut changes = registry.checks();
    let apply = |list: &[(&str, Backend)]| registry.apply_backends(&backends(list));
    let announce = |ports: &[u16]| {
        registry.apply_endpoints(&"shop".into(), &endpoints(ports, &[]));
    };
    let steps: [(&dyn Fn(), bool); 8] = [
        (&|| apply(&[("shop", Backend::default())]), false),
        (&|| announce(&[1]), false),
        (&|| apply(&[("shop", checked.clone())]), true),
        (&|| announce(&[1, 2]), true),
        (&|| announce(&[1, 2]), false),
        (&|| apply(&[("shop", checked.clone())]), false),
        (&|| apply(&[("shop", checked.clone()), ("other", Backend::default())]), false),
        (&|| apply(&[("other", Backend::default())]), true),
    ];
    for (number, (step, wanted)) in steps.into_iter().enumerate() {
        step();
        assert_eq!(changes.has_changed().unwrap(), wanted, "step {number}");
        changes.mark_unchanged();
    }
}

#[test]
fn a_mark_finds_its_endpoint_on_every_replica_while_it_is_well() {
    let (registry, upstream) = registry(&Balance::RoundRobin, &[1, 2]);
    let (_other_registry, replica) = super::registry(&Balance::LeastRequests, &[1, 2]);
    let (mark, now) = (peer(&upstream, 1).mark, Instant::now());
    assert_eq!(replica.find(now, mark).unwrap().address, address(1));
    assert!(fail(&upstream, 1, now));
    assert!(upstream.find(now, mark).is_none());
    let later = now + 60 * SECOND;
    assert_eq!(upstream.find(later, mark).unwrap().address, address(1));
    registry.apply_endpoints(&"shop".into(), &endpoints(&[2], &[1]));
    assert!(upstream.find(later, mark).is_none(), "draining");
    registry.apply_backends(&backends(&[("other", Backend::default())]));
    registry.apply_endpoints(&"other".into(), &endpoints(&[1], &[]));
    assert_ne!(peer(&registry.get(&"other".into()).unwrap(), 1).mark, mark, "of another backend");
}

fn placed(port: u16, zone: &str, hints: &[&str]) -> Endpoint {
    let hints = hints.iter().map(|hint| Arc::from(*hint)).collect();
    Endpoint { zone: Some(zone.into()), hints, ..Endpoint::new(address(port), EndpointState::Ready) }
}

#[test]
fn hints_and_zones_decide_who_is_near() {
    let hinted = [placed(1, "a", &["a"]), placed(2, "b", &["a", "b"]), placed(3, "b", &["b"])];
    let half = [placed(1, "a", &["a"]), placed(2, "b", &["b"]), placed(3, "b", &[])];
    let plain = [placed(1, "a", &[]), placed(2, "b", &[]), placed(3, "b", &[])];
    let all: &[u16] = &[1, 2, 3];
    type Row<'a> = (&'a [Endpoint], Option<&'a str>, bool, &'a [u16]);
    let rows: [Row<'_>; 9] = [
        (&hinted, None, true, all),
        (&hinted, Some("a"), false, &[1, 2]),
        (&hinted, Some("b"), false, &[2, 3]),
        (&hinted, Some("c"), false, all),
        (&half, Some("a"), false, all),
        (&half, Some("a"), true, &[1]),
        (&plain, Some("a"), false, all),
        (&plain, Some("a"), true, &[1]),
        (&plain, Some("c"), true, all),
    ];
    for (index, (list, zone, prefer_zone, wanted)) in rows.into_iter().enumerate() {
        let (registry, upstream) = with(Backend { prefer_zone, ..Backend::default() }, &[]);
        registry.set_zone(zone.map(Into::into));
        registry.apply_endpoints(&"shop".into(), &list.to_vec().into());
        let mut seen: Vec<u16> = picks(&upstream, 100, Instant::now()).into_keys().collect();
        seen.sort_unstable();
        assert_eq!(seen, wanted, "row {index}");
    }
}

#[test]
fn a_zone_that_is_learned_later_or_a_hint_that_changes_counts_at_once() {
    let (registry, upstream) = with(Backend::default(), &[]);
    let (id, now) = ("shop".into(), Instant::now());
    let list = [placed(1, "a", &["a"]), placed(2, "b", &["b"])];
    registry.apply_endpoints(&id, &list.to_vec().into());
    let kept = peer(&upstream, 1);
    assert_eq!(picks(&upstream, 10, now).len(), 2);
    registry.set_zone(Some("a".into()));
    assert_eq!(picks(&upstream, 10, now), [(1, 10)].into());
    let list = [placed(1, "a", &["b"]), placed(2, "b", &["a"])];
    assert!(registry.apply_endpoints(&id, &list.to_vec().into()));
    assert_eq!(picks(&upstream, 10, now), [(2, 10)].into());
    assert!(Arc::ptr_eq(&peer(&upstream, 1), &kept));
}

#[test]
fn if_too_few_of_the_near_ones_are_well_all_are_used() {
    for balance in ALL {
        let backend = Backend { balance: balance.clone(), prefer_zone: true, ..Backend::default() };
        let (registry, upstream) = with(backend, &[]);
        registry.set_zone(Some("a".into()));
        let near = (1..=3).map(|port| placed(port, "a", &[]));
        let far = (4..=6).map(|port| placed(port, "b", &[]));
        registry.apply_endpoints(&"shop".into(), &near.chain(far).collect());
        let now = Instant::now();
        let seen = |upstream: &Upstream| {
            let mut seen: Vec<u16> = picks(upstream, 1000, now).into_keys().collect();
            seen.sort_unstable();
            seen
        };
        peer(&upstream, 1).set_checked(false);
        assert_eq!(seen(&upstream), [2, 3], "{balance:?}");
        peer(&upstream, 2).set_checked(false);
        assert_eq!(seen(&upstream), [3, 4, 5, 6], "{balance:?}");
        peer(&upstream, 2).set_checked(true);
        assert_eq!(seen(&upstream), [2, 3], "{balance:?}");
    }
}

#[test]
fn a_retry_leaves_the_zone_if_there_is_no_other_near_endpoint() {
    let (registry, upstream) = with(Backend { prefer_zone: true, ..Backend::default() }, &[]);
    registry.set_zone(Some("a".into()));
    let list = [placed(1, "a", &[]), placed(2, "b", &[])];
    registry.apply_endpoints(&"shop".into(), &list.to_vec().into());
    let now = Instant::now();
    let first = upstream.pick(now, 1, None).unwrap();
    assert_eq!(first.address, address(1));
    assert_eq!(upstream.pick(now, 1, Some(&first)).unwrap().address, address(2));
}

#[test]
fn statuses_count_as_failures_as_the_backend_says() {
    let rows = [
        (FailingStatuses::None, [false, false, false, false]),
        (FailingStatuses::Gateway, [false, false, true, true]),
        (FailingStatuses::Server, [false, true, true, true]),
    ];
    for (failing, wanted) in rows {
        assert_eq!([404, 500, 502, 504].map(|status| failing.contain(status)), wanted, "{failing:?}");
    }
}
