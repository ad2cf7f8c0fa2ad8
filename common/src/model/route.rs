//! Routes: what a request must look like, what happens to it and where it goes.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Conditions, ErrorPages, HostMatch, PathMatch, Priority, Rare, Retry, RouteTracing, Shared};
use crate::{
    filter::Filter,
    id::{BackendId, ObjectRef, RouteId, RouteSetId},
};

/// One route of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Names the route in logs, metrics and `explain`.
    pub id: RouteId,
    /// The object that declares it.
    pub source: ObjectRef,
    /// Which paths it answers.
    pub path: PathMatch,
    /// What else a request must be.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub conditions: Rare<Conditions>,
    /// A route of a higher priority is asked before all of a lower one, whatever their paths and conditions.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub priority: i32,
    /// Which of its requests are refused first when the process has too much to do; says nothing of which route is
    /// found.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub load_priority: Priority,
    /// Among routes that are equal in priority, path and conditions the lower one answers. Translation numbers
    /// them: the oldest object first, then by name, then by order within the object.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub rank: u32,
    /// Decisions about the request, in order of execution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Where the request goes, chosen by weight. Empty only if a filter always replies.
    pub backends: Vec<BackendRef>,
    /// How long things may take.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub timeouts: Shared<Timeouts>,
    /// When a failed request is sent again.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub retry: Shared<Retry>,
    /// Backends that get a copy of requests and whose answers nobody sees.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub mirrors: Box<[Mirror]>,
    /// Whether its requests are left out of the access log.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub unlogged: bool,
    /// Largest body that is read whole before an endpoint is chosen, in bytes; a larger one is passed on as it comes, and
    /// with 0 each one is.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub buffered_body_bytes: u64,
    /// Who answers instead of an error; `None` leaves errors as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_pages: Option<Arc<ErrorPages>>,
    /// Where further rules decide, such as those of the Service that the route leads to; `None` is what the route
    /// itself says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Box<RulesRef>>,
    /// By which fields its backends are told of the client.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub client_fields: ClientFields,
    /// How its requests are traced; `None` is as the snapshot says it of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Arc<RouteTracing>>,
}

/// The fields by which backends are told who asked, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientFields {
    /// `X-Forwarded-For`, a chain where proxies in front of us are trusted, `X-Forwarded-Host`, `-Port` and `-Proto`,
    /// `X-Real-IP` and an `X-Request-ID` of ours.
    #[default]
    Usual,
    /// ingress-nginx: `X-Forwarded-For` is the client alone; `X-Forwarded-Scheme` and `X-Scheme` are sent too, what the
    /// client said in `X-Forwarded-For` and `-Host` goes to `X-Original-Forwarded-…`, and its `X-Request-ID` stays.
    IngressNginx,
}

/// A host of some route set, whose routes decide about requests that another route was found for.
///
/// They are looked at with the path as the first route left it, once its filters were asked. If one of them matches,
/// it alone says how the request is sent on; if none does, the first route does. A route that was found so leads no
/// further, whatever it refers to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesRef {
    /// The set that holds the host.
    pub set: RouteSetId,
    /// The entry among the hosts of the set, by what it is called there and not by what it would match.
    pub host: HostMatch,
}

/// A backend that gets a copy of some requests. Its answers are dropped, its failures harm nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Where the copies go; to an invalid one nothing is sent.
    pub target: BackendTarget,
    /// How many of a hundred requests are copied, drawn at random; more than 100 means all.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub percent: u8,
    /// `Host` of copies; without it they have that of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
}

impl Route {
    /// A route that looks at the path alone, with defaults for all else.
    pub fn new(id: RouteId, source: ObjectRef, path: PathMatch, backends: Vec<BackendRef>) -> Self {
        Self {
            id,
            source,
            path,
            conditions: Rare::default(),
            priority: 0,
            load_priority: Priority::default(),
            rank: 0,
            filters: Vec::new(),
            backends,
            timeouts: Shared::default(),
            retry: Shared::default(),
            mirrors: Box::default(),
            unlogged: false,
            buffered_body_bytes: 0,
            error_pages: None,
            rules: None,
            client_fields: ClientFields::default(),
            tracing: None,
        }
    }
}

/// A backend with its share of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRef {
    /// Which backend, or why there is none. An invalid one keeps its share of the requests.
    pub target: BackendTarget,
    /// Share among the backends of the route; 0 gets nothing.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
}

/// A resolved or an invalid reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendTarget {
    /// A backend of the snapshot.
    Backend(BackendId),
    /// A reference that does not resolve; requests that pick it get 503.
    Invalid(InvalidBackend),
}

/// Why a reference to a backend does not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InvalidBackend {
    /// No Service of that name in the namespace.
    ServiceNotFound,
    /// The Service has no such port.
    PortNotFound,
    /// `resource` backends are not supported.
    UnsupportedResource,
    /// Forbidden target, for example an ExternalName that is a loopback address.
    Forbidden,
    /// The reference itself is malformed, for example neither port name nor number.
    Malformed,
    /// There is a backend, but what shall protect it cannot be kept up, so nothing may reach it.
    Unprotected,
}

/// Limits in time for one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Longest wait for the response head of the backend once the request is sent, all tries together. While the
    /// client sends its body, the listener's limits for bodies hold instead.
    #[serde(with = "super::duration")]
    pub request: Duration,
    /// Longest silence of the backend while its response body is being read.
    #[serde(with = "super::duration")]
    pub backend_idle: Duration,
    /// As `request`, for each single try; opening a connection may take no longer either. `None` leaves each try all the
    /// time there is.
    #[serde(default, with = "super::duration::option", skip_serializing_if = "Option::is_none")]
    pub backend: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request: Duration::from_secs(60), backend_idle: Duration::from_secs(60), backend: None }
    }
}

fn one() -> u32 {
    1
}

fn is_one(weight: &u32) -> bool {
    *weight == 1
}

fn all() -> u8 {
    100
}

fn is_all(percent: &u8) -> bool {
    *percent == all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_with_its_counts_fits_into_256_bytes() {
        // There may be very many, and the next larger piece of memory that the allocator has is one of 320.
        assert!(size_of::<Route>() + 2 * size_of::<usize>() <= 256, "{}", size_of::<Route>());
    }
}
