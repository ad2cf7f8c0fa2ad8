//! How much a Service bears: circuit breaking, rate limits, concurrency, priority.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Duration, limits};

/// How much may be under way to one Service at once, in each process of the router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaking {
    /// Connections to its endpoints.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    #[schemars(range(max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// Requests under way.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
}

/// How many requests in a time, in each process of the router; what is above is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!self.per.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self.per) > duration('0s')",
    "per must be longer than 0s; write one such as 1s, 1m or 1h",
))]
pub struct RateLimit {
    /// So many requests.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests: u32,
    /// In this time, such as 1s, 1m or 1h.
    pub per: Duration,
    /// So many at once beyond what the time allows, when there were fewer before. Absent: as many as `requests`.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Whose requests are counted together. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<LimitKey>,
    /// Status of the answer to a request that is refused. Absent: 429.
    #[schemars(range(min = 400, max = 599))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// Whose requests are counted together; exactly one form is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.caller), has(self.header), has(self.source)].filter(one, one).size() == 1",
    "give exactly one of caller, header and source",
))]
pub struct LimitKey {
    /// Those of one caller: namespace and service account; only `true`.
    #[schemars(transform = limits::only_true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<bool>,
    /// Those with the same value of the header of this name.
    #[schemars(transform = limits::token)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Those from one address; only `true`.
    #[schemars(transform = limits::only_true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<bool>,
}

/// How many requests of one caller at once, in each process of the router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!has(self.queue) || has(self.perCaller)",
    "queue is for requests above perCaller; give perCaller too",
))]
pub struct Concurrency {
    /// So many requests of one caller are under way to the Service: of one namespace and service account, or of one
    /// source address where these are not known.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_caller: Option<u32>,
    /// Where requests above that wait. Absent: they are refused at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

/// Where requests wait; what does not fit or waits too long is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// So many requests of one caller wait.
    #[schemars(range(min = 1, max = 100_000))]
    pub length: u32,
    /// For so long at most.
    pub wait: Duration,
}

/// Which requests are refused first when there is too much to do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// First.
    Low,
    /// After those of low priority.
    #[default]
    Normal,
    /// Last.
    High,
}
