//! TrafficPolicy: how requests get to the endpoints of a Service, whatever rule sent them there.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    balance::{Affinity, Balance, SlowStart, Zone},
    connection::{BackendTls, Connection, PolicyTimeouts, ProxyProtocol},
    health::{HealthCheck, Outlier},
    limits,
    load::{CircuitBreaking, Concurrency, Priority, RateLimit},
    retry::RetryBudget,
    status::Status,
};

/// What is written in a TrafficPolicy. Each field that is absent is taken from the next less near policy: a RouteRule,
/// HTTPRoute or Ingress is nearer than a Service, a Service is nearer than its namespace. An annotation of an Ingress is
/// nearer than all of them. Nothing has a default in the object itself, as that would hide what a less near policy says.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "selvedge.dev",
    version = "v1alpha1",
    kind = "TrafficPolicy",
    plural = "trafficpolicies",
    shortname = "tp",
    category = "selvedge",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    derive = "Default",
    doc = "How requests get to the endpoints of a Service: balancing, health, limits, connections. It counts for \
           Services, routes or a whole namespace; the nearer policy wins field by field, in circuitBreaking, outlier, \
           retryBudget, timeouts, connection and zone part by part.",
    printcolumn(
        name = "Targets",
        type_ = "string",
        json_path = ".spec.targets",
        description = "For what it counts"
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
    "self.targets.all(a, self.targets.exists_one(b, a == b))",
    "targets must differ; one of them is there twice",
))]
pub struct TrafficPolicySpec {
    /// For what it counts; all in the namespace of this object.
    #[schemars(length(min = 1, max = 16))]
    pub targets: Vec<PolicyTarget>,
    /// How an endpoint is chosen. Absent: Ewma in the router, RoundRobin at the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// Keeps the requests of one client on one endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How much may be under way to one Service at once; what is above is refused at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaking: Option<CircuitBreaking>,
    /// Leaves out for a while endpoints whose answers are failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier: Option<Outlier>,
    /// Asks endpoints whether they are well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// How much may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<RetryBudget>,
    /// How many requests in a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How many requests of one caller at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Connections to endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// TLS to endpoints. Absent: plain, unless the Service's port says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTls>,
    /// Gives an endpoint that is new its full share only after a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStart>,
    /// Endpoints near by first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// Tells endpoints the client's address by the PROXY protocol, in this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How long requests and connections may take. What a rule says goes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<PolicyTimeouts>,
    /// Which requests are refused first when the router has too much to do. Absent: normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// For what a policy counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(self.kind == 'Namespace') != has(self.name)",
    "name the object; only kind Namespace has no name, as it means the namespace of this policy",
))]
#[x_kube(validation = ("!has(self.port) || self.kind == 'Service'", "port is one of a Service's; it needs kind Service"))]
pub struct PolicyTarget {
    /// Kind of the object.
    pub kind: PolicyTargetKind,
    /// Name of the object. Absent for kind Namespace, which means the namespace of this policy.
    #[schemars(transform = limits::name)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of a port of the Service. Absent: all its ports.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Kinds of objects for which a policy counts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum PolicyTargetKind {
    /// All Services of the namespace.
    Namespace,
    /// A Service.
    #[default]
    Service,
    /// A RouteRule.
    RouteRule,
    /// An HTTPRoute of Gateway API.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// An Ingress.
    Ingress,
}
