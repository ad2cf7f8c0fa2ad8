//! What becomes of requests that a rule is for: rewriting, headers, backends, mirrors, faults, answers.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{duration::Duration, limits};

/// Changes path and host of a request before it goes to a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.prefix) && has(self.path))", "give at most one of prefix and path"))]
#[x_kube(validation = (
    "has(self.prefix) || has(self.path) || has(self.host)",
    "say what is rewritten: prefix, path or host",
))]
pub struct Rewrite {
    /// Stands in place of the prefix that was matched.
    #[schemars(transform = limits::path)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Stands in place of the whole path; the query stays.
    #[schemars(transform = limits::path)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The host that the backend is asked for.
    #[schemars(transform = limits::host)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Changes headers of requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderChanges {
    /// Of the request, before it goes to a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<HeaderChange>,
    /// Of the response, before it goes back to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<HeaderChange>,
}

/// Changes headers of one message: first it removes, then it sets, then it adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderChange {
    /// Headers with the value they have then; what they had before is gone.
    #[schemars(transform = limits::header_map)]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Headers with a value they get beside those they have.
    #[schemars(transform = limits::header_map)]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
    /// Names of headers that are taken away.
    #[schemars(length(max = 32), transform = limits::tokens)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A Service that requests go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Name of the Service.
    #[schemars(transform = limits::label)]
    pub service: String,
    /// Namespace of the Service. Absent: that of this object. A Service of another namespace needs a RouteGrant
    /// there.
    #[schemars(transform = limits::label)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Number of a port of the Service (not of its pods). May be absent where the Service has one port only.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its share of the requests, in proportion to the sum of all weights. 0: none.
    #[schemars(range(max = 1_000_000))]
    #[serde(default = "one")]
    pub weight: u32,
}

impl Default for Backend {
    fn default() -> Self {
        Self { service: String::new(), namespace: None, port: None, weight: one() }
    }
}

/// A Service that gets a copy of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Name of the Service.
    #[schemars(transform = limits::label)]
    pub service: String,
    /// Namespace of the Service. Absent: that of this object. A Service of another namespace needs a RouteGrant
    /// there.
    #[schemars(transform = limits::label)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Number of a port of the Service (not of its pods). May be absent where the Service has one port only.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How many of a hundred requests are copied.
    #[schemars(range(max = 100))]
    #[serde(default = "hundred")]
    pub percent: u8,
}

impl Default for Mirror {
    fn default() -> Self {
        Self { service: String::new(), namespace: None, port: None, percent: hundred() }
    }
}

/// Faults made on purpose. A request may get both: first it is delayed, then aborted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.abort) || has(self.delay)", "say which fault: abort, delay or both"))]
pub struct Fault {
    /// Requests that are answered with an error and go to no backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// Requests that wait before they go to a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// Requests that are answered with an error on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.status) != has(self.grpcStatus)",
    "give exactly one of status and grpcStatus",
))]
pub struct Abort {
    /// How many of a hundred requests.
    #[schemars(range(max = 100))]
    #[serde(default = "hundred")]
    pub percent: u8,
    /// Status of the answer.
    #[schemars(range(min = 200, max = 599))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Status of the answer to a gRPC call, as its number: 14 is UNAVAILABLE.
    #[schemars(range(min = 1, max = 16))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u8>,
}

impl Default for Abort {
    fn default() -> Self {
        Self { percent: hundred(), status: Some(503), grpc_status: None }
    }
}

/// Requests that wait on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delay {
    /// How many of a hundred requests.
    #[schemars(range(max = 100))]
    #[serde(default = "hundred")]
    pub percent: u8,
    /// How long they wait.
    pub duration: Duration,
}

/// How long requests of a rule may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!(has(self.request) && has(self.backend)) || !self.request.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || \
     !self.backend.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self.request) == duration('0s') || \
     duration(self.backend) <= duration(self.request)",
    "backend is the time of one try, so it must not be longer than request, the time of all tries",
))]
pub struct RuleTimeouts {
    /// From the end of the request to the head of the response, all tries together; while a caller still sends its
    /// body, the limits for bodies hold instead. 0s: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// The same for each try. 0s: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Duration>,
}

/// A redirect; what is not given stays as it was in the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.prefix) && has(self.path))", "give at most one of prefix and path"))]
#[x_kube(validation = (
    "has(self.scheme) || has(self.host) || has(self.port) || has(self.path) || has(self.prefix)",
    "say what the redirect changes: scheme, host, port, path or prefix",
))]
pub struct Redirect {
    /// Scheme of the new address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Host of the new address.
    #[schemars(transform = limits::host)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port of the new address. Absent: that of the scheme where one is given, otherwise as before.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Stands in place of the whole path; the query stays.
    #[schemars(transform = limits::path)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Stands in place of the prefix that was matched.
    #[schemars(transform = limits::path)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Status of the answer: 301, 302, 303, 307 or 308.
    #[schemars(transform = limits::redirect_status)]
    #[serde(default = "found")]
    pub status: u16,
}

impl Default for Redirect {
    fn default() -> Self {
        Self { scheme: None, host: None, port: None, path: None, prefix: None, status: found() }
    }
}

/// Scheme of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    Http,
    /// With TLS.
    Https,
}

/// An answer that is the same for every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!has(self.body) || bytes(self.body).size() <= 4096",
    "body must not be longer than 4096 bytes",
))]
#[x_kube(validation = (
    "!(has(self.body) && size(self.body) > 0) || !(self.status in [204, 205, 304])",
    "a response with status 204, 205 or 304 has no body; remove it",
))]
pub struct Respond {
    /// Status of the answer.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Body of the answer, at most 4096 bytes. Absent: empty.
    #[schemars(length(max = 4096))]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Header `Content-Type` of the answer. Absent: `text/plain; charset=utf-8` where there is a body.
    #[schemars(length(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

fn one() -> u32 {
    1
}

fn hundred() -> u8 {
    100
}

fn found() -> u16 {
    302
}
