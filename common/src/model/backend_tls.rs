//! TLS towards endpoints: who they must prove to be, and who the proxy says it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Certificate;

/// TLS towards endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendTls {
    /// Name sent in SNI, and that certificates must be for if they are verified; `None` sends none, and the address
    /// of the endpoint stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Arc<str>>,
    /// Whose certificates are believed.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub trust: Trust,
    /// What the proxy shows to an endpoint that asks who it is; `None` shows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Arc<Certificate>>,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trust {
    /// Anybody's: it protects against listening, not against an impostor.
    #[default]
    Anyone,
    /// Those signed by the authorities that the system trusts.
    System,
    /// Those signed by these authorities: certificates as PEM. Not a secret.
    Authorities(Arc<str>),
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProxyProtocolVersion {
    /// A line of text.
    V1,
    /// A binary header.
    V2,
}
