//! Virtual hosts: which names a host entry answers to, and what it does for them.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClientVerification, Route, Shared, TlsPassthrough};
use crate::id::CertificateId;

/// Which host names an entry answers to. Names are lower case, without port and trailing dot.
///
/// Printed and serialized as a user would type it: `shop.example`, `*.shop.example`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostMatch {
    /// This name only.
    Exact(Arc<str>),
    /// Exactly one label before this suffix: `*.shop.example` holds `shop.example`.
    Wildcard(Arc<str>),
    /// Every name, and requests without one.
    Any,
}

/// The configuration of one host: its certificate and its routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualHost {
    /// Certificate for clients that name this host in SNI. A host can have a certificate and no routes;
    /// then requests for it are matched as if the entry were not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateId>,
    /// How clients that name this host in SNI are verified; `None` asks them for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_verification: Option<Arc<ClientVerification>>,
    /// Where connections of clients go that name this host in SNI, if their TLS does not end here. It decides for a host
    /// without routes, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_passthrough: Option<Arc<TlsPassthrough>>,
    /// Routes in no particular order: precedence is computed when the table is built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Shared<Route>>,
}

impl VirtualHost {
    /// A host with these routes.
    pub fn new(certificate: Option<CertificateId>, routes: Vec<Route>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().map(Shared::from).collect();
        // It is made in the room that the routes themselves took, which is forty times as much as it needs.
        routes.shrink_to_fit();
        Self { certificate, client_verification: None, tls_passthrough: None, routes }
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl FromStr for HostMatch {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "*" | "" => Self::Any,
            name => match name.strip_prefix("*.") {
                Some(suffix) => Self::Wildcard(suffix.into()),
                None => Self::Exact(name.into()),
            },
        })
    }
}

impl Serialize for HostMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.parse().unwrap_or(Self::Any))
    }
}
