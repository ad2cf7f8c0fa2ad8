//! Prints a translation for people to read: defaults are left out, certificates are redacted.

use selvedge_common::{
    kube::translation::Reconciler,
    model::{
        Backend, BackendRef, BackendTarget, Endpoint, EndpointState, PathMatch, Route, Severity, Timeouts,
        VirtualHost,
    },
};
use selvedge_ingress::translate::Edge;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// All that a translation says.
pub fn print(reconciler: &Reconciler<Edge>, unreadable: &[String]) -> String {
    let problems = reconciler.problems().map(|problem| {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Value::String(format!("{severity}: {problem}"))
    });
    let mut all = vec![
        ("snapshot", snapshot(reconciler)),
        (
            "statuses",
            reconciler.ours().keys().map(|key| json!(format!("{}/{}", key.namespace, key.name))).collect(),
        ),
        ("problems", problems.collect()),
    ];
    if !unreadable.is_empty() {
        all.push(("unreadable", json!(unreadable)));
    }
    let mut text = String::new();
    for (name, value) in all {
        let one: Map<_, _> = [(name.to_owned(), value)].into_iter().collect();
        text += &serde_saphyr::to_string(&one).expect("plain values can be written");
    }
    text
}

fn snapshot(reconciler: &Reconciler<Edge>) -> Value {
    let snapshot = reconciler.snapshot();
    let routes = snapshot.route_sets.values().next().expect("there is a route set");
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        if !(value.is_null() || value.as_object().is_some_and(Map::is_empty)) {
            out.insert(name.to_owned(), value);
        }
    };
    let hosts = routes.hosts.iter().map(|(host, entry)| (host.to_string(), virtual_host(entry)));
    put("hosts", Value::Object(hosts.collect()));
    put("fallback", routes.fallback.as_deref().map(route).unwrap_or_default());
    put("backends", map(&snapshot.backends, |backend| differences(&**backend, &Backend::default())));
    put("endpoints", map(reconciler.endpoints(), |endpoints| endpoints.iter().map(endpoint).collect()));
    let certificates = map(&snapshot.certificates, |certificate| {
        match (certificate.chain_pem.is_empty(), certificate.key_pem.is_empty()) {
            (false, false) => json!("chain and key redacted"),
            (true, _) => json!("no chain"),
            (_, true) => json!("no key"),
        }
    });
    put("certificates", certificates);
    let default = snapshot.listeners.values().find_map(|listener| listener.default_certificate.clone());
    put("defaultCertificate", json!(default));
    Value::Object(out)
}

fn virtual_host(host: &VirtualHost) -> Value {
    let mut out = Map::new();
    if let Some(certificate) = &host.certificate {
        out.insert("certificate".into(), json!(certificate));
    }
    if !host.routes.is_empty() {
        out.insert("routes".into(), host.routes.iter().map(route).collect());
    }
    Value::Object(out)
}

fn route(route: &Route) -> Value {
    let path = match &route.path {
        PathMatch::Exact(path) => format!("exact {path}"),
        PathMatch::Prefix(path) => format!("prefix {path}"),
        PathMatch::Regex(path) => format!("regex {path}"),
    };
    let target = |backend: &BackendRef| match &backend.target {
        BackendTarget::Backend(id) => id.to_string(),
        BackendTarget::Invalid(why) => format!("invalid {}", json!(why).as_str().unwrap_or_default()),
    };
    let targets: Vec<_> = route.backends.iter().map(target).collect();
    let mut out = Map::new();
    out.insert("id".into(), json!(route.id));
    out.insert("path".into(), json!(path));
    if !route.conditions.is_empty() {
        out.insert("conditions".into(), json!(route.conditions));
    }
    if route.priority != 0 {
        out.insert("priority".into(), json!(route.priority));
    }
    if route.rank != 0 {
        out.insert("rank".into(), json!(route.rank));
    }
    out.insert("to".into(), json!(targets.join(", ")));
    if !route.filters.is_empty() {
        out.insert("filters".into(), json!(route.filters));
    }
    let timeouts = Timeouts::default();
    if route.timeouts.request != timeouts.request {
        out.insert("requestTimeout".into(), json!(format!("{:?}", route.timeouts.request)));
    }
    if route.timeouts.backend_idle != timeouts.backend_idle {
        out.insert("backendIdleTimeout".into(), json!(format!("{:?}", route.timeouts.backend_idle)));
    }
    Value::Object(out)
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let mut text = endpoint.address.to_string();
    if endpoint.state == EndpointState::Draining {
        text += " draining";
    }
    if let Some(zone) = &endpoint.zone {
        text += &format!(" in {zone}");
    }
    json!(text)
}

fn map<'a, K: ToString + 'a, V: 'a>(
    entries: impl IntoIterator<Item = (&'a K, &'a V)>,
    print: impl Fn(&V) -> Value,
) -> Value {
    Value::Object(entries.into_iter().map(|(key, value)| (key.to_string(), print(value))).collect())
}

/// The fields that differ from the default.
fn differences<T: Serialize>(value: &T, default: &T) -> Value {
    let (mut value, default) = (json!(value), json!(default));
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, field| default.get(name) != Some(field));
    }
    value
}
