//! Listeners: where clients connect.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Limits;
use crate::id::{CertificateId, RouteSetId};

/// An address on which clients are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Address to bind; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What clients speak.
    pub protocol: ListenerProtocol,
    /// Each connection begins with a PROXY protocol header, version 1 or 2.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Certificate for clients whose SNI matches no host; `None` is a self-signed one made at start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<CertificateId>,
    /// Port that clients see, sent as `X-Forwarded-Port` and used in redirects.
    pub public_port: u16,
    /// Proxies in front of us whose forwarded fields are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_cidrs: Vec<IpNet>,
    /// Send `Forwarded` (RFC 7239) beside the `X-Forwarded-…` fields.
    #[serde(default)]
    pub forwarded_field: bool,
    /// Find out who calls, by the address of the client or by a token, and take away what clients say of their
    /// identity themselves. Without it nobody is looked up.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub identify: bool,
    /// Limits in size, number and time.
    #[serde(default)]
    pub limits: Limits,
    /// The hosts and routes that it serves.
    pub routes: RouteSetId,
}

/// What clients speak on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ListenerProtocol {
    /// HTTP/1.1, and HTTP/2 by prior knowledge.
    Http,
    /// TLS with HTTP/1.1 or HTTP/2 by ALPN.
    Https,
}
