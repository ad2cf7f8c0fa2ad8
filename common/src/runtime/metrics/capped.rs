//! Counters by labels: handed out to be kept, capped in number, shown for a while after they were let go.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::quality::RandomState;

/// How long counters that nobody holds are still shown, so that the last scrape sees them.
const KEEP: Duration = Duration::from_secs(15 * 60);

/// Counters `M` for each `L`, up to so many; all further ones share those of the overflow.
#[derive(Debug)]
pub(super) struct Capped<L, M> {
    most: AtomicUsize,
    held: Mutex<Held<L, M>>,
    /// Counters of all that are too many.
    pub(super) overflow: Arc<M>,
    /// How often counters of the overflow were handed out.
    pub(super) overflowed: AtomicU64,
}

#[derive(Debug)]
struct Held<L, M> {
    counters: HashMap<L, Arc<M>, RandomState>,
    /// When it was first found of some that nobody holds them but this map.
    unheld_since: HashMap<L, Instant, RandomState>,
}

impl<L: Hash + Eq, M> Held<L, M> {
    /// The counters for these labels, which somebody holds from now on.
    fn take_up(&mut self, labels: &L) -> Option<Arc<M>> {
        let metrics = self.counters.get(labels).cloned()?;
        self.unheld_since.remove(labels);
        Some(metrics)
    }
}

impl<L, M> Default for Held<L, M> {
    fn default() -> Self {
        Self { counters: HashMap::default(), unheld_since: HashMap::default() }
    }
}

fn is_held<M>(metrics: &Arc<M>) -> bool {
    // Only the map's lock holder can make a second one from the last, so that a 1 stays a 1.
    Arc::strong_count(metrics) > 1
}

impl<L: Ord + Hash + Clone, M: Default> Capped<L, M> {
    /// Counters for at most this many label sets.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: AtomicUsize::new(most),
            held: Mutex::default(),
            overflow: Arc::default(),
            overflowed: AtomicU64::new(0),
        }
    }

    /// From now on at most this many; what there is stays.
    pub(super) fn limit(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// The counters for these labels; those of the overflow if there are too many label sets already.
    pub(super) fn get(&self, labels: &L) -> Arc<M> {
        let mut held = self.lock();
        if let Some(metrics) = held.take_up(labels) {
            return metrics;
        }
        let most = self.most.load(Ordering::Relaxed);
        if held.counters.len() >= most {
            held.counters.retain(|_, metrics| is_held(metrics));
            held.unheld_since.clear();
        }
        if held.counters.len() >= most {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            return self.overflow.clone();
        }
        let metrics = Arc::<M>::default();
        held.counters.insert(labels.clone(), metrics.clone());
        metrics
    }

    /// The counters for these labels if there are any.
    pub(super) fn known(&self, labels: &L) -> Option<Arc<M>> {
        self.lock().take_up(labels)
    }

    /// Forgets the counters that nobody has held for a while.
    pub(super) fn sweep(&self, now: Instant) {
        let Held { counters, unheld_since } = &mut *self.lock();
        counters.retain(|labels, metrics| {
            if is_held(metrics) {
                unheld_since.remove(labels);
                return true;
            }
            let since = *unheld_since.entry(labels.clone()).or_insert(now);
            let stays = now.saturating_duration_since(since) < KEEP;
            if !stays {
                unheld_since.remove(labels);
            }
            stays
        });
    }

    /// Counters that shall be shown, sorted, and last those of the overflow under labels of their own, without holding the
    /// lock while they are used.
    pub(super) fn shown(&self, overflow: L, is_shown: impl Fn(&M) -> bool) -> Vec<(L, Arc<M>)> {
        let held = self.lock();
        let shown = held.counters.iter().filter(|(_, metrics)| is_shown(metrics));
        let mut shown: Vec<_> = shown.map(|(labels, metrics)| (labels.clone(), metrics.clone())).collect();
        drop(held);
        shown.sort_by(|(one, _), (other, _)| one.cmp(other));
        shown.extend(is_shown(&self.overflow).then(|| (overflow, self.overflow.clone())));
        shown
    }

    /// How many label sets there are.
    pub(super) fn len(&self) -> usize {
        self.lock().counters.len()
    }

    fn lock(&self) -> MutexGuard<'_, Held<L, M>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Counters = Capped<&'static str, AtomicU64>;

    #[test]
    fn the_same_labels_share_their_counters() {
        let counters = Counters::new(10);
        assert!(Arc::ptr_eq(&counters.get(&"a"), &counters.get(&"a")));
        assert!(!Arc::ptr_eq(&counters.get(&"a"), &counters.get(&"b")));
    }

    #[test]
    fn labels_beyond_the_cap_are_counted_as_overflow() {
        let counters = Counters::new(2);
        let held = [counters.get(&"a"), counters.get(&"b")];
        assert!(Arc::ptr_eq(&counters.get(&"c"), &counters.overflow));
        assert!(Arc::ptr_eq(&held[0], &counters.get(&"a")), "known labels keep their counters");
        assert_eq!(counters.overflowed.load(Ordering::Relaxed), 1);
        counters.limit(3);
        assert!(!Arc::ptr_eq(&counters.get(&"c"), &counters.overflow));
    }

    #[test]
    fn labels_that_are_gone_make_room_at_the_cap() {
        let counters = Counters::new(1);
        drop(counters.get(&"gone"));
        assert!(!Arc::ptr_eq(&counters.get(&"new"), &counters.overflow));
    }

    #[test]
    fn counts_survive_while_in_use_and_go_some_time_after() {
        let counters = Counters::new(10);
        let start = Instant::now();
        let handle = counters.get(&"a");
        handle.fetch_add(1, Ordering::Relaxed);
        counters.sweep(start);
        counters.sweep(start + KEEP * 2);
        assert_eq!(counters.len(), 1, "a held handle stays, however old");
        drop(handle);
        counters.sweep(start + KEEP * 2);
        counters.sweep(start + KEEP * 3 - Duration::from_secs(1));
        let again = counters.known(&"a").unwrap();
        assert!(counters.known(&"b").is_none());
        assert_eq!(again.load(Ordering::Relaxed), 1, "taken up again before its time it goes on counting");
        drop(again);
        counters.sweep(start + KEEP * 3);
        counters.sweep(start + KEEP * 4);
        assert_eq!(counters.len(), 0);
    }
}
