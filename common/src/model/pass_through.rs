//! Passing on: what happens to requests for hosts that no route set knows.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Backend, Retry, Timeouts};
use crate::id::BackendId;

/// Requests for unknown hosts are passed on to the host that they name, at the addresses that DNS gives for it.
///
/// Loopback, link-local, unspecified and multicast addresses and those of this machine are never among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassThrough {
    /// Addresses that nothing is passed on to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<IpAddr>,
    /// Backends of the snapshot whose endpoints nothing is passed on to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden_backends: Vec<BackendId>,
    /// How hosts are spoken to; where their endpoints come from is not looked at.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub backend: Backend,
    /// How long requests may take.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub timeouts: Timeouts,
    /// When requests are sent again.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub retry: Retry,
}
