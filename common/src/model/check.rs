//! Health checks: how endpoints are asked whether they are well, whether or not requests go to them.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// How each endpoint of a backend is asked whether it is well.
///
/// An endpoint gets requests until it has failed `unhealthy_after` questions in a row; a new one is not waited for. An
/// address that several backends have, as when a policy makes one Service two backends, is asked for each of them.
/// Questions have connections of their own, which no [limit](super::BackendLimits) counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: HealthCheckKind,
    /// Time from one question to the next.
    #[serde(with = "super::duration")]
    pub interval: Duration,
    /// Longest wait for an answer.
    #[serde(with = "super::duration")]
    pub timeout: Duration,
    /// Good answers in a row that make an unhealthy endpoint healthy.
    pub healthy_after: u32,
    /// Bad or missing answers in a row that make an endpoint unhealthy.
    pub unhealthy_after: u32,
    /// Port that is asked, if not that of the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthCheckKind {
    /// A GET, in the protocol and with the TLS of the requests.
    Http {
        /// Path and query asked for.
        path: Arc<str>,
        /// `Host` of the question; `None` is the address of the endpoint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<Arc<str>>,
        /// Statuses that are good answers; none stands for 200 to 299.
        #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
        statuses: Arc<[RangeInclusive<u16>]>,
    },
    /// Whether a connection can be opened.
    Tcp,
    /// `grpc.health.v1.Health/Check` of this service; the empty name asks for the whole server.
    Grpc {
        /// Name of the service.
        #[serde(default)]
        service: Arc<str>,
    },
}

impl HealthCheckKind {
    /// Whether an answer with this status is a good one. Only [`Http`](Self::Http) asks for it.
    pub fn is_good(&self, status: u16) -> bool {
        match self {
            Self::Http { statuses, .. } if !statuses.is_empty() => {
                statuses.iter().any(|range| range.contains(&status))
            }
            _ => matches!(status, 200..=299),
        }
    }
}
