//! Ewma: of two peers drawn at random the one that is expected to answer sooner.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Draw, Peer, two};
use crate::upstream::health::since_epoch;

/// Time after which about a third of what was learned still counts.
const MEMORY: Duration = Duration::from_secs(10);
/// What the first answer of a peer is expected to take while it is waited for.
const FIRST: Duration = Duration::from_millis(30);
/// What a failure counts as at least: one that comes at once must not look like a quick answer.
const FAILURE: Duration = Duration::from_secs(1);
/// What failures in a row count as at most.
const WORST: Duration = Duration::from_secs(60);

/// It remembers nothing: the peers do.
#[derive(Debug)]
pub(in crate::upstream) struct Ewma;

impl Ewma {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn choose<'a>(&self, peers: &'a [Arc<Peer>], draw: &Draw<'_>) -> Option<&'a Arc<Peer>> {
        let now = since_epoch(draw.now);
        match two(peers, draw) {
            Some((first, Some(second))) if cost(second, now) < cost(first, now) => Some(second),
            drawn => drawn.map(|(first, _)| first),
        }
    }
}

/// What a further request is expected to take. A peer that has never answered costs nothing, so that it is tried;
/// as long as its first requests are on their way others come first unless they are slow.
fn cost(peer: &Peer, now: Duration) -> f64 {
    let in_flight = peer.in_flight();
    match peer.latency.expected(now) {
        None if in_flight == 0 => 0.0,
        expected => expected.unwrap_or(FIRST.as_secs_f64()).max(1e-6) * f64::from(in_flight + 1),
    }
}

/// What answers of a peer took of late: a moving average that a slower answer replaces at once. Shared by workers;
/// a lost race loses one answer.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Latency {
    /// Seconds, as the bits of a float; 0 if nothing was observed yet.
    average: AtomicU64,
    /// Nanoseconds since the epoch of atomics at which the average was true.
    at: AtomicU64,
}

impl Latency {
    /// Takes in what an answer took.
    pub(in crate::upstream) fn observe(&self, took: Duration, now: Duration) {
        let took = took.as_secs_f64().max(1e-9);
        let average = match self.load(now) {
            Some((average, weight)) if took < average => average * weight + took * (1.0 - weight),
            _ => took,
        };
        self.average.store(average.to_bits(), Relaxed);
        self.at.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Takes in that there was no answer: as a slow one, and slower each time.
    pub(in crate::upstream) fn penalize(&self, took: Duration, now: Duration) {
        let before = self.load(now).map_or(0.0, |(average, _)| average);
        let twice = Duration::try_from_secs_f64(before * 2.0).unwrap_or(WORST);
        self.observe(took.max(FAILURE).max(twice).min(WORST), now);
    }

    /// Takes in that an answer would have taken longer than this. What is expected anyway is no news.
    pub(in crate::upstream) fn observe_at_least(&self, took: Duration, now: Duration) {
        let expected = self.load(now).map_or(FIRST.as_secs_f64(), |(average, _)| average);
        if took.as_secs_f64() > expected {
            self.observe(took, now);
        }
    }

    /// Seconds that an answer is expected to take. What is not confirmed fades, so that a peer that was slow is
    /// tried again.
    fn expected(&self, now: Duration) -> Option<f64> {
        self.load(now).map(|(average, weight)| average * weight)
    }

    /// The average and how much it still counts, from 0 to 1.
    fn load(&self, now: Duration) -> Option<(f64, f64)> {
        let average = f64::from_bits(self.average.load(Relaxed));
        let age = now.saturating_sub(Duration::from_nanos(self.at.load(Relaxed)));
        (average > 0.0).then(|| (average, (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_slowly() {
        let latency = Latency::default();
        let millis = |at: Duration| latency.expected(at).map(|seconds| (seconds * 1000.0).round() as u64);
        let start = Duration::from_secs(100);
        assert_eq!(millis(start), None);
        latency.observe(2 * MILLI, start);
        assert_eq!(millis(start), Some(2));
        latency.observe(100 * MILLI, start);
        assert_eq!(millis(start), Some(100));
        latency.observe(2 * MILLI, start);
        assert_eq!(millis(start), Some(100), "no time has passed");
        assert_eq!(millis(start + MEMORY), Some(37));
        latency.observe(2 * MILLI, start + MEMORY);
        assert_eq!(millis(start + MEMORY), Some(38), "37 of the old and 1 of the new");
    }

    #[test]
    fn a_request_that_was_given_up_only_makes_a_peer_slower() {
        let latency = Latency::default();
        let start = Duration::from_secs(100);
        let steps = [(5, None), (40, Some(40)), (39, Some(40)), (90, Some(90)), (0, Some(90))];
        for (waited, wanted) in steps {
            latency.observe_at_least(waited * MILLI, start);
            let expected = latency.expected(start).map(|seconds| (seconds * 1000.0).round() as u64);
            assert_eq!(expected, wanted, "{waited}");
        }
    }

    #[test]
    fn failures_in_a_row_count_as_ever_slower_answers_up_to_a_minute() {
        let latency = Latency::default();
        let start = Duration::from_secs(100);
        let seen: Vec<_> = (0..8)
            .map(|_| {
                latency.penalize(MILLI, start);
                latency.expected(start).unwrap().round() as u64
            })
            .collect();
        assert_eq!(seen, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
