//! Facts about limits: how much may be going on at once, and who waits.

use super::*;
use crate::{model::BackendLimits, upstream::Overload};

fn limited(limits: BackendLimits) -> (Registry, Arc<Upstream>) {
    let registry = Registry::new();
    registry.apply_backends(&backends(&[("shop", Backend { limits, ..Backend::default() })]));
    let upstream = registry.get(&"shop".into()).unwrap();
    (registry, upstream)
}

fn connections(connections: u32, pending: Option<u32>) -> BackendLimits {
    BackendLimits { connections: Some(connections), pending, requests: None }
}

#[test]
fn requests_beyond_the_limit_are_refused_until_others_end() {
    let (registry, upstream) = limited(BackendLimits { requests: Some(2), ..BackendLimits::default() });
    let first = upstream.admit().unwrap();
    let _second = upstream.admit().unwrap();
    assert_eq!(upstream.admit().unwrap_err(), Overload);
    drop(first);
    let _third = upstream.admit().unwrap();
    assert!(upstream.admit().is_err());
    registry.apply_backends(&backends(&[("shop", Backend::default())]));
    assert!((0..100).all(|_| upstream.admit().unwrap().is_none()), "no limit, no counting");
}

#[test]
fn connections_are_counted_only_where_they_are_limited() {
    let (registry, upstream) = limited(connections(2, None));
    let slots = upstream.slots().unwrap();
    let first = slots.take();
    let _second = slots.take().unwrap();
    assert!(first.is_some() && slots.take().is_none());
    drop(first);
    assert!(slots.take().is_some());
    let slower = Backend { limits: connections(2, None), connect_timeout: SECOND, ..Backend::default() };
    registry.apply_backends(&backends(&[("shop", slower)]));
    assert!(Arc::ptr_eq(&upstream.slots().unwrap(), &slots), "counts stay while the limit does");
    registry.apply_backends(&backends(&[("shop", Backend::default())]));
    assert!(upstream.slots().is_none());
}

#[test]
fn only_so_many_requests_wait() {
    for (pending, most) in [(None, 2), (Some(0), 0), (Some(3), 3)] {
        let (_registry, upstream) = limited(connections(2, pending));
        let slots = upstream.slots().unwrap();
        let waiting: Vec<_> = (0..most).map(|_| slots.wait().unwrap()).collect();
        assert_eq!((slots.waiting(), slots.wait().unwrap_err()), (most, Overload), "{pending:?}");
        drop(waiting);
        assert_eq!(slots.waiting(), 0);
    }
}

#[test]
fn one_may_always_wait_for_an_idle_connection_and_asks_for_it() {
    let (registry, upstream) = limited(connections(1, Some(0)));
    let (slots, sweeps) = (upstream.slots().unwrap(), registry.departures());
    let held = slots.take().unwrap();
    assert!(slots.wait().is_err());
    assert!(!sweeps.has_changed().unwrap());
    held.set_idle(true);
    let waiting = slots.wait().unwrap();
    assert!(sweeps.has_changed().unwrap());
    assert_eq!([held.is_claimed(), held.is_claimed()], [true, false], "one closes for one that waits");
    drop(waiting);
    let waiting = slots.wait().unwrap();
    drop(waiting);
    assert!(!held.is_claimed(), "nobody waits any more");
}

#[tokio::test]
async fn who_has_waited_longest_is_served_first() {
    let (_registry, upstream) = limited(connections(1, Some(2)));
    let slots = upstream.slots().unwrap();
    let held = slots.take().unwrap();
    let (first, second) = (slots.wait().unwrap(), slots.wait().unwrap());
    let (mut first, mut second) = (std::pin::pin!(first.room()), std::pin::pin!(second.room()));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(held);
    assert!(slots.take().is_none(), "it belongs to who waits");
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first.await);
    drop(second.await);
    assert!(slots.take().is_some());
}

#[test]
fn a_connection_that_comes_back_goes_to_others_now_and_then() {
    let (_registry, upstream) = limited(connections(1, None));
    let slots = upstream.slots().unwrap();
    let held = slots.take().unwrap();
    assert!(!held.is_for_others(true) && !held.is_for_others(false), "nobody waits");
    let _waiting = slots.wait().unwrap();
    assert!(held.is_for_others(false));
    assert_eq!((0..8).filter(|_| held.is_for_others(true)).count(), 2);
}
