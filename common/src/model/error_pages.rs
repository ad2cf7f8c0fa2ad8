//! Error pages: who answers instead of a backend that has no endpoint or whose answer is an error.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::BackendTarget;

/// Who answers requests of a route that would be answered with an error, and what it is told of them.
///
/// It is asked with the client's method and query for the path `/`, and what went wrong stands in `X-Code`, `X-Format`,
/// `X-Original-URI`, `X-Namespace`, `X-Ingress-Name`, `X-Service-Name` and `X-Service-Port`. Its answer, status included,
/// is the client's; if it has none, the client gets a plain one with the status of the error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorPages {
    /// Who answers.
    pub target: BackendTarget,
    /// Statuses, of backends and of the proxy itself, that it answers instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
    /// Whether it also gets the requests for a backend without endpoints, with their path and body.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_empty: bool,
    /// Namespace of the object that declares the route.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub namespace: Arc<str>,
    /// Name of that object.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub ingress: Arc<str>,
    /// Name of the Service that the route leads to.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub service: Arc<str>,
    /// Port of that Service.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub port: Arc<str>,
}
