//! The Snapshot: the whole wanted state of an engine except its endpoints.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Backend, Certificate, HostMatch, Listener, Route, SharedMap, Tracing, VirtualHost};
use crate::id::{BackendId, CertificateId, ListenerName, RouteSetId};

/// What the engine shall do, as keyed maps, so that a difference is a comparison of keys.
///
/// Endpoints are not in it: they change more often and take a way of their own
/// ([`Update::Endpoints`](crate::source::Update::Endpoints)).
///
/// All of the model is `Eq`, by which the same `Arc` is known to be equal without a look into it: comparing two
/// snapshots costs a step for each piece of a map and a deep look only where something was made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where clients connect.
    pub listeners: BTreeMap<ListenerName, Arc<Listener>>,
    /// Hosts and their routes; a listener names the set that it serves.
    pub route_sets: BTreeMap<RouteSetId, Arc<RouteSet>>,
    /// Every backend that a route refers to, named once.
    pub backends: SharedMap<BackendId, Arc<Backend>>,
    /// Every certificate that a host or a listener refers to.
    pub certificates: SharedMap<CertificateId, Arc<Certificate>>,
    /// Which requests are traced, and where their spans are sent; `None` traces nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Arc<Tracing>>,
}

/// Hosts with their routes, and what answers when none of them does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSet {
    /// One entry for each distinct host; the most specific one that matches decides alone.
    pub hosts: SharedMap<HostMatch, Arc<VirtualHost>>,
    /// Answers requests that no rule matches; without it they get 404.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Arc<Route>>,
}
