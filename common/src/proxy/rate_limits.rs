//! Rate limits: what is remembered of who asked how often, shared by all workers and outliving snapshots.
//!
//! A bucket is one number, the time at which it will be full again (the "theoretical arrival time" of GCRA), so
//! taking from it is one atomic update. A request looks a limit up without a lock, and its key under a lock that
//! other requests share; only the first request of a key takes one for itself, and only of a part of the keys.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use crate::filter::{RateLimit, RateMemory};

/// Most keys that one limit tells apart; further ones share a bucket until others are full again.
const MOST_KEYS: usize = 10_000;
/// Parts of the keys of one limit, so that new keys of different parts do not wait for each other.
const PARTS: usize = 16;
/// Limits that are kept before it is looked which of them nobody has used for long.
const FIRST_LOOK: usize = 64;

/// The buckets of all limits.
#[derive(Debug)]
pub struct RateLimits {
    /// Times are told in nanoseconds since then.
    start: Instant,
    /// Buckets of each limit, by its id.
    limits: ArcSwap<HashMap<Arc<str>, Arc<Buckets>>>,
    /// Number of limits at which unused ones are forgotten; held while a limit is added.
    next_look: Mutex<usize>,
}

/// The buckets of one limit.
#[derive(Debug)]
struct Buckets {
    /// Of requests without a key, and of keys that there is no room for.
    shared: AtomicU64,
    /// Keys as hashes with a secret, so that they take little room and nobody can make two of them meet.
    parts: [RwLock<Part>; PARTS],
    hasher: RandomState,
}

/// Some keys of one limit with their buckets.
#[derive(Debug, Default)]
struct Part {
    full_at: HashMap<u64, AtomicU64, foldhash::fast::RandomState>,
    /// No bucket is full before, so that looking for one is not worth it; as of the last look.
    none_before: u64,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { start: Instant::now(), limits: ArcSwap::default(), next_look: Mutex::new(FIRST_LOOK) }
    }
}

impl RateMemory for RateLimits {
    fn take(&self, limit: &RateLimit, key: &[u8], now: Instant) -> Result<(), Duration> {
        let now = nanos(now.saturating_duration_since(self.start));
        let limits = self.limits.load();
        match limits.get(&limit.id) {
            Some(buckets) => buckets.take(limit, key, now),
            None => self.add(limit, now).take(limit, key, now),
        }
    }
}

impl RateLimits {
    /// The buckets of a limit that was not known.
    fn add(&self, limit: &RateLimit, now: u64) -> Arc<Buckets> {
        let mut next_look = self.next_look.lock().unwrap_or_else(PoisonError::into_inner);
        let mut limits = HashMap::clone(&self.limits.load());
        if limits.len() >= *next_look {
            limits.retain(|_, buckets| !buckets.are_full(now));
            *next_look = FIRST_LOOK.max(limits.len() * 2);
        }
        let buckets = limits.entry(limit.id.clone()).or_insert_with(|| Arc::new(Buckets::new())).clone();
        self.limits.store(Arc::new(limits));
        buckets
    }
}

impl Buckets {
    fn new() -> Self {
        let parts = std::array::from_fn(|_| RwLock::default());
        Self { shared: AtomicU64::new(0), parts, hasher: RandomState::new() }
    }

    fn take(&self, limit: &RateLimit, key: &[u8], now: u64) -> Result<(), Duration> {
        if key.is_empty() {
            return take(&self.shared, limit, now);
        }
        let hash = self.hasher.hash_one(key);
        let part = &self.parts[hash as usize % PARTS];
        if let Some(bucket) = part.read().unwrap_or_else(PoisonError::into_inner).full_at.get(&hash) {
            return take(bucket, limit, now);
        }
        let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
        if part.has_room(now) {
            return take(part.full_at.entry(hash).or_default(), limit, now);
        }
        drop(part);
        take(&self.shared, limit, now)
    }

    /// Whether forgetting them changes nothing.
    fn are_full(&self, now: u64) -> bool {
        let is_full = |bucket: &AtomicU64| bucket.load(Ordering::Relaxed) <= now;
        is_full(&self.shared)
            && self
                .parts
                .iter()
                .all(|part| part.read().unwrap_or_else(PoisonError::into_inner).full_at.values().all(is_full))
    }
}

impl Part {
    /// Whether there is room for another key, after those are forgotten whose buckets are full.
    fn has_room(&mut self, now: u64) -> bool {
        const MOST: usize = MOST_KEYS / PARTS;
        if self.full_at.len() >= MOST && now >= self.none_before {
            let mut earliest = u64::MAX;
            self.full_at.retain(|_, bucket| {
                let full_at = *bucket.get_mut();
                if full_at > now {
                    earliest = earliest.min(full_at);
                }
                full_at > now
            });
            self.none_before = earliest;
        }
        self.full_at.len() < MOST
    }
}

/// Takes one request out of a bucket, or tells how long until that is possible.
fn take(full_at: &AtomicU64, limit: &RateLimit, now: u64) -> Result<(), Duration> {
    let Some(each) = nanos(limit.per).checked_div(u64::from(limit.requests)) else {
        return Err(limit.per);
    };
    // How long an empty bucket takes to be full.
    let whole = each.saturating_mul(u64::from(limit.burst.max(1)));
    let mut wait = 0;
    let taken = full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
        // Not fuller than full, and after a change of the limit not emptier than empty.
        let next = full_at.clamp(now, now.saturating_add(whole)).saturating_add(each);
        wait = (next - now).saturating_sub(whole);
        (wait == 0).then_some(next)
    });
    taken.map(drop).map_err(|_| Duration::from_nanos(wait))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Networks, RateKey};

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(id: &str, requests: u32, burst: u32) -> RateLimit {
        let (key, except) = (RateKey::All, Networks::default());
        RateLimit { id: id.into(), requests, per: SECOND, burst, key, except, status: 429 }
    }

    fn memory() -> (RateLimits, impl Fn(u64) -> Instant) {
        let limits = RateLimits::default();
        let start = limits.start;
        (limits, move |millis| start + Duration::from_millis(millis))
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_with_its_rate() {
        let (limits, at) = memory();
        let limit = limit("a", 10, 3);
        let wait = |millis| Err(Duration::from_millis(millis));
        // Time in milliseconds, what happens.
        let rows = [
            (5000, Ok(())),
            (5000, Ok(())),
            (5000, Ok(())),
            (5000, wait(100)),
            (5040, wait(60)),
            (5100, Ok(())),
            (5100, wait(100)),
            (5300, Ok(())),
            (5300, Ok(())),
            (5300, wait(100)),
            // After a long pause there is a burst again and not more.
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, wait(100)),
        ];
        for (number, (time, wanted)) in rows.into_iter().enumerate() {
            assert_eq!(limits.take(&limit, b"", at(time)), wanted, "row {number}");
        }
    }

    #[test]
    fn limits_and_keys_have_buckets_of_their_own() {
        let (limits, at) = memory();
        for (id, key) in [("a", "x"), ("a", "y"), ("b", "x"), ("a", "")] {
            assert_eq!(limits.take(&limit(id, 1, 1), key.as_bytes(), at(0)), Ok(()), "{id} {key}");
            assert_eq!(limits.take(&limit(id, 1, 1), key.as_bytes(), at(0)), Err(SECOND), "{id} {key}");
        }
    }

    #[test]
    fn a_limit_of_none_allows_none_and_a_burst_of_none_is_one() {
        let (limits, at) = memory();
        assert_eq!(limits.take(&limit("none", 0, 5), b"", at(0)), Err(SECOND));
        assert_eq!(limits.take(&limit("one", 1, 0), b"", at(0)), Ok(()));
        assert_eq!(limits.take(&limit("one", 1, 0), b"", at(0)), Err(SECOND));
    }

    #[test]
    fn a_changed_limit_counts_at_once() {
        let (limits, at) = memory();
        let slow = RateLimit { per: Duration::from_secs(3600), ..limit("a", 1, 1) };
        assert_eq!(limits.take(&slow, b"", at(0)), Ok(()));
        assert!(limits.take(&slow, b"", at(0)).is_err());
        assert_eq!(limits.take(&limit("a", 1, 1), b"", at(0)), Err(SECOND), "no hour for the new one");
        assert_eq!(limits.take(&limit("a", 1, 2), b"", at(0)), Err(SECOND), "at most emptied");
    }

    #[test]
    fn keys_beyond_the_most_share_a_bucket_until_others_are_full_again() {
        let (limits, at) = memory();
        let limit = limit("a", 1, 1);
        let key = |number: usize| format!("key {number}").into_bytes();
        let allowed = (0..3 * MOST_KEYS).filter(|n| limits.take(&limit, &key(*n), at(0)).is_ok()).count();
        let kept = || {
            let buckets = limits.limits.load()["a"].clone();
            buckets.parts.iter().map(|part| part.read().unwrap().full_at.len()).sum::<usize>()
        };
        let most = MOST_KEYS / PARTS * PARTS;
        assert_eq!(kept(), most);
        assert_eq!(allowed, most + 1, "one of all others");
        assert_eq!(limits.take(&limit, b"new", at(999)), Err(Duration::from_millis(1)));
        assert_eq!(limits.take(&limit, b"new", at(1000)), Ok(()));
        assert!(kept() < most, "full buckets are forgotten");
    }

    #[test]
    fn limits_that_nobody_uses_are_forgotten() {
        let (limits, at) = memory();
        for number in 0..FIRST_LOOK {
            limits.take(&limit(&format!("old {number}"), 1, 1), b"x", at(0)).unwrap();
        }
        limits.take(&limit("old 7", 1, 1), b"x", at(1500)).unwrap();
        limits.take(&limit("new", 1, 1), b"x", at(1600)).unwrap();
        let mut kept: Vec<_> = limits.limits.load().keys().cloned().collect();
        kept.sort();
        assert_eq!(kept, ["new".into(), Arc::from("old 7")]);
    }

    #[test]
    fn threads_together_get_no_more_than_the_burst() {
        let (limits, at) = memory();
        let limit = limit("a", 1, 100);
        let allowed = std::thread::scope(|scope| {
            let ask = || (0..100).filter(|_| limits.take(&limit, b"x", at(0)).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(allowed, 100);
    }
}
