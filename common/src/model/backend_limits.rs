//! Limits of a backend: how much of it may be going on at once, of all callers and of one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much may be going on at once towards a backend, in one process; beyond it requests are refused at once, so
/// that a backend in trouble does not take the proxy with it. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendLimits {
    /// Open connections to all its endpoints together, idle ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Requests that wait for a connection while as many as `connections` are in use, each for at most the
    /// backend's `connect_timeout`. If unset, as many as `connections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// Requests in flight, those that wait included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
}

/// How much of a backend one caller may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fairness {
    /// Requests of one caller in flight at once, in this process; `None` is no limit, 0 is taken for 1. A caller is
    /// a principal, or a source address where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_caller: Option<u32>,
    /// Requests of one caller that wait for their turn beyond that; more are refused.
    pub queue: u32,
    /// Longest wait for a turn.
    #[serde(with = "super::duration")]
    pub queue_wait: Duration,
}
