//! Facts about callers: what one may take of a backend, who waits and who is refused.

use futures_util::FutureExt;

use super::*;
use crate::{
    model::Fairness,
    upstream::{Overload, Share, Turn, Waiter},
};

fn fair(per_caller: u32, queue: u32) -> Backend {
    let fairness = Fairness { per_caller: Some(per_caller), queue, queue_wait: SECOND };
    Backend { fairness, ..Backend::default() }
}

fn limited(backend: Backend) -> (Registry, Arc<Upstream>) {
    let registry = Registry::new();
    registry.apply_backends(&backends(&[("shop", backend)]));
    let upstream = registry.get(&"shop".into()).unwrap();
    (registry, upstream)
}

fn now(upstream: &Arc<Upstream>, caller: &str) -> Share {
    match upstream.share(|| caller) {
        Ok(Some(Turn::Now(share))) => share,
        other => panic!("{caller}: {other:?}"),
    }
}

fn later(upstream: &Arc<Upstream>, caller: &str) -> Waiter {
    match upstream.share(|| caller) {
        Ok(Some(Turn::Later(waiter))) => waiter,
        other => panic!("{caller}: {other:?}"),
    }
}

#[test]
fn each_caller_has_its_own_share_and_what_is_beyond_is_refused() {
    let (_registry, upstream) = limited(fair(2, 0));
    let first = now(&upstream, "a");
    let _second = now(&upstream, "a");
    assert_eq!(upstream.share(|| "a").unwrap_err(), Overload);
    let _other = now(&upstream, "b");
    drop(first);
    let _third = now(&upstream, "a");
    assert!(upstream.share(|| "a").is_err());
}

#[test]
fn without_a_limit_nobody_is_counted() {
    let (_registry, upstream) = limited(Backend::default());
    assert!((0..100).all(|_| upstream.share(|| -> &str { panic!("asked") }).unwrap().is_none()));
}

#[test]
fn who_has_waited_longest_goes_on_first_and_only_so_many_wait() {
    let (_registry, upstream) = limited(fair(1, 2));
    let held = now(&upstream, "a");
    let (mut first, mut second) =
        (Box::pin(later(&upstream, "a").turn()), Box::pin(later(&upstream, "a").turn()));
    assert!(upstream.share(|| "a").is_err(), "two wait");
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    drop(held);
    assert!((&mut second).now_or_never().is_none());
    drop((&mut first).now_or_never().unwrap());
    drop((&mut second).now_or_never().unwrap());
    let _room = now(&upstream, "a");
}

#[test]
fn who_gives_up_leaves_the_place_and_a_turn_nobody_took_to_others() {
    let (_registry, upstream) = limited(fair(1, 2));
    let held = now(&upstream, "a");
    drop(later(&upstream, "a"));
    let (first, second) = (later(&upstream, "a"), later(&upstream, "a"));
    drop(held);
    // Told that it may go on, and gone before it heard so.
    drop(first);
    let share = second.turn().now_or_never().unwrap();
    assert!(matches!(upstream.share(|| "a"), Ok(Some(Turn::Later(_)))));
    drop(share);
    let _room = now(&upstream, "a");
}

#[test]
fn callers_without_requests_are_forgotten() {
    let (_registry, upstream) = limited(fair(1, 1));
    let shares: Vec<_> = (0..1000).map(|number| now(&upstream, &number.to_string())).collect();
    let waiters: Vec<_> = (0..1000).map(|number| later(&upstream, &number.to_string())).collect();
    assert_eq!(upstream.callers.len(), 1000);
    drop(shares);
    assert_eq!(upstream.callers.len(), 1000, "who waited goes on");
    drop(waiters);
    assert_eq!(upstream.callers.len(), 0);
}

#[test]
fn a_changed_limit_counts_at_once_also_for_those_that_wait() {
    let (registry, upstream) = limited(fair(1, 3));
    let _held = now(&upstream, "a");
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(later(&upstream, "a").turn())).collect();
    registry.apply_backends(&backends(&[("shop", fair(3, 0))]));
    let gone_on: Vec<_> = waiters.iter_mut().filter_map(FutureExt::now_or_never).collect();
    assert_eq!(gone_on.len(), 2);
    assert!(upstream.share(|| "a").is_err(), "nobody may wait any more");
    registry.apply_backends(&backends(&[("shop", Backend::default())]));
    assert!(waiters.pop().unwrap().now_or_never().is_some());
    drop(gone_on);
}
