//! Counters of routes: handed out when a table is built, counted without a lock, capped in number.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::MetricType,
};

use super::{Histogram, count, counter, gauge, names};

/// How long counters of a route that nobody holds are still shown, so that the last scrape sees them.
const KEEP: Duration = Duration::from_secs(15 * 60);

/// Values of the label `status`, by hundreds of the status.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What tells routes apart in metrics. Routes that agree in it share their counters: all paths of an Ingress
/// that lead to one Service do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
pub(super) struct Routes {
    most: usize,
    held: Mutex<BTreeMap<RouteLabels, Entry>>,
    overflow: Arc<RouteMetrics>,
    overflowed: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    metrics: Arc<RouteMetrics>,
    /// When it was first found that nobody holds the counters but this entry.
    unheld_since: Option<Instant>,
}

impl Entry {
    fn is_held(&self) -> bool {
        // Only the map's lock holder can make a second one from the last, so that a 1 stays a 1.
        Arc::strong_count(&self.metrics) > 1
    }
}

impl Routes {
    /// Counters for at most this many label sets.
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: Mutex::default(), overflow: Arc::default(), overflowed: AtomicU64::new(0) }
    }

    /// The counters for these labels; those of the overflow if there are too many label sets already.
    pub(super) fn get(&self, labels: &RouteLabels) -> Arc<RouteMetrics> {
        let mut held = self.lock();
        if let Some(entry) = held.get_mut(labels) {
            entry.unheld_since = None;
            return entry.metrics.clone();
        }
        if held.len() >= self.most {
            held.retain(|_, entry| entry.is_held());
        }
        if held.len() >= self.most {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            return self.overflow.clone();
        }
        let metrics = Arc::<RouteMetrics>::default();
        held.insert(labels.clone(), Entry { metrics: metrics.clone(), unheld_since: None });
        metrics
    }

    /// Forgets the routes that nobody has held for a while.
    fn sweep(&self, now: Instant) {
        self.lock().retain(|_, entry| {
            if entry.is_held() {
                entry.unheld_since = None;
                return true;
            }
            now.saturating_duration_since(*entry.unheld_since.get_or_insert(now)) < KEEP
        });
    }

    /// The counters that have anything to show, without holding the lock while they are written.
    fn shown(&self) -> Vec<(RouteLabels, Arc<RouteMetrics>)> {
        let held = self.lock();
        let all = held.iter().map(|(labels, entry)| (labels.clone(), entry.metrics.clone()));
        all.chain([(RouteLabels::overflow(), self.overflow.clone())])
            .filter(|(_, metrics)| metrics.begun.load(Ordering::Relaxed) > 0)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RouteLabels, Entry>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Routes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.sweep(Instant::now());
        gauge(&mut encoder, names::ROUTE_SERIES, self.lock().len() as u64)?;
        counter(&mut encoder, names::ROUTES_OVERFLOWED, &self.overflowed)?;
        let shown = self.shown();
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

    fn labels(route: &str) -> RouteLabels {
        RouteLabels { namespace: "shop".into(), route: route.into(), service: "web".into() }
    }

    #[test]
    fn the_same_labels_share_their_counters() {
        let routes = Routes::new(10);
        assert!(Arc::ptr_eq(&routes.get(&labels("a")), &routes.get(&labels("a"))));
        assert!(!Arc::ptr_eq(&routes.get(&labels("a")), &routes.get(&labels("b"))));
    }

    #[test]
    fn a_route_beyond_the_cap_is_counted_as_overflow() {
        let routes = Routes::new(2);
        let held = [routes.get(&labels("a")), routes.get(&labels("b"))];
        let beyond = routes.get(&labels("c"));
        assert!(Arc::ptr_eq(&beyond, &routes.overflow));
        assert!(Arc::ptr_eq(&held[0], &routes.get(&labels("a"))), "known labels keep their counters");
        assert_eq!(routes.overflowed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn routes_that_are_gone_make_room_at_the_cap() {
        let routes = Routes::new(1);
        drop(routes.get(&labels("gone")));
        assert!(!Arc::ptr_eq(&routes.get(&labels("new")), &routes.overflow));
    }

    #[test]
    fn counts_survive_while_in_use_and_go_some_time_after() {
        let routes = Routes::new(10);
        let start = Instant::now();
        let handle = routes.get(&labels("a"));
        handle.begin();
        routes.sweep(start);
        routes.sweep(start + KEEP * 2);
        assert_eq!(routes.shown().len(), 1, "a held handle stays, however old");
        drop(handle);
        routes.sweep(start + KEEP * 2);
        routes.sweep(start + KEEP * 3 - Duration::from_secs(1));
        let again = routes.get(&labels("a"));
        assert_eq!(again.in_flight(), 1, "taken up again before its time it goes on counting");
        drop(again);
        routes.sweep(start + KEEP * 3);
        routes.sweep(start + KEEP * 4);
        assert!(routes.shown().is_empty());
        assert!(routes.lock().is_empty());
    }

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
