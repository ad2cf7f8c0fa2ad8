//! Which endpoints are well: told by their answers, and by asking them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Duration, limits};

/// Leaves out for a while endpoints whose answers are failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outlier {
    /// After so many failures in a row: no connection, no response in time, or status 500 to 599. 0: never. Absent: 5.
    #[schemars(range(max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// For how long the first time, twice as long each further time. Absent: 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejection: Option<Duration>,
    /// For how long at most. Absent: 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_ejection: Option<Duration>,
    /// At most so many of a hundred endpoints at once. Absent: 50.
    #[schemars(range(max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_ejected_percent: Option<u8>,
    /// When fewer of a hundred endpoints are left than this, all are used, as that is better than none. Absent: 50.
    #[schemars(range(max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic_percent: Option<u8>,
}

/// Asks endpoints whether they are well; exactly one of http, tcp and grpc is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.http), has(self.tcp), has(self.grpc)].filter(one, one).size() == 1",
    "give exactly one of http, tcp and grpc",
))]
#[x_kube(validation = (
    "!(has(self.timeout) && has(self.interval)) || !self.timeout.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || \
     !self.interval.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self.timeout) <= duration(self.interval)",
    "timeout must not be longer than interval",
))]
pub struct HealthCheck {
    /// By a request of HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// By making a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// By the health service of gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcCheck>,
    /// Time from one question to the next. Absent: 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long an answer may take. Absent: 1s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// After so many good answers in a row an endpoint is used again. Absent: 2.
    #[schemars(range(min = 1, max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_after: Option<u32>,
    /// After so many bad answers in a row an endpoint is left out. Absent: 3.
    #[schemars(range(min = 1, max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_after: Option<u32>,
    /// Port of the pods that is asked. Absent: the one that requests go to.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Asks by a request of HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// Path that is asked for by GET, such as `/healthz`.
    #[schemars(transform = limits::path)]
    pub path: String,
    /// Statuses of good answers. Absent or empty: 200 to 299.
    #[schemars(length(max = 16), inner(range(min = 100, max = 599)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// Host that is asked for. Absent: the endpoint's address.
    #[schemars(transform = limits::host)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Asks by making a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpCheck {}

/// Asks by the health service of gRPC (`grpc.health.v1.Health/Check`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcCheck {
    /// Name of the service that is asked for. Absent: the whole server.
    #[schemars(length(min = 1, max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}
