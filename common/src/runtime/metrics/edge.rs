//! Counters of the edges of the call graph: who calls which service by which route.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use super::{
    FineHistogram, capped::Capped, count, counter, gauge, histogram::FineBuckets, names, route::CLASSES,
};

/// What tells edges apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeLabels {
    /// Workload that calls, `namespace/workload`; [`EdgeLabels::UNKNOWN`] if nobody knows it.
    pub source: Arc<str>,
    /// Service that is called, `namespace/service`; empty if the route leads to none.
    pub destination: Arc<str>,
    /// Object that the route comes from, `namespace/name`.
    pub route: Arc<str>,
}

impl EdgeLabels {
    /// Who calls from an address that no workload has.
    pub const UNKNOWN: &str = "unknown";
    /// What all labels are of edges that are too many.
    pub const OTHER: &str = "other";

    fn other() -> Self {
        let name: Arc<str> = Self::OTHER.into();
        Self { source: name.clone(), destination: name.clone(), route: name }
    }

    fn pairs(&self) -> [(&'static str, &str); 3] {
        [("source", &self.source), ("destination", &self.destination), ("route", &self.route)]
    }
}

/// Counters of one edge; three relaxed additions in a request.
#[derive(Debug, Default)]
pub struct EdgeMetrics {
    ended: [AtomicU64; CLASSES.len()],
    duration: FineHistogram,
}

/// What an edge has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EdgeCounts {
    /// Requests that ended.
    pub requests: u64,
    /// Those among them that ended with a status of 500 or more, or with none.
    pub errors: u64,
    /// How long they took.
    pub duration: FineBuckets,
}

impl EdgeMetrics {
    /// A request ended with this status (0 if no head was sent), after this time.
    pub fn end(&self, status: u16, duration: Duration) {
        let class = usize::from(status / 100).min(CLASSES.len() - 1);
        self.ended[class].fetch_add(1, Ordering::Relaxed);
        self.duration.observe(duration);
    }

    /// What it has counted.
    pub fn counts(&self) -> EdgeCounts {
        let ended: [u64; CLASSES.len()] =
            std::array::from_fn(|class| self.ended[class].load(Ordering::Relaxed));
        EdgeCounts {
            requests: ended.iter().sum(),
            errors: ended[0] + ended[CLASSES.len() - 1],
            duration: self.duration.buckets(),
        }
    }
}

/// The counters of all edges.
#[derive(Debug)]
pub(super) struct Edges(pub(super) Capped<EdgeLabels, EdgeMetrics>);

impl Edges {
    /// Counters for at most this many edges.
    pub(super) fn new(most: usize) -> Self {
        Self(Capped::new(most))
    }

    /// The edges that were gone along.
    pub(super) fn shown(&self) -> Vec<(EdgeLabels, Arc<EdgeMetrics>)> {
        self.0.shown(EdgeLabels::other(), |metrics| metrics.counts().requests > 0)
    }
}

impl Collector for Edges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.0.sweep(Instant::now());
        let shown = self.shown();
        if shown.is_empty() {
            return Ok(());
        }
        gauge(&mut encoder, names::EDGE_SERIES, self.0.len() as u64)?;
        counter(&mut encoder, names::EDGES_OVERFLOWED, &self.0.overflowed)?;
        let (name, help) = names::EDGE_REQUESTS;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, metrics) in &shown {
            let [source, destination, route] = labels.pairs();
            for (class, ended) in CLASSES.into_iter().zip(&metrics.ended) {
                let ended = ended.load(Ordering::Relaxed);
                if ended > 0 {
                    let labels = [source, destination, route, ("status", class)];
                    count(&mut family.encode_family(&labels)?, ended)?;
                }
            }
        }
        let (name, help) = names::EDGE_DURATION;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, metrics) in &shown {
            metrics.duration.encode(family.encode_family(&labels.pairs())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_fault_of_who_answers() {
        let metrics = EdgeMetrics::default();
        for status in [200, 204, 301, 404, 499, 500, 503, 0] {
            metrics.end(status, Duration::from_millis(1));
        }
        let counts = metrics.counts();
        assert_eq!((counts.requests, counts.errors), (8, 3));
        assert_eq!(counts.duration.iter().sum::<u64>(), 8);
    }
}
