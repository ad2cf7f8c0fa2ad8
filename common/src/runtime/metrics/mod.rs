//! Metrics: what the process counts, and its text form for Prometheus.
//!
//! Whatever is counted per request or connection is a relaxed addition on an atomic; locks are taken only when
//! a handle is made and when a scrape is answered.

mod capped;
mod edge;
mod histogram;
mod listener;
mod names;
mod reasons;
mod route;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, counter::Counter, exemplar::Exemplar, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

pub use self::{
    edge::{EdgeCounts, EdgeLabels, EdgeMetrics},
    histogram::{FINE_BOUNDS, FineBuckets, FineHistogram, Histogram},
    listener::ListenerMetrics,
    reasons::Reasons,
    route::{RouteLabels, RouteMetrics},
};
use crate::id::ListenerName;

/// Media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Label sets of routes at most; each further one is counted under the labels `overflow`.
const MOST_ROUTE_SERIES: usize = 10_000;

/// Edges of the call graph at most, unless [`Metrics::limit_edges`] says otherwise; each further one is counted under
/// the labels `other`.
const MOST_EDGES: usize = 2_000;

/// What the access log counts about itself.
#[derive(Clone, Debug, Default)]
pub struct AccessLogCounts {
    /// Lines dropped because the output could not keep up.
    pub dropped_lines: Counter,
    /// Writes that failed; each is tried again.
    pub write_errors: Counter,
}

/// What is counted about connections to endpoints and requests on them.
#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    opened: Counter,
    closed: Counter,
    /// Requests sent on a connection that had served another before.
    pub reused: Counter,
    /// Tries that failed, by reason.
    pub failed: Arc<Reasons>,
    /// Requests sent once more, by reason.
    pub retries: Arc<Reasons>,
    /// Endpoints that get no requests for a while because they kept failing.
    pub ejections: Counter,
    /// Questions to endpoints whether they are well, by result.
    pub checks: Arc<Reasons>,
    unhealthy: Gauge,
}

impl UpstreamMetrics {
    /// Counts a connection as opened now, and as closed when the guard is dropped.
    pub fn open(&self) -> OpenConnection {
        self.opened.inc();
        OpenConnection(self.closed.clone())
    }

    /// Counts an endpoint as unhealthy until the guard is dropped.
    pub fn unhealthy(&self) -> UnhealthyEndpoint {
        self.unhealthy.inc();
        UnhealthyEndpoint(self.unhealthy.clone())
    }

    /// Endpoints that fail their health checks now.
    pub fn unhealthy_count(&self) -> i64 {
        self.unhealthy.get()
    }
}

/// To be held as long as an endpoint fails its health checks.
#[derive(Debug)]
pub struct UnhealthyEndpoint(Gauge);

impl Drop for UnhealthyEndpoint {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// To be held as long as a connection to an endpoint is open.
#[derive(Debug)]
pub struct OpenConnection(Counter);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.inc();
    }
}

/// What is counted about configuration.
#[derive(Debug, Default)]
pub struct ConfigurationMetrics {
    /// Generation of the snapshot in effect.
    pub generation: Gauge,
    /// Updates that changed anything.
    pub updates_applied: Counter,
    /// Hosts translated; proves that work is proportional to the change.
    pub hosts_translated: Counter,
    /// How long translations took until they were in effect.
    pub translation: Arc<Histogram>,
    /// Problems there are now of severity `error`.
    pub errors: Gauge,
    /// Problems there are now of severity `warning`.
    pub warnings: Gauge,
    /// Parts of each kind that may not be read.
    denied: Family<[(&'static str, String); 1], Gauge>,
}

impl ConfigurationMetrics {
    /// Counts a part of a kind, for example the `secrets` of one namespace, that the API server does not let us read
    /// any more, or lets us read again. To be called only when that changes.
    pub fn set_denied(&self, kind: &str, denied: bool) {
        let parts = self.denied.get_or_create(&[("kind", kind.to_owned())]);
        match denied {
            true => parts.inc(),
            false => parts.dec(),
        };
    }
}

/// All metrics of an engine.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    routes: Arc<route::Routes>,
    edges: Arc<edge::Edges>,
    listeners: Arc<listener::Listeners>,
    /// Requests that the proxy answered itself or gave up, by reason.
    pub own_responses: Arc<Reasons>,
    /// Requests refused as the process has too much to do, by priority.
    pub shed: Arc<Reasons>,
    /// Copies of requests for mirrors, by result.
    pub mirrored: Arc<Reasons>,
    /// Connections to endpoints.
    pub upstream: UpstreamMetrics,
    /// Snapshots and translations.
    pub configuration: ConfigurationMetrics,
    /// The access log's own counts.
    pub access_log: AccessLogCounts,
    /// Spans that a collector took.
    pub spans_exported: Counter,
    /// Spans that were lost, by reason.
    pub spans_dropped: Arc<Reasons>,
    /// Requests whose token nobody could verify, so that only their address says who calls.
    pub tokens_unverified: Counter,
    /// Panics that were caught; each ended one connection or task.
    pub panics: Counter,
}

impl Metrics {
    /// Metrics that begin at zero, with the default cap on series of routes.
    pub fn new() -> Arc<Self> {
        Self::with_most_routes(MOST_ROUTE_SERIES)
    }

    /// Metrics that tell at most this many label sets of routes apart.
    pub fn with_most_routes(most: usize) -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix(names::PREFIX),
            routes: Arc::new(route::Routes::new(most)),
            edges: Arc::new(edge::Edges::new(MOST_EDGES)),
            listeners: Arc::default(),
            own_responses: Arc::default(),
            shed: Arc::default(),
            mirrored: Arc::default(),
            upstream: UpstreamMetrics::default(),
            configuration: ConfigurationMetrics::default(),
            access_log: AccessLogCounts::default(),
            spans_exported: Counter::default(),
            spans_dropped: Arc::default(),
            tokens_unverified: Counter::default(),
            panics: Counter::default(),
        };
        metrics.register();
        Arc::new(metrics)
    }

    fn register(&mut self) {
        let (upstream, configuration) = (&self.upstream, &self.configuration);
        let registry = &mut self.registry;
        registry.register_collector(Box::new(self.routes.clone()));
        registry.register_collector(Box::new(self.edges.clone()));
        registry.register_collector(Box::new(self.listeners.clone()));
        for (name, reasons) in [
            (names::OWN_RESPONSES, &self.own_responses),
            (names::UPSTREAM_FAILED, &upstream.failed),
            (names::UPSTREAM_RETRIES, &upstream.retries),
            (names::SPANS_DROPPED, &self.spans_dropped),
        ] {
            registry.register_collector(Box::new(ByReason(name, "reason", reasons.clone())));
        }
        registry.register_collector(Box::new(ByReason(names::SHED, "priority", self.shed.clone())));
        for (name, results) in [(names::MIRRORED, &self.mirrored), (names::UPSTREAM_CHECKS, &upstream.checks)]
        {
            registry.register_collector(Box::new(ByReason(name, "result", results.clone())));
        }
        let (name, help) = names::UPSTREAM_UNHEALTHY;
        registry.register(name, help, upstream.unhealthy.clone());
        for ((name, help), counter) in [
            (names::UPSTREAM_OPENED, &upstream.opened),
            (names::UPSTREAM_CLOSED, &upstream.closed),
            (names::UPSTREAM_REUSED, &upstream.reused),
            (names::UPSTREAM_EJECTIONS, &upstream.ejections),
            (names::UPDATES, &configuration.updates_applied),
            (names::HOSTS, &configuration.hosts_translated),
            (names::LOG_DROPPED, &self.access_log.dropped_lines),
            (names::LOG_ERRORS, &self.access_log.write_errors),
            (names::SPANS_EXPORTED, &self.spans_exported),
            (names::TOKENS_UNVERIFIED, &self.tokens_unverified),
            (names::PANICS, &self.panics),
        ] {
            registry.register(name, help, counter.clone());
        }
        let (name, help) = names::GENERATION;
        registry.register(name, help, configuration.generation.clone());
        registry.register_collector(Box::new(Translation(configuration.translation.clone())));
        let severities = [("error", &configuration.errors), ("warning", &configuration.warnings)];
        registry
            .register_collector(Box::new(BySeverity(severities.map(|(name, gauge)| (name, gauge.clone())))));
        let (name, help) = names::KIND_DENIED;
        registry.register(name, help, configuration.denied.clone());
        let (name, help) = names::BUILD;
        registry.register(name, help, Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    }

    /// The counters for a route; to be taken with its first request and kept with the route.
    ///
    /// Equal labels give the same counters, so that they go on from one snapshot to the next.
    pub fn route(&self, labels: &RouteLabels) -> Arc<RouteMetrics> {
        self.routes.0.get(labels)
    }

    /// The same if there are any; to be taken when a table is built.
    pub fn known_route(&self, labels: &RouteLabels) -> Option<Arc<RouteMetrics>> {
        self.routes.0.known(labels)
    }

    /// The counters for an edge of the call graph; to be kept by who counts.
    pub fn edge(&self, labels: &EdgeLabels) -> Arc<EdgeMetrics> {
        self.edges.0.get(labels)
    }

    /// What every edge that was gone along has counted, sorted by its labels but for what was too many.
    pub fn edges(&self) -> Vec<(EdgeLabels, EdgeCounts)> {
        let shown = self.edges.shown().into_iter();
        shown.map(|(labels, metrics)| (labels, metrics.counts())).collect()
    }

    /// Tells at most this many edges of the call graph apart.
    pub fn limit_edges(&self, most: usize) {
        self.edges.0.limit(most);
    }

    /// The counters for a listener.
    pub fn listener(&self, name: &ListenerName) -> Arc<ListenerMetrics> {
        self.listeners.get(name)
    }

    /// The text form (OpenMetrics 1.0) of everything.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to a string does not fail");
        out
    }
}

/// A counter with this label, whose values the program's text fixes.
#[derive(Debug)]
struct ByReason(names::Name, &'static str, Arc<Reasons>);

impl Collector for ByReason {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = self.0;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (reason, counted) in self.2.counts() {
            count(&mut family.encode_family(&[(self.1, reason)])?, counted)?;
        }
        Ok(())
    }
}

/// The gauge of problems, with a label `severity`.
#[derive(Debug)]
struct BySeverity([(&'static str, Gauge); 2]);

impl Collector for BySeverity {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = names::PROBLEMS;
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (severity, value) in &self.0 {
            family.encode_family(&[("severity", *severity)])?.encode_gauge(&value.get())?;
        }
        Ok(())
    }
}

/// The histogram of translations.
#[derive(Debug)]
struct Translation(Arc<Histogram>);

impl Collector for Translation {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = names::TRANSLATION;
        self.0.encode(encoder.encode_descriptor(name, help, None, MetricType::Histogram)?)
    }
}

fn count(encoder: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_counter(&value, None::<&Exemplar<NoLabelSet, u64>>)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, (name, help): names::Name, value: &AtomicU64) -> fmt::Result {
    let value = value.load(Ordering::Relaxed);
    count(&mut encoder.encode_descriptor(name, help, None, MetricType::Counter)?, value)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, (name, help): names::Name, value: u64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

#[cfg(test)]
mod tests;
