//! Translation, pure and total: Services become hosts by their names, with what RouteRules and TrafficPolicies say.

mod passing;
mod port;
mod service;

use std::collections::BTreeMap;

use selvedge_common::{
    id::{ListenerName, RouteSetId},
    kube::{
        objects::{Kind, Object},
        reader::{Reader, Unit},
        rules::{self, Defaults},
        translation::{BaseTranslation, HostTranslation, ObjectTranslation, Parts, Translate},
    },
    model::{HostMatch, Listener, VirtualHost},
};

use crate::settings::Settings;

/// Name of the one set of routes that all listeners of the router share.
pub const ROUTE_SET: &str = "router";

/// Every kind that the translation reads.
pub const KINDS: &[Kind] = &[
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::RouteRule,
    Kind::TrafficPolicy,
    Kind::RouteGrant,
    Kind::Pod,
];

/// Translates Services.
#[derive(Clone, Debug)]
pub struct Tier {
    settings: Settings,
    defaults: Defaults,
}

impl Tier {
    /// A translation with these settings.
    pub fn new(settings: Settings) -> Self {
        let defaults = Defaults {
            timeouts: settings.timeouts.clone().into(),
            retry: settings.retry.clone().into(),
            backend: settings.backend.clone(),
            hosts: ROUTE_SET.into(),
            identifies: true,
        };
        Self { settings, defaults }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn serves(&self, object: &Object) -> bool {
        self.settings.serves_namespace(object.about().namespace)
    }
}

impl Translate for Tier {
    fn route_set(&self) -> RouteSetId {
        self.defaults.hosts.clone()
    }

    fn declares(&self, object: &Object) -> Vec<Unit> {
        if !self.serves(object) {
            return Vec::new();
        }
        let mut units = rules::attached_units(object, &self.route_set());
        // Those that are left name objects; the hosts of RouteRules are the edge's to serve.
        units.retain(|unit| !matches!(unit, Unit::Host(..)));
        match object {
            Object::Service(service) => {
                units.extend(service::hosts(service).map(|(host, _)| Unit::Host(self.route_set(), host)));
                if port::is_asked_for(service) {
                    units.extend([Unit::Base, Unit::Object(object.key())]);
                }
            }
            Object::RouteRule(_) | Object::TrafficPolicy(_) => units.push(Unit::Object(object.key())),
            _ => {}
        }
        units.sort();
        units.dedup();
        units
    }

    fn translate_object(&self, reader: &Reader<'_>, object: &Object) -> ObjectTranslation {
        let mut parts = Parts::default();
        let mut cx = rules::Context::new(&self.defaults, reader, &mut parts);
        match object {
            Object::Service(service) => {
                ObjectTranslation { problems: port::problems(service), ..ObjectTranslation::default() }
            }
            Object::RouteRule(rule) if rules::is_for_hosts(rule) && rules::is_for_hosts_only(rule) => {
                ObjectTranslation::default()
            }
            Object::RouteRule(rule) => {
                rules::translate_route_rule(&mut cx, rule, (!rules::is_for_hosts_only(rule), None))
            }
            Object::TrafficPolicy(policy) => {
                rules::translate_policy(&mut cx, policy, (!rules::is_for_ingresses_only(policy), KINDS))
            }
            _ => ObjectTranslation::default(),
        }
    }

    fn translate_base(&self, reader: &Reader<'_>) -> BaseTranslation {
        let mut parts = Parts::default();
        let mut listeners: BTreeMap<ListenerName, Listener> = self.settings.listeners.clone();
        let mut cx = rules::Context::new(&self.defaults, reader, &mut parts);
        passing::allow(&mut cx, &self.settings, &mut listeners);
        let problems = port::listeners(&mut cx, &mut listeners);
        parts.problems.extend(problems);
        let tracing = self.settings.tracing.clone();
        BaseTranslation { listeners, fallback: None, tracing, parts }
    }

    fn translate_host(&self, reader: &Reader<'_>, set: &RouteSetId, host: &HostMatch) -> HostTranslation {
        let mut parts = Parts::default();
        let mut cx = rules::Context::new(&self.defaults, reader, &mut parts);
        let services = reader.declaring(&Unit::Host(set.clone(), host.clone()));
        let service = services.into_iter().find_map(|object| match object {
            Object::Service(found) => Some(found),
            _ => None,
        });
        let routes = service.map(|service| service::routes(&mut cx, service, host)).unwrap_or_default();
        let virtual_host = (!routes.is_empty()).then(|| VirtualHost::new(None, routes));
        HostTranslation { virtual_host, has_tls: false, parts }
    }
}
