//! Services: their names as hosts, and the routes of each.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use selvedge_common::{
    id::{ObjectRef, RouteId},
    kube::{
        objects::Kind,
        rules::{self, BackendName, Context, Rules},
        service,
    },
    model::{BackendRef, BackendTarget, HostMatch, PathMatch, Problem, Route},
};

/// The port that a name without a port means, if the Service has it; else it means the first one.
const USUAL_PORT: u16 = 80;

/// The hosts of a Service, each with its port: `orders.shop` and `orders.shop:8080`.
pub(super) fn hosts(service: &core::Service) -> impl Iterator<Item = (HostMatch, u16)> {
    let (namespace, name) = names(service);
    let base = format!("{name}.{namespace}");
    let mut ports: Vec<_> = service::tcp_ports(service).collect();
    let usual = ports.iter().find(|port| **port == USUAL_PORT).or(ports.first()).copied();
    ports.sort_unstable();
    ports.dedup();
    let exact = |name: String| HostMatch::Exact(Arc::from(name));
    let plain = usual.map(|port| (exact(base.clone()), port));
    plain.into_iter().chain(ports.into_iter().map(move |port| (exact(format!("{base}:{port}")), port)))
}

/// The routes of one host of a Service: those of its rules, and last the one to the Service itself.
pub(super) fn routes(cx: &mut Context<'_, '_>, service: &core::Service, host: &HostMatch) -> Vec<Route> {
    let (namespace, name) = names(service);
    let Some((_, port)) = hosts(service).find(|(declared, _)| declared == host) else { return Vec::new() };
    let target = BackendName { namespace, service: name, port: Some(port) };
    let mut routes = rules::of_service(cx, &Rules { service: target, is_limited: false });
    routes.push(plain(cx, service, target));
    routes
}

/// The route of a Service without a rule: everything to its endpoints. It comes after every rule.
fn plain(cx: &mut Context<'_, '_>, service: &core::Service, name: BackendName<'_>) -> Route {
    let object = service_ref(service);
    let (target, policy) = match rules::resolve(cx, name, None) {
        Ok((id, policy)) => (BackendTarget::Backend(id), policy),
        Err(fault) => {
            let message = format!("{}; requests get 503", fault.message);
            let problem = Problem::error(&object, "spec", service::reason(fault.invalid), message);
            cx.parts.problems.push(problem);
            (BackendTarget::Invalid(fault.invalid), rules::Policy::default())
        }
    };
    let id = format!("{}/{}:{}", name.namespace, name.service, name.port.unwrap_or_default());
    let backends = vec![BackendRef { target, weight: 1 }];
    let everything = PathMatch::Prefix("/".into());
    let mut route = Route::new(RouteId::new(id), object, everything, backends);
    route.priority = i32::MIN;
    rules::finish(cx, &policy, (&name.to_string(), &mut route));
    route
}

pub(super) fn names(service: &core::Service) -> (&str, &str) {
    let metadata = &service.metadata;
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

pub(super) fn service_ref(service: &core::Service) -> ObjectRef {
    let (namespace, name) = names(service);
    ObjectRef::new(Kind::Service.name(), namespace, name)
}
