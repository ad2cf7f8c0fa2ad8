//! A histogram of durations with fixed buckets and no lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// Upper bounds of the buckets, in microseconds; the last bucket has none.
const BOUNDS: [u64; 13] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// How often durations fell into each bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts a duration: two relaxed additions.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes it; the count is the sum of the buckets, so that the two never disagree.
    pub(super) fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let mut buckets = [(f64::INFINITY, 0); BOUNDS.len() + 1];
        let mut count = 0;
        for (at, bucket) in buckets.iter_mut().enumerate() {
            let held = self.buckets[at].load(Ordering::Relaxed);
            let bound = BOUNDS.get(at).map_or(f64::INFINITY, |micros| *micros as f64 / 1e6);
            *bucket = (bound, held);
            count += held;
        }
        let sum = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}
