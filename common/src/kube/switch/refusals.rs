//! Services that cannot be switched to the router, and why.

use k8s_openapi::api::core::v1 as core;

use super::{TWIN_OF_LABEL, TWIN_SUFFIX, VIA_LABEL};
use crate::{
    id::ObjectRef,
    kube::objects::Kind,
    model::{Problem, Severity},
};

/// Longest name of a Service.
const LONGEST_NAME: usize = 63;
/// Ports that speak TLS where nothing says what is spoken.
const TLS_PORTS: &[i32] = &[443, 8443];
/// What names of ports begin with that are no HTTP in clear text.
const FOREIGN_NAMES: &[&str] =
    &["https", "grpcs", "wss", "tls", "tcp", "postgres", "mysql", "mongo", "redis", "kafka", "amqp"];
/// What names of ports begin with that are HTTP in clear text.
const HTTP_NAMES: &[&str] = &["http", "grpc", "h2c", "ws"];

/// What speaks against switching a Service; errors refuse it.
pub(super) fn refusals(service: &core::Service) -> Vec<Problem> {
    let mut found = Found { object: object(service), problems: Vec::new() };
    found.metadata(service);
    if let Some(spec) = &service.spec {
        found.spec(spec);
        let is_only = spec.ports.as_ref().is_none_or(|ports| ports.len() < 2);
        for (index, port) in spec.ports.iter().flatten().enumerate() {
            found.port(index, port, is_only);
        }
    }
    found.problems
}

/// Whether there is an error among them.
pub(super) fn refuse(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// A reason of the kind that refuses.
pub(super) fn refusal(service: &core::Service, field: impl Into<String>, reason: &str, why: &str) -> Problem {
    Problem::error(&object(service), field, reason, told(why))
}

pub(super) fn object(service: &core::Service) -> ObjectRef {
    let metadata = &service.metadata;
    ObjectRef::new(
        Kind::Service.name(),
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

fn told(why: &str) -> String {
    format!("{why}; the Service is not switched to the router, remove its label {VIA_LABEL:?} or mend it")
}

struct Found {
    object: ObjectRef,
    problems: Vec<Problem>,
}

impl Found {
    fn refuse(&mut self, field: impl Into<String>, why: &str) {
        self.problems.push(Problem::error(&self.object, field, "NotSwitchable", told(why)));
    }

    fn metadata(&mut self, service: &core::Service) {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        if name.len() + TWIN_SUFFIX.len() > LONGEST_NAME {
            let why = format!("with {TWIN_SUFFIX:?} behind it the name would be too long for the twin");
            self.refuse("metadata.name", &why);
        }
        if service.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(TWIN_OF_LABEL)) {
            self.refuse(format!("metadata.labels[{TWIN_OF_LABEL}]"), "it is the twin of another Service");
        }
    }

    fn spec(&mut self, spec: &core::ServiceSpec) {
        match spec.type_.as_deref() {
            None | Some("" | "ClusterIP") => {}
            Some("ExternalName") => {
                self.refuse("spec.type", "an external name has no address of the cluster");
                return;
            }
            Some(_) => self.refuse(
                "spec.type",
                "clients from outside do not name the Service in the Host field, so the router would not know it",
            ),
        }
        if spec.external_ips.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
            self.refuse("spec.externalIPs", "clients from outside do not name the Service in the Host field");
        }
        if spec.cluster_ip.as_deref() == Some("None") {
            self.refuse("spec.clusterIP", "a headless Service has no address of the cluster");
        }
        let mut selected = spec.selector.iter().flatten().filter(|(key, _)| *key != VIA_LABEL);
        if selected.next().is_none() {
            self.refuse("spec.selector", "without a selector nobody makes the EndpointSlices of a twin");
        }
        if spec.internal_traffic_policy.as_deref() == Some("Local") {
            self.refuse("spec.internalTrafficPolicy", "not every node has a router");
        }
        if spec.session_affinity.as_deref() == Some("ClientIP") {
            let message = "the router chooses for each request; for affinity attach a TrafficPolicy";
            let problem =
                Problem::warning(&self.object, "spec.sessionAffinity", "AffinityLost", message.into());
            self.problems.push(problem);
        }
    }

    fn port(&mut self, index: usize, port: &core::ServicePort, is_only: bool) {
        if !matches!(port.protocol.as_deref(), None | Some("" | "TCP")) {
            self.refuse(format!("spec.ports[{index}].protocol"), "the router takes TCP only");
        }
        let name = port.name.as_deref().unwrap_or_default();
        let begins = |with: &[&str]| with.iter().any(|with| name.starts_with(with));
        match port.app_protocol.as_deref() {
            Some("http" | "kubernetes.io/ws" | "kubernetes.io/h2c" | "grpc") => {}
            None | Some("") if TLS_PORTS.contains(&port.port) || begins(FOREIGN_NAMES) => self.refuse(
                format!("spec.ports[{index}]"),
                "by its name or number it looks like TLS or another protocol than HTTP, which the router does not take \
                 here (say appProtocol: http if it is HTTP in clear text)",
            ),
            None | Some("") if is_only || begins(HTTP_NAMES) => {}
            None | Some("") => self.refuse(
                format!("spec.ports[{index}]"),
                "it is one of several and does not say that it is HTTP (say appProtocol: http, or begin its name with \
                 http, grpc, h2c or ws)",
            ),
            Some(other) => {
                let why = format!("the router cannot be called with {other:?}");
                self.refuse(format!("spec.ports[{index}].appProtocol"), &why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(spec: Value) -> Vec<(String, Severity)> {
        let service = json!({"metadata": {"name": "orders", "namespace": "shop"}, "spec": spec});
        let problems = refusals(&serde_json::from_value(service).unwrap());
        problems.into_iter().map(|problem| (problem.field, problem.severity)).collect()
    }

    fn with(key: &str, value: Value) -> Value {
        let mut spec =
            json!({"selector": {"app": "orders"}, "ports": [{"port": 80}], "clusterIP": "10.0.0.1"});
        spec[key] = value;
        spec
    }

    #[test]
    fn what_cannot_be_switched_is_refused_with_its_field() {
        let port = |fields: Value| {
            let mut port = json!({"port": 80});
            port.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            with("ports", json!([port]))
        };
        let several = |port: Value| with("ports", json!([{"name": "http", "port": 80}, port]));
        let rows = [
            (with("type", json!("ClusterIP")), None),
            (with("type", json!("ExternalName")), Some("spec.type")),
            (with("type", json!("LoadBalancer")), Some("spec.type")),
            (with("type", json!("NodePort")), Some("spec.type")),
            (with("externalIPs", json!(["192.0.2.1"])), Some("spec.externalIPs")),
            (with("clusterIP", json!("None")), Some("spec.clusterIP")),
            (with("selector", json!({})), Some("spec.selector")),
            (with("selector", json!({VIA_LABEL: "router"})), Some("spec.selector")),
            (with("internalTrafficPolicy", json!("Local")), Some("spec.internalTrafficPolicy")),
            (port(json!({"protocol": "UDP"})), Some("spec.ports[0].protocol")),
            (port(json!({"protocol": "SCTP"})), Some("spec.ports[0].protocol")),
            (port(json!({"appProtocol": "grpc"})), None),
            (port(json!({"appProtocol": "https"})), Some("spec.ports[0].appProtocol")),
            (port(json!({"appProtocol": "mysql"})), Some("spec.ports[0].appProtocol")),
            (port(json!({"name": "https"})), Some("spec.ports[0]")),
            (port(json!({"port": 443})), Some("spec.ports[0]")),
            (port(json!({"port": 443, "appProtocol": "http"})), None),
            (port(json!({"port": 8443})), Some("spec.ports[0]")),
            (port(json!({"name": "tls-web"})), Some("spec.ports[0]")),
            (port(json!({"name": "tcp"})), Some("spec.ports[0]")),
            (port(json!({"name": "postgresql"})), Some("spec.ports[0]")),
            (port(json!({"name": "mysql"})), Some("spec.ports[0]")),
            (port(json!({"name": "mongodb"})), Some("spec.ports[0]")),
            (port(json!({"name": "redis"})), Some("spec.ports[0]")),
            (port(json!({"name": "kafka"})), Some("spec.ports[0]")),
            (port(json!({"name": "amqp"})), Some("spec.ports[0]")),
            (port(json!({"name": "redis", "appProtocol": "http"})), None),
            (port(json!({"name": "web"})), None),
            (several(json!({"name": "grpc-api", "port": 81})), None),
            (several(json!({"name": "h2c", "port": 81})), None),
            (several(json!({"name": "ws", "port": 81})), None),
            (several(json!({"name": "admin", "port": 81, "appProtocol": "http"})), None),
            (several(json!({"name": "admin", "port": 81})), Some("spec.ports[1]")),
            (several(json!({"port": 81})), Some("spec.ports[1]")),
        ];
        for (spec, wanted) in rows {
            let wanted: Vec<_> =
                wanted.map(|field| (field.to_owned(), Severity::Error)).into_iter().collect();
            assert_eq!(of(spec.clone()), wanted, "{spec}");
        }
    }

    #[test]
    fn affinity_by_address_is_told_and_refuses_nothing() {
        let found = of(with("sessionAffinity", json!("ClientIP")));
        assert_eq!(found, [("spec.sessionAffinity".to_owned(), Severity::Warning)]);
    }

    #[test]
    fn twins_and_names_too_long_for_a_twin_are_refused() {
        let of = |name: String, labels: Value| {
            let service = json!({"metadata": {"name": name, "labels": labels}});
            let problems = refusals(&serde_json::from_value(service).unwrap());
            problems.into_iter().map(|problem| problem.field).collect::<Vec<_>>()
        };
        assert_eq!(of("a".repeat(56), json!({})), [""; 0]);
        assert_eq!(of("a".repeat(57), json!({})), ["metadata.name"]);
        assert_eq!(of("a".into(), json!({TWIN_OF_LABEL: "b"})), ["metadata.labels[selvedge.dev/twin-of]"]);
    }
}
