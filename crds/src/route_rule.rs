//! RouteRule: for which Service or host it counts, what requests it matches, and what becomes of them.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Backend, Fault, HeaderChanges, Mirror, Redirect, Respond, Rewrite, RuleTimeouts},
    limits,
    request_match::RequestMatch,
    retry::Retry,
    status::Status,
};

/// What is written in a RouteRule.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "selvedge.dev",
    version = "v1alpha1",
    kind = "RouteRule",
    plural = "routerules",
    shortname = "rr",
    category = "selvedge",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    derive = "Default",
    doc = "Rules for requests to a Service or a host: what they match and where they go. They count in the router \
           for Services, and at the edge for hosts and for Services that an Ingress leads to.",
    printcolumn(
        name = "Targets",
        type_ = "string",
        json_path = ".spec.targets",
        description = "For what it counts"
    ),
    printcolumn(
        name = "Priority",
        type_ = "integer",
        json_path = ".spec.priority",
        description = "Higher goes first"
    ),
    printcolumn(
        name = "Router",
        type_ = "string",
        json_path = ".status.controllers[?(@.name==\"selvedge.dev/router\")].accepted",
        description = "For how many of its targets the router accepts it"
    ),
    printcolumn(
        name = "Edge",
        type_ = "string",
        json_path = ".status.controllers[?(@.name==\"selvedge.dev/ingress\")].accepted",
        description = "For how many of its targets the edge accepts it"
    ),
    printcolumn(
        name = "Router Problems",
        type_ = "string",
        json_path = ".status.controllers[?(@.name==\"selvedge.dev/router\")].problems",
        description = "What is wrong, as the router sees it",
        priority = 1
    ),
    printcolumn(
        name = "Edge Problems",
        type_ = "string",
        json_path = ".status.controllers[?(@.name==\"selvedge.dev/ingress\")].problems",
        description = "What is wrong, as the edge sees it",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!self.targets.exists(t, has(t.host)) || \
     self.rules.all(r, has(r.backends) || has(r.redirect) || has(r.respond))",
    "a host has no endpoints of its own: with a target host, each of the rules needs backends, redirect or respond",
))]
#[x_kube(validation = (
    "self.rules.all(a, !has(a.name) || self.rules.exists_one(b, has(b.name) && b.name == a.name))",
    "names of rules must differ; two of the rules have the same name",
))]
#[x_kube(validation = (
    "self.targets.all(a, self.targets.exists_one(b, a == b))",
    "targets must differ; one of them is there twice",
))]
pub struct RouteRuleSpec {
    /// For which Services of this namespace, or for which hosts, the rules count. A host belongs to the namespaces of
    /// the Ingresses that name it, or if there are none to that of the oldest RouteRule; those of others have no effect.
    /// For a host the policies of a Service count where a rule sends to that one only: its rate limit, timeouts and
    /// priority.
    #[schemars(length(min = 1, max = 16))]
    pub targets: Vec<RouteTarget>,
    /// Which RouteRule goes first where several count for the same target: the one with the higher number. Of equal
    /// ones the oldest goes first, then the one whose namespace and name come first in the alphabet. At a host the paths
    /// of Ingresses take part with priority 0: of equal priority the more specific path goes first, of equal paths the
    /// one with further conditions, and where nothing else differs the older object.
    #[schemars(range(min = -1000, max = 1000))]
    #[serde(default)]
    pub priority: i32,
    /// The rules; within one RouteRule the most specific match wins, and of equal ones the first.
    #[schemars(length(min = 1, max = 64))]
    pub rules: Vec<RequestRule>,
}

/// A Service or a host for which rules count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.service) != has(self.host)", "name exactly one of service and host"))]
#[x_kube(validation = ("!has(self.port) || has(self.service)", "port is one of a Service's; it needs service"))]
pub struct RouteTarget {
    /// Name of a Service of this namespace.
    #[schemars(transform = limits::label)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Number of a port of the Service. Absent: all its ports.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A host that clients ask the edge for, such as `api.example.com`, or `*.example.com` for all with one label before
    /// it. The router does not serve it.
    #[schemars(transform = limits::host_or_wildcard)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// One rule: which requests it is for, and what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.backends), has(self.redirect), has(self.respond)].filter(one, one).size() <= 1",
    "a rule has at most one of backends, redirect and respond",
))]
#[x_kube(validation = (
    "!(has(self.redirect) || has(self.respond)) || !(has(self.mirror) || has(self.retry) || has(self.rewrite))",
    "redirect and respond send nothing to a backend: remove mirror, retry and rewrite",
))]
#[x_kube(validation = (
    "!has(self.backends) || self.backends.exists(b, !has(b.weight) || b.weight > 0)",
    "at least one of the backends needs a weight above 0",
))]
#[x_kube(validation = (
    "!((has(self.rewrite) && has(self.rewrite.prefix)) || (has(self.redirect) && has(self.redirect.prefix))) || \
     !has(self.matches) || self.matches.all(m, !has(m.path) || has(m.path.prefix))",
    "a prefix can only be replaced where one is matched: write path.prefix in each of the matches, or replace the \
     whole path by path",
))]
pub struct RequestRule {
    /// A name for metrics, logs and messages; must differ from those of the other rules.
    #[schemars(transform = limits::label)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which requests the rule is for: those that fit one of these. Absent or empty: all.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RequestMatch>,
    /// Changes path and host of the request before it goes to a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Changes headers of the request before it goes to a backend, and of the response before it goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<HeaderChanges>,
    /// Where requests go, shared out by weight. Absent: to the Service that is the target.
    #[schemars(length(min = 1, max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
    /// Services that get a copy of requests; what they answer is thrown away and nobody waits for it.
    #[schemars(length(max = 4))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirror: Vec<Mirror>,
    /// Faults made on purpose, to see how callers bear them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// How long requests may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RuleTimeouts>,
    /// Which requests are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Answers with a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Answers itself, with a fixed status and body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
}
