//! Record: what edges had counted some time ago, from which rates and latencies of late are made.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{Edge, Graph, Latency, Node};
use crate::runtime::metrics::{EdgeCounts, EdgeLabels, FINE_BOUNDS, FineBuckets, Metrics};

/// How often [`Record::tick`] is to be called.
pub const TICK: Duration = Duration::from_secs(10);
/// Over how long rates are made.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts of some moments of the last minute.
pub struct Record {
    metrics: Arc<Metrics>,
    begun: (SystemTime, Instant),
    moments: Mutex<VecDeque<Moment>>,
}

struct Moment {
    at: Instant,
    counts: HashMap<EdgeLabels, EdgeCounts>,
}

impl Record {
    /// Begins to count now.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, begun: (SystemTime::now(), Instant::now()), moments: Mutex::default() }
    }

    /// Notes what has been counted up to now.
    pub fn tick(&self, now: Instant) {
        let mut moments = self.moments();
        // One that is older than the window stays, so that the window is always covered.
        while moments.get(1).is_some_and(|next| now.saturating_duration_since(next.at) >= WINDOW) {
            moments.pop_front();
        }
        moments.push_back(Moment { at: now, counts: self.metrics.edges().into_iter().collect() });
    }

    /// The graph as of now.
    pub fn graph(&self, now: Instant, generation: u64) -> Graph {
        let moments = self.moments();
        let before = moments.iter().rfind(|moment| now.saturating_duration_since(moment.at) >= WINDOW);
        let before = before.or_else(|| moments.front()).filter(|moment| moment.at < now);
        let begin = before.map_or(self.begun.1, |moment| moment.at);
        let seconds = now.saturating_duration_since(begin).as_secs_f64();
        let edge = |(labels, counts): (EdgeLabels, EdgeCounts)| {
            let then = before.and_then(|moment| moment.counts.get(&labels)).copied().unwrap_or_default();
            edge(&labels, &counts, (&then, seconds))
        };
        let mut edges: Vec<Edge> = self.metrics.edges().into_iter().map(edge).collect();
        let name = |edge: &Edge| (edge.source.clone(), edge.destination.clone(), edge.route.clone());
        edges.sort_by_key(name);
        let since = self.begun.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Graph { generation, since, nodes: nodes(&edges), edges }
    }

    fn moments(&self) -> MutexGuard<'_, VecDeque<Moment>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn edge(labels: &EdgeLabels, now: &EdgeCounts, (then, seconds): (&EdgeCounts, f64)) -> Edge {
    // Counters that were forgotten in between begin at zero again.
    let late = |at: usize| now.duration[at].saturating_sub(then.duration[at]);
    let late: FineBuckets = std::array::from_fn(late);
    let buckets = if late.iter().any(|count| *count > 0) { &late } else { &now.duration };
    let requests = now.requests.saturating_sub(then.requests);
    Edge {
        source: labels.source.to_string(),
        destination: labels.destination.to_string(),
        route: labels.route.to_string(),
        requests: now.requests,
        errors: now.errors,
        rate: if seconds > 0.0 { requests as f64 / seconds } else { 0.0 },
        latency: Latency {
            p50: quantile(buckets, 0.5),
            p90: quantile(buckets, 0.9),
            p99: quantile(buckets, 0.99),
        },
    }
}

/// The duration in milliseconds that this part of the requests did not exceed: within the bucket that it falls into,
/// requests are taken as evenly spread.
fn quantile(buckets: &FineBuckets, part: f64) -> Option<f64> {
    let wanted = buckets.iter().sum::<u64>() as f64 * part;
    let (mut below, mut lower) = (0.0, 0);
    for (count, upper) in buckets.iter().zip(FINE_BOUNDS) {
        let count = *count as f64;
        if count > 0.0 && below + count >= wanted {
            let micros = lower as f64 + (upper - lower) as f64 * (wanted - below) / count;
            return Some(micros / 1e3);
        }
        (below, lower) = (below + count, upper);
    }
    None
}

fn nodes(edges: &[Edge]) -> Vec<Node> {
    let mut nodes: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for edge in edges {
        nodes.entry(&edge.source).or_default().0 = true;
        if !edge.destination.is_empty() {
            nodes.entry(&edge.destination).or_default().1 = true;
        }
    }
    nodes.into_iter().map(|(name, (calls, called))| Node { name: name.into(), calls, called }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(source: &str, destination: &str) -> EdgeLabels {
        let text = |text: &str| -> Arc<str> { text.into() };
        EdgeLabels { source: text(source), destination: text(destination), route: text("shop/r") }
    }

    fn rates(record: &Record, now: Instant) -> Vec<(u64, f64)> {
        record.graph(now, 1).edges.iter().map(|edge| (edge.requests, edge.rate)).collect()
    }

    #[test]
    fn a_rate_is_of_the_last_minute() {
        let metrics = Metrics::new();
        let record = Record::new(metrics.clone());
        let start = record.begun.1;
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let edge = metrics.edge(&labels("shop/web", "shop/orders"));
        let call = |times: usize| (0..times).for_each(|_| edge.end(200, Duration::from_millis(1)));
        assert_eq!(rates(&record, at(1)), []);
        call(20);
        assert_eq!(rates(&record, at(10)), [(20, 2.0)], "since the begin, as there is no minute yet");
        (1..=6).for_each(|tick| record.tick(at(tick * 10)));
        assert_eq!(rates(&record, at(70)), [(20, 0.0)]);
        call(30);
        assert_eq!(rates(&record, at(70)), [(50, 0.5)]);
        (7..=20).for_each(|tick| record.tick(at(tick * 10)));
        assert_eq!(rates(&record, at(200)), [(50, 0.0)]);
        assert!(record.moments().len() <= 8);
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut buckets = FineBuckets::default();
        assert_eq!(quantile(&buckets, 0.5), None);
        buckets[0] = 100;
        assert_eq!(quantile(&buckets, 0.5), Some(0.125));
        buckets[3] = 100;
        assert_eq!(quantile(&buckets, 0.5), Some(0.25));
        assert_eq!(quantile(&buckets, 0.75), Some(0.875));
        buckets[FINE_BOUNDS.len()] = 800;
        assert_eq!(quantile(&buckets, 0.9), None, "longer than any bound");
    }

    #[test]
    fn a_workload_and_a_service_of_one_name_are_one_node() {
        let metrics = Metrics::new();
        for (source, destination) in [
            ("shop/web", "shop/orders"),
            ("shop/orders", "shop/stock"),
            ("unknown", "shop/web"),
            ("unknown", ""),
        ] {
            metrics.edge(&labels(source, destination)).end(500, Duration::from_millis(1));
        }
        let mut graph = Record::new(metrics).graph(Instant::now(), 7);
        // One that depends on the moment may lose its last digit as text.
        graph.edges.iter_mut().for_each(|edge| edge.rate = 0.5);
        let nodes: Vec<_> = graph.nodes.iter().map(|n| (n.name.as_str(), n.calls, n.called)).collect();
        let wanted = [
            ("shop/orders", true, true),
            ("shop/stock", false, true),
            ("shop/web", true, true),
            ("unknown", true, false),
        ];
        assert_eq!(nodes, wanted);
        assert_eq!(graph.edges.iter().map(|edge| edge.errors).sum::<u64>(), 4);
        let text = serde_json::to_string(&graph).unwrap();
        assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
    }
}
