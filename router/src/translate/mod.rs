//! Translation: Services become hosts by their names, each with one route to its endpoints. Pure and total.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use selvedge_common::{
    id::{BackendId, ObjectRef, RouteId, RouteSetId},
    kube::{
        objects::{Kind, Object},
        reader::{Reader, Unit},
        service::{self, PortRef},
        translation::{BackendPart, BaseTranslation, HostTranslation, ObjectTranslation, Parts, Translate},
    },
    model::{BackendRef, BackendTarget, HostMatch, PathMatch, Problem, Route, VirtualHost},
};

use crate::settings::Settings;

/// Name of the one set of routes that all listeners of the router share.
pub const ROUTE_SET: &str = "router";

/// The port that a name without a port means, if the Service has it; else it means the first one.
const USUAL_PORT: u16 = 80;

/// Translates Services.
#[derive(Clone, Debug)]
pub struct Tier {
    settings: Settings,
}

impl Tier {
    /// A translation with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A backend with all that the settings say, and the route to it.
    fn route(&self, reader: &Reader<'_>, service: &core::Service, port: u16, parts: &mut Parts) -> Route {
        let (namespace, name) = names(service);
        let id = format!("{namespace}/{name}:{port}");
        let target = match service::find(reader, namespace, name, PortRef::Number(port.into())) {
            Ok(found) => {
                let mut backend = self.settings.backend.clone();
                backend.protocol = found.backend.protocol;
                backend.tls = found.backend.tls;
                backend.discovery = found.backend.discovery;
                let part = BackendPart { backend, endpoints: found.endpoints };
                parts.backends.insert(BackendId::new(id.clone()), part);
                parts.problems.extend(found.problem);
                BackendTarget::Backend(BackendId::new(id.clone()))
            }
            Err(fault) => {
                let message = format!("{}; requests get 503", fault.message);
                let reason = service::reason(fault.invalid);
                parts.problems.push(Problem::error(&service_ref(service), "spec", reason, message));
                BackendTarget::Invalid(fault.invalid)
            }
        };
        let backends = vec![BackendRef { target, weight: 1 }];
        Route {
            timeouts: self.settings.timeouts.clone(),
            retry: self.settings.retry.clone(),
            ..Route::new(RouteId::new(id), service_ref(service), PathMatch::Prefix("/".into()), backends)
        }
    }
}

impl Translate for Tier {
    fn route_set(&self) -> RouteSetId {
        ROUTE_SET.into()
    }

    fn declares(&self, object: &Object) -> Vec<Unit> {
        let Object::Service(service) = object else { return Vec::new() };
        let (namespace, _) = names(service);
        if !self.settings.serves_namespace(namespace) {
            return Vec::new();
        }
        hosts(service).map(|(host, _)| Unit::Host(self.route_set(), host)).collect()
    }

    fn translate_object(&self, _: &Reader<'_>, _: &Object) -> ObjectTranslation {
        ObjectTranslation::default()
    }

    fn translate_base(&self, _: &Reader<'_>) -> BaseTranslation {
        BaseTranslation { listeners: self.settings.listeners.clone(), ..BaseTranslation::default() }
    }

    fn translate_host(&self, reader: &Reader<'_>, set: &RouteSetId, host: &HostMatch) -> HostTranslation {
        let mut parts = Parts::default();
        let mut routes = Vec::new();
        for object in reader.declaring(&Unit::Host(set.clone(), host.clone())) {
            let Object::Service(service) = object else { continue };
            let ports = hosts(service).filter(|(declared, _)| declared == host).map(|(_, port)| port);
            routes.extend(ports.map(|port| self.route(reader, service, port, &mut parts)));
        }
        let virtual_host = (!routes.is_empty()).then_some(VirtualHost { certificate: None, routes });
        HostTranslation { virtual_host, has_tls: false, parts }
    }
}

/// The hosts of a Service, each with its port: `orders.shop` and `orders.shop:8080`.
fn hosts(service: &core::Service) -> impl Iterator<Item = (HostMatch, u16)> {
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

fn names(service: &core::Service) -> (&str, &str) {
    let metadata = &service.metadata;
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn service_ref(service: &core::Service) -> ObjectRef {
    let (namespace, name) = names(service);
    ObjectRef::new(Kind::Service.name(), namespace, name)
}
