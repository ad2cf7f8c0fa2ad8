//! Backends: how a Service port is spoken to, apart from its endpoints.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

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
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            protocol: BackendProtocol::default(),
            tls: None,
            balance: Balance::default(),
            discovery: Discovery::default(),
            connect_timeout: Duration::from_secs(5),
        }
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

/// TLS towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendTls {
    /// Name sent in SNI; `None` sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Arc<str>>,
}

/// How an endpoint is chosen among those that are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Balance {
    /// One after the other, from a random start; every endpoint is visited.
    #[default]
    RoundRobin,
    /// The one with fewer requests in flight of two drawn at random.
    LeastRequests,
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
