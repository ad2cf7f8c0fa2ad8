//! Counters of routes: handed out with the first request, counted without a lock, capped in number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::MetricType,
};

use super::{Histogram, capped::Capped, count, counter, gauge, names};

/// Values of the label `status`, by hundreds of the status.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What tells routes apart in metrics. Routes that agree in it share their counters: all paths of an Ingress
/// that lead to one Service do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteLabels {
    /// Namespace of the object that the route comes from.
    pub namespace: Arc<str>,
    /// Name of that object.
    pub route: Arc<str>,
    /// Name of the first Service that it leads to; empty if it leads to none.
    pub service: Arc<str>,
}

impl RouteLabels {
    fn overflow() -> Self {
        let name: Arc<str> = "overflow".into();
        Self { namespace: name.clone(), route: name.clone(), service: name }
    }

    fn pairs(&self) -> [(&'static str, &str); 3] {
        [("namespace", &self.namespace), ("route", &self.route), ("service", &self.service)]
    }
}

/// Counters of one route.
///
/// Plain relaxed additions on atomics that all workers share: six in a request, on lines that a worker mostly
/// has to itself. A copy for each worker would cost memory times workers for each route and win only where
/// one route takes all the load.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    begun: AtomicU64,
    ended: [AtomicU64; CLASSES.len()],
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    duration: Histogram,
}

impl RouteMetrics {
    /// A request was routed here. Each call is followed by one of [`end`](Self::end), however it
    /// ends, or of [`hand_over`](Self::hand_over).
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that began here is counted elsewhere from now on: [`end`](Self::end) does not follow.
    pub fn hand_over(&self) {
        self.begun.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request ended with this status (0 if no head was sent), after this time, with these bytes of bodies.
    pub fn end(&self, status: u16, duration: Duration, received_bytes: u64, sent_bytes: u64) {
        let class = usize::from(status / 100).min(CLASSES.len() - 1);
        self.ended[class].fetch_add(1, Ordering::Relaxed);
        self.duration.observe(duration);
        if received_bytes > 0 {
            self.received_bytes.fetch_add(received_bytes, Ordering::Relaxed);
        }
        if sent_bytes > 0 {
            self.sent_bytes.fetch_add(sent_bytes, Ordering::Relaxed);
        }
    }

    /// Requests begun and not ended.
    pub fn in_flight(&self) -> u64 {
        let ended: u64 = self.ended.iter().map(|class| class.load(Ordering::Relaxed)).sum();
        self.begun.load(Ordering::Relaxed).saturating_sub(ended)
    }

    /// Writes how many requests ended with each class of status that occurred.
    fn encode_ended(&self, labels: &RouteLabels, family: &mut MetricEncoder<'_>) -> std::fmt::Result {
        let [namespace, route, service] = labels.pairs();
        for (class, ended) in CLASSES.into_iter().zip(&self.ended) {
            let ended = ended.load(Ordering::Relaxed);
            if ended > 0 {
                count(&mut family.encode_family(&[namespace, route, service, ("status", class)])?, ended)?;
            }
        }
        Ok(())
    }
}

/// The counters of all routes.
#[derive(Debug)]
pub(super) struct Routes(pub(super) Capped<RouteLabels, RouteMetrics>);

impl Routes {
    /// Counters for at most this many label sets.
    pub(super) fn new(most: usize) -> Self {
        Self(Capped::new(most))
    }

    /// The counters of all that have had a request.
    fn all(&self) -> Vec<(RouteLabels, Arc<RouteMetrics>)> {
        self.0.shown(RouteLabels::overflow(), |metrics| metrics.begun.load(Ordering::Relaxed) > 0)
    }
}

impl Collector for Routes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.0.sweep(Instant::now());
        gauge(&mut encoder, names::ROUTE_SERIES, self.0.len() as u64)?;
        counter(&mut encoder, names::ROUTES_OVERFLOWED, &self.0.overflowed)?;
        let shown = self.all();
        let (name, help) = names::REQUESTS;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        shown.iter().try_for_each(|(labels, metrics)| metrics.encode_ended(labels, &mut family))?;
        let (name, help) = names::REQUEST_DURATION;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, metrics) in &shown {
            metrics.duration.encode(family.encode_family(&labels.pairs())?)?;
        }
        let (name, help) = names::REQUESTS_IN_FLIGHT;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, metrics) in &shown {
            family.encode_family(&labels.pairs())?.encode_gauge(&metrics.in_flight())?;
        }
        for ((name, help), of) in BYTES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, metrics) in &shown {
                let bytes = of(metrics).load(Ordering::Relaxed);
                count(&mut family.encode_family(&labels.pairs())?, bytes)?;
            }
        }
        Ok(())
    }
}

type CounterOf = fn(&RouteMetrics) -> &AtomicU64;

/// Counters of bytes by name.
const BYTES: [(names::Name, CounterOf); 2] = [
    (names::RECEIVED_BYTES, |metrics| &metrics.received_bytes),
    (names::SENT_BYTES, |metrics| &metrics.sent_bytes),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_in_flight_from_its_begin_to_its_end() {
        let metrics = RouteMetrics::default();
        metrics.begin();
        metrics.begin();
        metrics.end(200, Duration::from_millis(3), 0, 10);
        assert_eq!(metrics.in_flight(), 1);
        metrics.end(0, Duration::ZERO, 0, 0);
        assert_eq!(metrics.in_flight(), 0);
    }
}
