//! Prints a translation for people to read: defaults are left out, certificates are redacted.

use std::time::Duration;

use selvedge_common::{
    kube::{
        conditions::TargetStatus,
        translation::{Reconciler, Translate},
    },
    model::{
        Backend, BackendTarget, Endpoint, EndpointState, Listener, ListenerProtocol, PassThrough, PathMatch,
        Priority, Retry, Route, RouteSet, Severity, Timeouts, VirtualHost,
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// All that a translation says; of backends what differs from the usual one.
pub fn print<T: Translate>(reconciler: &Reconciler<T>, usual: &Backend, unreadable: &[String]) -> String {
    let problems = reconciler.problems().map(|problem| {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Value::String(format!("{severity}: {problem}"))
    });
    let statuses = reconciler.ours().iter().map(|(key, targets)| {
        let name = format!("{}/{}", key.namespace, key.name);
        match targets.is_empty() {
            true => json!(name),
            false => json!({format!("{} {name}", key.kind.name()): targets.iter().map(target_status).collect::<Vec<_>>()}),
        }
    });
    let mut all = vec![
        ("snapshot", snapshot(reconciler, usual)),
        ("statuses", statuses.collect()),
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

/// `service orders: Accepted, not ResolvedRefs (ServiceNotFound)`.
fn target_status(status: &TargetStatus) -> Value {
    let conditions = status.conditions.iter().map(|condition| match condition.holds {
        true => condition.kind.name().to_owned(),
        false => format!("not {} ({})", condition.kind.name(), condition.reason),
    });
    json!(format!("{}: {}", status.target, conditions.collect::<Vec<_>>().join(", ")))
}

fn snapshot<T: Translate>(reconciler: &Reconciler<T>, usual: &Backend) -> Value {
    let snapshot = reconciler.snapshot();
    let main = reconciler.translate().route_set();
    let routes = &snapshot.route_sets[&main];
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        if !(value.is_null() || value.as_object().is_some_and(Map::is_empty)) {
            out.insert(name.to_owned(), value);
        }
    };
    put("tracing", snapshot.tracing.as_deref().map(|tracing| json!(tracing)).unwrap_or_default());
    put("hosts", hosts(routes));
    for (set, routes) in snapshot.route_sets.iter().filter(|(set, _)| **set != main) {
        put(&format!("hosts of {set}"), hosts(routes));
    }
    put("fallback", routes.fallback.as_deref().map(route).unwrap_or_default());
    put("backends", map(&snapshot.backends, |backend| differences(&**backend, usual)));
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
    let passing = snapshot.listeners.values().find_map(|listener| listener.pass_through.as_deref());
    put("passThrough", passing.map(pass_through).unwrap_or_default());
    // Those that flags make are the same everywhere.
    let asked_for = snapshot.listeners.iter().filter(|(name, _)| !matches!(name.as_str(), "http" | "https"));
    put("listeners", map(asked_for, |made| listener(made)));
    Value::Object(out)
}

fn hosts(routes: &RouteSet) -> Value {
    let hosts = routes.hosts.iter().map(|(host, entry)| (host.to_string(), virtual_host(entry)));
    Value::Object(hosts.collect())
}

fn listener(listener: &Listener) -> Value {
    let at = listener.address.port();
    match &listener.protocol {
        ListenerProtocol::Tcp(tcp) => {
            let targets: Vec<_> = tcp.backends.iter().map(|backend| target(&backend.target)).collect();
            json!(format!("tcp {at} to {}", targets.join(", ")))
        }
        _ => {
            let passes = if listener.pass_through.is_some() { ", passing on" } else { "" };
            let fixed = listener.service_names.as_ref().and_then(|names| names.fixed.as_deref());
            json!(format!("http {at} for {}{passes}", fixed.unwrap_or("hosts")))
        }
    }
}

/// What is never reached; how it is spoken to is as the flags say.
fn pass_through(passing: &PassThrough) -> Value {
    json!({"forbidden": passing.forbidden, "forbiddenBackends": passing.forbidden_backends})
}

fn virtual_host(host: &VirtualHost) -> Value {
    let mut out = Map::new();
    if let Some(certificate) = &host.certificate {
        out.insert("certificate".into(), json!(certificate));
    }
    if let Some(verification) = &host.client_verification {
        out.insert("clientVerification".into(), json!(verification));
    }
    if let Some(passthrough) = &host.tls_passthrough {
        let targets: Vec<_> = passthrough.to.backends.iter().map(|backend| target(&backend.target)).collect();
        let mut shown = json!(passthrough);
        shown["to"] = json!(targets.join(", "));
        out.insert("tlsPassthrough".into(), shown);
    }
    if !host.routes.is_empty() {
        out.insert("routes".into(), host.routes.iter().map(|one| route(one)).collect());
    }
    Value::Object(out)
}

fn route(route: &Route) -> Value {
    let path = match &route.path {
        PathMatch::Exact(path) => format!("exact {path}"),
        PathMatch::Prefix(path) => format!("prefix {path}"),
        PathMatch::Regex(path) => format!("regex {path}"),
        PathMatch::RegexBegin(path) => format!("regex begin {path}"),
    };
    let even = route.backends.iter().all(|backend| backend.weight == 1);
    let targets = route.backends.iter().map(|backend| match even {
        true => target(&backend.target),
        false => format!("{} x{}", target(&backend.target), backend.weight),
    });
    let targets: Vec<_> = targets.collect();
    let mut out = Map::new();
    out.insert("id".into(), json!(route.id));
    out.insert("path".into(), json!(path));
    if !route.conditions.is_empty() {
        out.insert("conditions".into(), json!(route.conditions));
    }
    if route.priority != 0 {
        out.insert("priority".into(), json!(route.priority));
    }
    if route.load_priority != Priority::default() {
        out.insert("loadPriority".into(), json!(route.load_priority));
    }
    if route.rank != 0 {
        out.insert("rank".into(), json!(route.rank));
    }
    out.insert("to".into(), json!(targets.join(", ")));
    if !route.filters.is_empty() {
        out.insert("filters".into(), json!(route.filters));
    }
    let usual = Timeouts::default();
    let Timeouts { request, backend_idle, backend } = &*route.timeouts;
    let mut time = |name: &str, time: &Duration| out.insert(name.into(), json!(format!("{time:?}")));
    if *request != usual.request {
        time("requestTimeout", request);
    }
    if *backend_idle != usual.backend_idle {
        time("backendIdleTimeout", backend_idle);
    }
    if let Some(backend) = backend {
        time("backendTimeout", backend);
    }
    if *route.retry != Retry::default() {
        let mut retry = differences(&*route.retry, &Retry::default());
        if let Some(statuses) = retry.pointer_mut("/on/statuses") {
            *statuses = json!(ranges(&route.retry.on.statuses));
        }
        out.insert("retry".into(), retry);
    }
    if !route.mirrors.is_empty() {
        let mirrors = route.mirrors.iter().map(|mirror| {
            let host = mirror.host.as_ref().map(|host| format!(" as {host}")).unwrap_or_default();
            format!("{} {}%{host}", target(&mirror.target), mirror.percent)
        });
        out.insert("mirrors".into(), mirrors.collect());
    }
    if let Some(pages) = &route.error_pages {
        out.insert("errorPages".into(), json!(pages));
    }
    if route.unlogged {
        out.insert("unlogged".into(), json!(true));
    }
    if let Some(tracing) = &route.tracing {
        out.insert("tracing".into(), json!(tracing));
    }
    if let Some(rules) = &route.rules {
        out.insert("rules".into(), json!(format!("{} of {}", rules.host, rules.set)));
    }
    Value::Object(out)
}

/// Numbers in their order, those without a gap between as one: `409, 500-599`.
fn ranges(numbers: &[u16]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        run => run.iter().map(ToString::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

fn target(target: &BackendTarget) -> String {
    match target {
        BackendTarget::Backend(id) => id.to_string(),
        BackendTarget::Invalid(why) => format!("invalid {}", json!(why).as_str().unwrap_or_default()),
    }
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
