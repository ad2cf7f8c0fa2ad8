//! The service graph: who calls whom, how often, with which errors and how long it takes.

mod dot;
mod record;
mod table;

pub use dot::dot;
pub use record::{Record, TICK};
use serde::{Deserialize, Serialize};
pub use table::table;

/// The service graph, as `/graph` on the admin address gives it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// Generation of the snapshot in effect.
    pub generation: u64,
    /// When counting began, in seconds since 1970-01-01 UTC.
    pub since: u64,
    /// What calls and what is called, by name.
    pub nodes: Vec<Node>,
    /// Who calls whom, by source, destination and route.
    pub edges: Vec<Edge>,
}

/// Something that calls or is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `namespace/name`; a workload and a Service of the same name are one. `unknown` calls from addresses that no
    /// pod has.
    pub name: String,
    /// It is a workload that calls.
    pub calls: bool,
    /// It is a Service that is called.
    pub called: bool,
}

/// One edge: calls of a workload to a Service by a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Name of the node that calls.
    pub source: String,
    /// Name of the node that is called; empty if the route leads to no Service.
    pub destination: String,
    /// Object that the route comes from, `namespace/name`.
    pub route: String,
    /// Requests that ended, since counting began.
    pub requests: u64,
    /// Those among them that ended with a status of 500 or more, or with none.
    pub errors: u64,
    /// Requests per second in the last minute, or since counting began if that is less.
    pub rate: f64,
    /// How long requests took in the same time, and in all time if there were none in it.
    pub latency: Latency,
}

/// Quantiles of durations in milliseconds, as exact as the buckets of the histogram are. `null` is longer than the
/// largest of its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the requests took no longer.
    pub p50: Option<f64>,
    /// Nine of ten took no longer.
    pub p90: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99: Option<f64>,
}
