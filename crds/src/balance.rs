//! How an endpoint is chosen: balancing, affinity, slow start, zones.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Duration, limits};

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(self.algorithm == 'Hash') == has(self.hash)",
    "algorithm Hash needs hash, which says what is hashed; no other algorithm has it",
))]
pub struct Balance {
    /// `RoundRobin`: one after the other. `LeastRequests`: of two the one with fewer requests under way. `Ewma`: of two
    /// the one that answers sooner. `Hash`: always the same one for the same key.
    pub algorithm: Algorithm,
    /// What is hashed, for algorithm Hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashKey>,
}

/// A way to choose an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// One after the other.
    RoundRobin,
    /// Of two the one with fewer requests under way.
    LeastRequests,
    /// Of two the one that answers sooner, by a moving average.
    #[default]
    Ewma,
    /// Always the same one for the same key.
    Hash,
}

/// What is hashed; exactly one form is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.header), has(self.cookie), has(self.source)].filter(one, one).size() == 1",
    "give exactly one of header, cookie and source",
))]
pub struct HashKey {
    /// Name of a header of the request.
    #[schemars(transform = limits::token)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Name of a cookie of the request.
    #[schemars(transform = limits::token)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The client's address; only `true`.
    #[schemars(transform = limits::only_true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<bool>,
}

/// Keeps the requests of one client on one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Affinity {
    /// By a cookie that names the endpoint and is set by the router.
    pub cookie: AffinityCookie,
}

/// A cookie that names an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffinityCookie {
    /// Name of the cookie.
    #[schemars(transform = limits::token)]
    pub name: String,
    /// How long the client keeps it. Absent: until the browser is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// For which paths the client sends it. Absent: `/`.
    #[schemars(transform = limits::path)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Gives an endpoint that is new its full share only after a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlowStart {
    /// The time in which its share grows from a tenth to the whole.
    pub window: Duration,
}

/// Endpoints near by first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Whether endpoints that EndpointSlices hint at for the router's own zone are taken first. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer: Option<bool>,
}
