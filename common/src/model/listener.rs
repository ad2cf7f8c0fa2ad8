//! Listeners: where clients connect.

use std::{net::SocketAddr, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{BackendRef, Limits, PassThrough};
use crate::{
    filter::SubjectPattern,
    id::{CertificateId, RouteSetId},
};

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
    /// Refuse the handshake of clients whose SNI no host has by its name or by a wildcard, or that send none, in place of
    /// showing them a certificate that is not for them.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub refuse_unknown_names: bool,
    /// Port that clients see, sent as `X-Forwarded-Port` and used in redirects.
    pub public_port: u16,
    /// Proxies in front of us whose forwarded fields are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_cidrs: Vec<IpNet>,
    /// Field with the address of the client that these proxies send; `None` is `X-Forwarded-For`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_for: Option<Arc<str>>,
    /// Add the address of such a proxy to `X-Forwarded-For` for routes of ingress-nginx, which get that of the client
    /// alone without it.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub full_forwarded_for: bool,
    /// Field whose value routes of ingress-nginx pass on in `X-Original-Forwarded-Host`; `None` is `X-Forwarded-Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_host: Option<Arc<str>>,
    /// Field that tells backends of routes of ingress-nginx who opened the connection, or, if that is a trusted proxy,
    /// what it says of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxied_client: Option<Arc<str>>,
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
    /// The hosts and routes that it serves; without meaning where clients speak no HTTP.
    pub routes: RouteSetId,
    /// Answer `CONNECT` (RFC 9110 §9.3.6) to the hosts of its routes with a tunnel to their backends; without it such
    /// a request gets 405.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub connect: bool,
    /// Look requests up by the name of a service; `None` looks them up by their host alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_names: Option<ServiceNames>,
    /// Take `X-Selvedge-Service` away from requests that are looked up by their host: what clients say there shall not
    /// choose a Service where a route leads to a router.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub takes_service_field: bool,
    /// What happens to requests for hosts that no route knows; `None` refuses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_through: Option<Arc<PassThrough>>,
    /// Refuse requests that went in a circle through us; `None` lets them go round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loop_protection: Option<LoopProtection>,
    /// Leave all that comes in here out of the access log.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub unlogged: bool,
    /// Leave requests out of it whose target, as the client sent it, has a part that matches one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlogged_targets: Vec<SubjectPattern>,
    /// Tell clients that ask by `x-selvedge-timing: 1` in `Server-Timing` where the time went.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub server_timing: bool,
}

impl Listener {
    /// A listener with defaults for all else; clients see the port that is bound.
    pub fn new(address: SocketAddr, protocol: ListenerProtocol, routes: RouteSetId) -> Self {
        Self {
            address,
            protocol,
            proxy_protocol: false,
            default_certificate: None,
            refuse_unknown_names: false,
            public_port: address.port(),
            trusted_cidrs: Vec::new(),
            forwarded_for: None,
            full_forwarded_for: false,
            forwarded_host: None,
            proxied_client: None,
            forwarded_field: false,
            identify: false,
            limits: Limits::default(),
            routes,
            connect: false,
            service_names: None,
            takes_service_field: false,
            pass_through: None,
            loop_protection: None,
            unlogged: false,
            unlogged_targets: Vec::new(),
            server_timing: false,
        }
    }

    /// Whether a request with this target is in the access log, as far as the listener has a say in it.
    pub fn is_logged(&self, target: &[u8]) -> bool {
        !self.unlogged && !self.unlogged_targets.iter().any(|pattern| pattern.is_match(target))
    }
}

/// How requests that come back to us are told from new ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopProtection {
    /// Name of all replicas together, sent to backends in `Via` (RFC 9110 §7.6.3) and looked for there: a token of
    /// letters, digits and dashes.
    pub id: Arc<str>,
    /// How often a request may come; one that has gone through us that many times already is answered 508.
    #[serde(default = "most_hops", skip_serializing_if = "is_most_hops")]
    pub hops: u8,
}

/// What clients speak on a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ListenerProtocol {
    /// HTTP/1.1, and HTTP/2 by prior knowledge.
    Http,
    /// TLS with HTTP/1.1 or HTTP/2 by ALPN.
    Https,
    /// Anything over TCP: bytes are carried as they are, both ways.
    Tcp(TcpRoute),
}

/// Where the connections of a TCP listener go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpRoute {
    /// Where a connection goes, chosen by weight for each.
    pub backends: Vec<BackendRef>,
    /// Further tries, with another endpoint if there is one, when an endpoint cannot be reached; 0 is none.
    #[serde(default = "one")]
    pub connect_retries: u32,
}

/// By which name of a service a request is looked up.
///
/// The key is [`fixed`](Self::fixed), else what the field says, else the host without its suffix. In the table it is
/// looked for with its port, if it has one, and then without: `orders.shop:8080`, `orders.shop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceNames {
    /// What is taken off the end of a host, in lower case and without dots around: `svc.cluster.local` makes
    /// `orders.shop` of `orders.shop.svc.cluster.local`. The longest one that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suffixes: Vec<Arc<str>>,
    /// Believe the field `X-Selvedge-Service: orders.shop:8080`; if not, it is only taken away.
    pub field: bool,
    /// Every request is for this host of the table, in lower case, whatever it says: a port for each service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Arc<str>>,
}

fn one() -> u32 {
    1
}

fn most_hops() -> u8 {
    3
}

fn is_most_hops(hops: &u8) -> bool {
    *hops == most_hops()
}
