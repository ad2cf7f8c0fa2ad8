//! Backends: what an Ingress refers to becomes a backend of the snapshot, or a reason why not.

use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::util::intstr::IntOrString};
use selvedge_common::{
    filter::Filter,
    kube::{
        ingress::IngressBackend,
        rules::{self, BackendName, Near, Policy, Rules, Way},
        service::{self, FoundPort, PortRef, ServiceFault, ServicePart},
    },
    model::{BackendTarget, HostMatch, InvalidBackend, Problem, Route, RulesRef},
};

use super::{Context, RouteDraft, SERVICE_SET, Via, ingress_ref, namespace, upstream, via};

/// Why a backend does not resolve: the field of the Ingress, and what it is for the proxy and for people.
#[derive(Debug)]
pub(super) struct BackendFault {
    pub field: String,
    pub reason: &'static str,
    pub invalid: InvalidBackend,
    pub message: String,
}

/// Where a route leads, and what that means for it.
pub(super) struct Led {
    pub target: BackendTarget,
    /// What policies say of its requests, the nearest first.
    pub policy: Policy,
    /// What a limit of the rate counts together; empty where there is none.
    pub limited: String,
    pub filters: Vec<Filter>,
    /// Rules of the Service that decide instead.
    pub rules: Option<RulesRef>,
}

/// Resolves the backend of a route; what is wrong is told to the owner of the Ingress.
pub(super) fn resolve(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>) -> Led {
    let near = Near::of(&mut cx.rules(), ingress_ref(draft.ingress));
    let found = service_of(draft).and_then(|(service, port)| find(cx, draft, service, port));
    match found.and_then(|(name, found)| lead(cx, draft, (name, found), &near)) {
        Ok(led) => led,
        Err(BackendFault { field, reason, invalid, message }) => {
            let is_canary = !std::ptr::eq(draft.ingress, draft.speaker);
            let follows = if is_canary { "the main Service gets all requests" } else { "requests get 503" };
            let message = format!("{message}; {follows}");
            cx.parts.problems.push(Problem::error(&ingress_ref(draft.ingress), field, reason, message));
            let limited = limited(draft, None, (&near, &near.policy));
            let target = BackendTarget::Invalid(invalid);
            Led { target, limited, policy: near.policy, filters: Vec::new(), rules: None }
        }
    }
}

fn service_of<'a>(draft: &RouteDraft<'a>) -> Result<(&'a str, PortRef<'a>), BackendFault> {
    let fault = |field: &str, invalid, message: &str| {
        let (field, message) = (format!("{}{field}", draft.field), message.to_owned());
        Err(BackendFault { field, reason: service::reason(invalid), invalid, message })
    };
    let malformed = |field, message| fault(field, InvalidBackend::Malformed, message);
    let backend: &IngressBackend = draft.backend;
    let service = match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => return malformed("", "it has both service and resource, but must have one"),
        (None, None) => return malformed("", "it has no service"),
        (None, Some(_)) => {
            let message = "resource backends are not supported: use a service";
            return fault(".resource", InvalidBackend::UnsupportedResource, message);
        }
        (Some(service), None) => service,
    };
    if service.name.is_empty() {
        return malformed(".service.name", "the name of the Service is missing");
    }
    let port = service.port.as_ref();
    let name = port.and_then(|port| port.name.as_deref()).filter(|name| !name.is_empty());
    match (name, port.and_then(|port| port.number).filter(|number| *number != 0)) {
        (Some(name), None) => Ok((&*service.name, PortRef::Name(name))),
        (None, Some(number)) => Ok((&*service.name, PortRef::Number(number))),
        (None, None) => malformed(".service.port", "the port is missing: give its name or its number"),
        (Some(_), Some(_)) => {
            malformed(".service.port", "the port has both a name and a number, but must have one")
        }
    }
}

fn find<'a>(
    cx: &Context<'_, '_>,
    draft: &RouteDraft<'a>,
    service: &'a str,
    port: PortRef<'_>,
) -> Result<(BackendName<'a>, FoundPort), BackendFault> {
    let namespace = namespace(draft.ingress);
    let port = if draft.adopted { declared(cx, (namespace, service), port) } else { port };
    let found = service::find(cx.reader, namespace, service, port).map_err(|fault| {
        let ServiceFault { part, invalid, message } = fault;
        let part = match part {
            ServicePart::Name => ".service.name",
            ServicePart::Port => ".service.port",
        };
        let field = format!("{}{part}", draft.field);
        BackendFault { field, reason: service::reason(invalid), invalid, message }
    })?;
    Ok((BackendName { namespace, service, port: Some(found.port) }, found))
}

/// ingress-nginx: a number that no port of the Service has may be the one where its endpoints listen.
fn declared<'p>(
    cx: &Context<'_, '_>,
    (namespace, service): (&str, &str),
    wanted: PortRef<'p>,
) -> PortRef<'p> {
    let PortRef::Number(number) = wanted else { return wanted };
    let found = cx.reader.service(namespace, service).and_then(|found| found.spec.as_ref());
    let ports = found.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let leads_there = |port: &&core::ServicePort| port.target_port == Some(IntOrString::Int(number));
    match ports.iter().find(leads_there).filter(|_| ports.iter().all(|port| port.port != number)) {
        Some(port) => PortRef::Number(port.port),
        None => wanted,
    }
}

/// Leads a route to a Service that was found, or to the router for it.
fn lead(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
    (name, found): (BackendName<'_>, FoundPort),
    near: &Near,
) -> Result<Led, BackendFault> {
    let router = match via::choose(cx, draft, name) {
        Via::Direct => None,
        Via::Router => via::router(cx, draft, found.backend.protocol)?,
    };
    let Some((id, of_router)) = router else {
        let way = Way { near: Some(near), balance: draft.balance.as_ref(), protocol: None };
        let (id, policy) = rules::make(&mut cx.rules(), (name, found), way);
        let id = upstream::adjust(cx, draft, name, id);
        let rules = rules::has_rules_for(&cx.rules(), name).then(|| lead_on(cx, name));
        let limited = limited(draft, Some(name), (near, &policy));
        return Ok(Led { target: BackendTarget::Backend(id), policy, limited, filters: Vec::new(), rules });
    };
    // The router waits as long as these say, so the edge must not give up before.
    let of_service = Policy::of_service(&mut cx.rules(), name.namespace, name.service, found.port);
    let policy = near.policy.clone().or(of_service.times()).or(of_router.times());
    let limited = limited(draft, Some(name), (near, &policy));
    let filters = vec![via::tell(draft, name)?];
    cx.parts.problems.extend(found.problem);
    Ok(Led { target: BackendTarget::Backend(id), policy, limited, filters, rules: None })
}

/// The rules of a port of a Service, which are translated as long as a route leads there.
fn lead_on(cx: &mut Context<'_, '_>, name: BackendName<'_>) -> RulesRef {
    let host = format!("{name}:{}", name.port.unwrap_or_default());
    let rules = RulesRef { set: SERVICE_SET.into(), host: HostMatch::Exact(host.into()) };
    cx.parts.inner_hosts.insert((rules.set.clone(), rules.host.clone()));
    rules
}

/// The routes of the rules that [`lead_on`] leads to, by the name that it gives them.
pub(super) fn rules_of(cx: &mut Context<'_, '_>, host: &HostMatch) -> Vec<Route> {
    let HostMatch::Exact(name) = host else { return Vec::new() };
    let parts = name.split_once('/').and_then(|(namespace, rest)| {
        let (service, port) = rest.rsplit_once(':')?;
        Some(BackendName { namespace, service, port: Some(port.parse().ok()?) })
    });
    let rules = parts.map(|service| Rules { service, is_limited: true });
    rules.map(|rules| rules::of_service(&mut cx.rules(), &rules)).unwrap_or_default()
}

/// What a limit of the rate counts together: the requests to the Service, or those of the Ingress if its own policy
/// sets the limit.
fn limited(
    draft: &RouteDraft<'_>,
    name: Option<BackendName<'_>>,
    (near, policy): (&Near, &Policy),
) -> String {
    match name {
        _ if !policy.limits_rate() => String::new(),
        Some(name) if !near.policy.limits_rate() => name.to_string(),
        _ => ingress_ref(draft.ingress).to_string(),
    }
}
