//! Translation: Ingresses and what they refer to become hosts, routes and backends. Pure and total.

mod backend;
mod canary;
mod client_certificates;
mod conflict;
mod draft;
mod error_service;
mod extras;
mod globals;
mod host;
mod host_rules;
mod more_hosts;
mod parameters;
mod passthrough;
mod path;
pub(crate) mod pattern;
mod protection;
mod root;
mod rule;
mod said;
mod status;
mod tcp_services;
mod tls;
mod traces;
mod upstream;
mod via;

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use selvedge_common::{
    id::{ObjectRef, RouteSetId},
    kube::{
        ingress::{Ingress, IngressMetadata, IngressRule, IngressSpec, IngressTls},
        objects::{Kind, Object, ObjectKey},
        reader::{Reader, Unit},
        rules::{self, CALLER_UNKNOWN, Defaults},
        translation::{BaseTranslation, HostTranslation, ObjectTranslation, Parts, Translate},
    },
    model::{HostMatch, ListenerProtocol, Route, VirtualHost},
};

pub use canary::CanaryDraft;
pub use draft::RouteDraft;
pub use error_service::ErrorDraft;
pub use extras::MirrorDraft;
pub use globals::missing_config_maps;
pub(crate) use globals::with_names;
pub(crate) use more_hosts::declared as hosts_beside_rules;
pub use protection::{AskDraft, PasswordDraft};
pub use said::Said;
pub(crate) use selvedge_common::kube::near;
pub use traces::TracingDraft;
pub use upstream::{TlsDraft, UpstreamDraft};
pub use via::Via;

use crate::{
    annotations::{NGINX_PREFIX, PREFIX},
    class,
    globals::Globals,
    settings::Settings,
};

/// Name of the one set of routes that all listeners of the edge share.
pub const ROUTE_SET: &str = "edge";

/// Name of the set of the rules of Services that routes of the edge lead to. Its hosts are named as backends are:
/// `shop/orders:80`.
pub const SERVICE_SET: &str = "services";

/// Every kind that the translation reads.
pub const KINDS: &[Kind] = &[
    Kind::Ingress,
    Kind::IngressClass,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::RouteRule,
    Kind::TrafficPolicy,
    Kind::RouteGrant,
    Kind::EdgeParameters,
];

/// Translates Ingresses, with what RouteRules and TrafficPolicies say.
#[derive(Clone, Debug)]
pub struct Edge {
    settings: Settings,
    defaults: Defaults,
}

/// What a unit is translated with: where to read, and what is gathered.
pub(crate) struct Context<'a, 'r> {
    settings: &'a Settings,
    defaults: &'a Defaults,
    reader: &'a Reader<'r>,
    parts: Parts,
    /// The Ingress that was looked at last, and what it says.
    last_said: Option<(&'r Ingress, Arc<Said>)>,
    /// What counts for all Ingresses of a class that was looked at, by whether it was adopted and by its name.
    globals: BTreeMap<(bool, &'r str), Arc<Globals>>,
}

impl Edge {
    /// A translation with these settings.
    pub fn new(settings: Settings) -> Self {
        let defaults = Defaults {
            timeouts: settings.timeouts.clone().into(),
            retry: settings.retry.clone().into(),
            backend: settings.backend.clone(),
            hosts: ROUTE_SET.into(),
            identifies: false,
        };
        Self { settings, defaults }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn context<'a, 'r>(&'a self, reader: &'a Reader<'r>) -> Context<'a, 'r> {
        let parts = Parts::default();
        Context {
            settings: &self.settings,
            defaults: &self.defaults,
            reader,
            parts,
            last_said: None,
            globals: BTreeMap::new(),
        }
    }
}

impl Translate for Edge {
    fn route_set(&self) -> RouteSetId {
        self.defaults.hosts.clone()
    }

    fn inner_route_sets(&self) -> Vec<RouteSetId> {
        vec![SERVICE_SET.into()]
    }

    fn declares(&self, object: &Object) -> Vec<Unit> {
        let namespace = object.about().namespace;
        if object.kind().is_namespaced() && !self.settings.serves_namespace(namespace) {
            return Vec::new();
        }
        let mut units = match object {
            Object::IngressClass(_) | Object::EdgeParameters(_) => Vec::new(),
            Object::ConfigMap(_) if globals::is_global(&self.settings, object) => Vec::new(),
            Object::Ingress(ingress) => self.declared_by(ingress),
            Object::RouteRule(_) | Object::TrafficPolicy(_) => {
                rules::attached_units(object, &self.route_set())
            }
            _ => return Vec::new(),
        };
        units.push(Unit::Object(object.key()));
        units.sort();
        units.dedup();
        units
    }

    fn translate_object(&self, reader: &Reader<'_>, object: &Object) -> ObjectTranslation {
        match object {
            Object::Ingress(ingress) => status::translate(&self.settings, reader, ingress),
            Object::IngressClass(class) => {
                let problems = parameters::problem(&self.settings, reader, class).into_iter().collect();
                ObjectTranslation { problems, ..ObjectTranslation::default() }
            }
            Object::EdgeParameters(parameters) => parameters::translate(&self.settings, reader, parameters),
            Object::ConfigMap(_) => {
                let problems = globals::problems(&self.settings, reader);
                ObjectTranslation { problems, ..ObjectTranslation::default() }
            }
            Object::RouteRule(rule) => {
                let mut cx = self.context(reader);
                let hosts = OfIngresses { edge: self, reader };
                // Those of Services alone are the router's, whether or not an Ingress leads there.
                let ours = rules::is_for_hosts(rule);
                let mut said = rules::translate_route_rule(&mut cx.rules(), rule, (ours, Some(&hosts)));
                // There callers are known.
                said.problems.retain(|problem| ours || problem.reason != CALLER_UNKNOWN);
                said
            }
            Object::TrafficPolicy(policy) => {
                let mut cx = self.context(reader);
                rules::translate_policy(&mut cx.rules(), policy, (rules::is_for_ingresses(policy), KINDS))
            }
            _ => ObjectTranslation::default(),
        }
    }

    fn translate_base(&self, reader: &Reader<'_>) -> BaseTranslation {
        let mut cx = self.context(reader);
        let default_certificate = tls::default_certificate(&mut cx);
        let globals = cx.globals(true, None);
        let listeners = self.settings.listeners.iter().map(|(name, listener)| {
            let mut listener = listener.clone();
            listener.routes = self.route_set();
            globals.listener.apply(&mut listener);
            if listener.protocol == ListenerProtocol::Https {
                listener.default_certificate = default_certificate.clone();
            }
            (name.clone(), listener)
        });
        let mut listeners = listeners.collect();
        tcp_services::add(&mut cx, &mut listeners);
        let fallback = conflict::fallback(&mut cx);
        let tracing = globals.traces.over(self.settings.tracing.as_ref());
        BaseTranslation { listeners, fallback, tracing, parts: cx.parts }
    }

    fn translate_host(&self, reader: &Reader<'_>, set: &RouteSetId, host: &HostMatch) -> HostTranslation {
        let mut cx = self.context(reader);
        if *set != self.route_set() {
            let routes = backend::rules_of(&mut cx, host);
            let virtual_host = (!routes.is_empty()).then(|| VirtualHost::new(None, routes));
            return HostTranslation { virtual_host, has_tls: false, parts: cx.parts };
        }
        let ingresses = cx.ours(&Unit::Host(set.clone(), host.clone()));
        if ingresses.iter().any(|ingress| rules(ingress).iter().any(|rule| host::is_of_rule(rule, host))) {
            more_hosts::tell_taken(&mut cx, &ingresses, host);
        } else if let Some(translation) = more_hosts::translate(&mut cx, &ingresses, host) {
            return translation;
        }
        let certificate = tls::certificate(&mut cx, &ingresses, host);
        let has_tls = tls::is_offered(&ingresses, host);
        let drafts = rule::drafts(&mut cx, &ingresses, host);
        let mut routes = host_rules::routes(&mut cx, host, drafts);
        routes.extend(root::nothing_else(&mut cx, (&ingresses, host), &routes));
        let mut made = VirtualHost::new(certificate, routes);
        client_certificates::ask(&mut cx, (&ingresses, host), &mut made);
        passthrough::pass(&mut cx, (&ingresses, host), &mut made);
        let useful = made.certificate.is_some() || !made.routes.is_empty() || made.tls_passthrough.is_some();
        let virtual_host = useful.then_some(made);
        HostTranslation { virtual_host, has_tls, parts: cx.parts }
    }
}

impl Edge {
    /// The units that an Ingress has a say in beside its own.
    fn declared_by(&self, ingress: &Ingress) -> Vec<Unit> {
        let hosts = host::named(ingress).map(|host| Unit::Host(self.route_set(), host));
        let has_default = spec(ingress).is_some_and(|spec| spec.default_backend.is_some());
        let more = more_hosts::declared(ingress).into_iter().map(|host| Unit::Host(self.route_set(), host));
        hosts.chain(more).chain(has_default.then_some(Unit::Base)).collect()
    }
}

/// What Ingresses say about hosts, for RouteRules.
struct OfIngresses<'e, 'r> {
    edge: &'e Edge,
    reader: &'e Reader<'r>,
}

impl<'r> rules::Hosts<'r> for OfIngresses<'_, 'r> {
    fn owners(&self, host: &HostMatch) -> Vec<&'r str> {
        self.edge.context(self.reader).owners(host)
    }

    fn taken(&self, rule: &ObjectMeta, host: &HostMatch, routes: &[&Route]) -> Vec<(usize, ObjectRef)> {
        // What is gathered there is the matter of the host.
        let mut cx = self.edge.context(self.reader);
        let ingresses = cx.ours(&Unit::Host(ROUTE_SET.into(), host.clone()));
        host_rules::taken(&rule::drafts(&mut cx, &ingresses, host), rule, routes)
    }
}

impl<'r> Context<'_, 'r> {
    /// The same for rules and policies. What is wrong with them is told for themselves, so it is not gathered here.
    fn rules(&mut self) -> rules::Context<'_, 'r> {
        rules::Context::new(self.defaults, self.reader, &mut self.parts)
    }

    /// The namespaces of the Ingresses of ours that name a host: whose RouteRules count there.
    fn owners(&self, host: &HostMatch) -> Vec<&'r str> {
        let ingresses = self.ours(&Unit::Host(ROUTE_SET.into(), host.clone()));
        // Another name that an annotation gives makes nobody an owner.
        ingresses
            .into_iter()
            .filter(|ingress| host::names(ingress, host))
            .map(|ingress| namespace(ingress))
            .collect()
    }

    /// The Ingresses of ours that declare a unit, the one that wins conflicts first.
    fn ours(&self, unit: &Unit) -> Vec<&'r Arc<Ingress>> {
        let declaring = self.reader.declaring(unit).filter_map(|object| match object {
            Object::Ingress(ingress) => Some(ingress),
            _ => None,
        });
        let selected = declaring.filter_map(|ingress| {
            let selection = class::select(self.settings, self.reader, ingress);
            selection.ours.then_some((ingress, selection.adopted))
        });
        let mut ours: Vec<_> = selected.collect();
        ours.sort_by(|(a, adopted), (b, other)| conflict::order((a, *adopted), (b, *other)));
        ours.into_iter().map(|(ingress, _)| ingress).collect()
    }
}

/// A reference to an Ingress, for problems and routes.
pub(crate) fn ingress_ref(ingress: &Ingress) -> ObjectRef {
    let IngressMetadata { namespace, name, .. } = &ingress.metadata;
    ObjectKey { kind: Kind::Ingress, namespace: namespace.clone(), name: name.clone() }.to_ref()
}

fn namespace(ingress: &Ingress) -> &str {
    &ingress.metadata.namespace
}

fn name(ingress: &Ingress) -> &str {
    &ingress.metadata.name
}

fn spec(ingress: &Ingress) -> Option<&IngressSpec> {
    ingress.spec.as_ref()
}

fn rules(ingress: &Ingress) -> &[IngressRule] {
    spec(ingress).map(|spec| &*spec.rules).unwrap_or_default()
}

fn tls(ingress: &Ingress) -> &[IngressTls] {
    spec(ingress).map(|spec| &*spec.tls).unwrap_or_default()
}

/// The field of an Ingress that an annotation is, under the prefix that it has there.
fn annotation_field(ingress: &Ingress, key: &str) -> String {
    let (ours, theirs) = (format!("{PREFIX}{key}"), format!("{NGINX_PREFIX}{key}"));
    let annotations = &ingress.metadata.annotations;
    match (annotations.contains_key(&ours), annotations.contains_key(&theirs)) {
        (true, _) => format!("metadata.annotations[{ours}]"),
        (_, true) => format!("metadata.annotations[{theirs}]"),
        // Its class says so for all of them.
        _ => "spec.ingressClassName".to_owned(),
    }
}
