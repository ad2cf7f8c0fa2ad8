//! Endpoints: the addresses behind a backend.

use std::{net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

/// All endpoints of one backend, sorted by address and without duplicates.
pub type Endpoints = Arc<[Endpoint]>;

/// One address behind a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// Whether new requests go there.
    #[serde(default)]
    pub state: EndpointState,
    /// Zone that the endpoint is in, if known (EndpointSlice `endpoints[].zone`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
    /// Zones whose requests it is meant for, sorted; empty if that is not said (EndpointSlice
    /// `endpoints[].hints.forZones[].name`).
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub hints: Arc<[Arc<str>]>,
}

impl Endpoint {
    /// An endpoint of which nothing but this is known.
    pub fn new(address: SocketAddr, state: EndpointState) -> Self {
        Self { address, state, zone: None, hints: Arc::default() }
    }
}

/// Whether an endpoint gets new requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndpointState {
    /// Gets new requests (EndpointSlice condition `ready`).
    #[default]
    Ready,
    /// Serves while terminating: gets new requests only if no endpoint is ready.
    Draining,
}
