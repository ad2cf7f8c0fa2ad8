//! Backends: how a Service port is spoken to, apart from its endpoints.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Affinity, BackendLimits, BackendTls, Balance, Fairness, HealthCheck, ProxyProtocolVersion};

/// A backend: everything about a Service port but its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// What is spoken to its endpoints.
    #[serde(default)]
    pub protocol: BackendProtocol,
    /// TLS towards its endpoints; `None` is plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTls>,
    /// How an endpoint is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// Where its endpoints come from.
    #[serde(default)]
    pub discovery: Discovery,
    /// Longest time to open a connection, TLS included.
    #[serde(with = "super::duration")]
    pub connect_timeout: Duration,
    /// When an endpoint that keeps failing gets no requests.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub health: Health,
    /// How many of its requests may be sent again, of all routes together.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub retry_allowance: RetryAllowance,
    /// Keeps a client at the endpoint that answered it first; `None` chooses anew for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How much of it may be going on at once, in this process.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub limits: BackendLimits,
    /// How much of it one caller may take.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub fairness: Fairness,
    /// How its endpoints are asked whether they are well; `None` never asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<HealthCheck>,
    /// Time in which the share of an endpoint that joins others grows to a full one; `None` is a full share at once.
    #[serde(default, with = "super::duration::option", skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// Endpoints of the proxy's own zone come first, also without hints of Kubernetes.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub prefer_zone: bool,
    /// Header of the PROXY protocol sent at the start of each connection; `None` sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolVersion>,
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            protocol: BackendProtocol::default(),
            tls: None,
            balance: Balance::default(),
            discovery: Discovery::default(),
            connect_timeout: Duration::from_secs(5),
            health: Health::default(),
            retry_allowance: RetryAllowance::default(),
            affinity: None,
            limits: BackendLimits::default(),
            fairness: Fairness::default(),
            check: None,
            slow_start: None,
            prefer_zone: false,
            proxy_protocol: None,
        }
    }
}

/// When an endpoint that keeps failing is ejected: it gets no new requests for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Failures in a row that eject an endpoint; 0 never ejects.
    pub failures: u32,
    /// Time of the first ejection; each further one without a success between doubles it.
    #[serde(with = "super::duration")]
    pub ejection: Duration,
    /// Longest ejection.
    #[serde(with = "super::duration")]
    pub longest_ejection: Duration,
    /// Most endpoints that are ejected at once, of a hundred.
    pub most_ejected_percent: u8,
    /// If more endpoints than this, of a hundred, are ejected or unhealthy, all are used.
    pub panic_percent: u8,
    /// Which answers count as failures too.
    #[serde(skip_serializing_if = "super::is_default")]
    pub failing_statuses: FailingStatuses,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            failures: 5,
            ejection: Duration::from_secs(30),
            longest_ejection: Duration::from_secs(300),
            most_ejected_percent: 50,
            panic_percent: 50,
            failing_statuses: FailingStatuses::None,
        }
    }
}

/// Which answers of an endpoint count as its failures, beside those that never came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailingStatuses {
    /// None: who answers is well.
    #[default]
    None,
    /// 502, 503 and 504.
    Gateway,
    /// 500 to 599.
    Server,
}

impl FailingStatuses {
    /// Whether an answer with this status counts as a failure.
    pub fn contain(self, status: u16) -> bool {
        match self {
            Self::None => false,
            Self::Gateway => matches!(status, 502..=504),
            Self::Server => matches!(status, 500..=599),
        }
    }
}

/// How many requests may be sent again, so that a backend in trouble is not flooded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryAllowance {
    /// Retries earned by a hundred requests.
    pub percent: u8,
    /// Retries earned in a second without any request.
    pub per_second: u32,
}

impl Default for RetryAllowance {
    fn default() -> Self {
        Self { percent: 20, per_second: 10 }
    }
}

/// The protocol towards the endpoints of a backend (Service port `appProtocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendProtocol {
    /// HTTP/1.1, WebSocket upgrades included.
    #[default]
    Http1,
    /// HTTP/2: by prior knowledge without TLS, by ALPN with TLS. gRPC too.
    Http2,
}

/// Where the endpoints of a backend come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Discovery {
    /// From the stream of endpoint updates.
    #[default]
    Endpoints,
    /// By resolving a DNS name (Service of type ExternalName). Loopback, link-local, unspecified and
    /// multicast addresses and those of this machine are never used.
    Dns {
        /// Name as the Service's `spec.externalName` gives it.
        name: Arc<str>,
        /// Port to connect to.
        port: u16,
    },
}
