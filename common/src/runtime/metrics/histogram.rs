//! Histograms of durations with fixed buckets and no lock.

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

/// The same where quantiles are made of them.
pub const FINE_BOUNDS: [u64; 19] = [
    250, 500, 750, 1_000, 1_500, 2_500, 5_000, 7_500, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 10_000_000, 30_000_000,
];

/// How often durations fell into each bucket of [`FINE_BOUNDS`], and above all of them.
pub type FineBuckets = [u64; FINE_BOUNDS.len() + 1];

/// How often durations fell into each bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// A histogram with the buckets of [`FINE_BOUNDS`].
#[derive(Debug, Default)]
pub struct FineHistogram {
    buckets: [AtomicU64; FINE_BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts a duration: two relaxed additions.
    pub fn observe(&self, duration: Duration) {
        observe(&BOUNDS, &self.buckets, &self.sum_micros, duration);
    }

    /// Writes it; the count is the sum of the buckets, so that the two never disagree.
    pub(super) fn encode(&self, encoder: MetricEncoder<'_>) -> std::fmt::Result {
        encode(&BOUNDS, &self.buckets, &self.sum_micros, encoder)
    }
}

impl FineHistogram {
    /// Counts a duration: two relaxed additions.
    pub fn observe(&self, duration: Duration) {
        observe(&FINE_BOUNDS, &self.buckets, &self.sum_micros, duration);
    }

    /// What each bucket holds.
    pub fn buckets(&self) -> FineBuckets {
        std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed))
    }

    /// Writes it; the count is the sum of the buckets, so that the two never disagree.
    pub(super) fn encode(&self, encoder: MetricEncoder<'_>) -> std::fmt::Result {
        encode(&FINE_BOUNDS, &self.buckets, &self.sum_micros, encoder)
    }
}

fn observe(bounds: &[u64], buckets: &[AtomicU64], sum_micros: &AtomicU64, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let bucket = bounds.iter().position(|bound| micros <= *bound).unwrap_or(bounds.len());
    buckets[bucket].fetch_add(1, Ordering::Relaxed);
    sum_micros.fetch_add(micros, Ordering::Relaxed);
}

fn encode(
    bounds: &[u64],
    buckets: &[AtomicU64],
    sum_micros: &AtomicU64,
    mut encoder: MetricEncoder<'_>,
) -> std::fmt::Result {
    let bounds = bounds.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
    let buckets = buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
    let buckets: Vec<(f64, u64)> = bounds.zip(buckets).collect();
    let count = buckets.iter().map(|(_, held)| held).sum();
    let sum = sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
