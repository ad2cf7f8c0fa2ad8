//! Translation: Ingresses and what they refer to become hosts, routes and backends. Pure and total.

mod backend;
mod conflict;
mod draft;
mod host;
mod path;
mod rule;
mod status;
mod tls;

use std::sync::Arc;

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::{
    id::{ObjectRef, RouteSetId},
    kube::{
        objects::{Kind, Object},
        reader::{Reader, Unit},
        translation::{BaseTranslation, HostTranslation, ObjectTranslation, Parts, Translate},
    },
    model::{HostMatch, ListenerProtocol, VirtualHost},
};

pub use draft::RouteDraft;
pub(crate) use selvedge_common::kube::near;

use crate::{class, settings::Settings};

/// Name of the one set of routes that all listeners of the edge share.
pub const ROUTE_SET: &str = "edge";

/// Translates Ingresses.
#[derive(Clone, Debug)]
pub struct Edge {
    settings: Settings,
}

/// What a unit is translated with: where to read, and what is gathered.
pub(crate) struct Context<'a, 'r> {
    settings: &'a Settings,
    reader: &'a Reader<'r>,
    parts: Parts,
}

impl Edge {
    /// A translation with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn context<'a, 'r>(&'a self, reader: &'a Reader<'r>) -> Context<'a, 'r> {
        Context { settings: &self.settings, reader, parts: Parts::default() }
    }
}

impl Translate for Edge {
    fn route_set(&self) -> RouteSetId {
        ROUTE_SET.into()
    }

    fn declares(&self, object: &Object) -> Vec<Unit> {
        let ingress = match object {
            Object::Ingress(ingress) => ingress,
            Object::IngressClass(_) => return vec![Unit::Object(object.key())],
            _ => return Vec::new(),
        };
        if !self.settings.serves_namespace(namespace(ingress)) {
            return Vec::new();
        }
        let mut units = vec![Unit::Object(object.key())];
        if spec(ingress).is_some_and(|spec| spec.default_backend.is_some()) {
            units.push(Unit::Base);
        }
        let hosts = host::rule_hosts(ingress).chain(host::tls_hosts(ingress));
        units.extend(hosts.filter_map(|(_, host)| host.ok()).map(|host| Unit::Host(self.route_set(), host)));
        units.sort();
        units.dedup();
        units
    }

    fn translate_object(&self, reader: &Reader<'_>, object: &Object) -> ObjectTranslation {
        match object {
            Object::Ingress(ingress) => status::translate(&self.settings, reader, ingress),
            Object::IngressClass(class) => {
                let problems = class::problems(&self.settings, class).collect();
                ObjectTranslation { problems, ..ObjectTranslation::default() }
            }
            _ => ObjectTranslation::default(),
        }
    }

    fn translate_base(&self, reader: &Reader<'_>) -> BaseTranslation {
        let mut cx = self.context(reader);
        let default_certificate = tls::default_certificate(&mut cx);
        let listeners = self.settings.listeners.iter().map(|(name, listener)| {
            let mut listener = listener.clone();
            listener.routes = self.route_set();
            if listener.protocol == ListenerProtocol::Https {
                listener.default_certificate = default_certificate.clone();
            }
            (name.clone(), listener)
        });
        let listeners = listeners.collect();
        let fallback = conflict::fallback(&mut cx);
        BaseTranslation { listeners, fallback, parts: cx.parts }
    }

    fn translate_host(&self, reader: &Reader<'_>, set: &RouteSetId, host: &HostMatch) -> HostTranslation {
        let mut cx = self.context(reader);
        let ingresses = cx.ours(&Unit::Host(set.clone(), host.clone()));
        let certificate = tls::certificate(&mut cx, &ingresses, host);
        let has_tls = tls::is_offered(&ingresses, host);
        let routes = rule::routes(&mut cx, &ingresses, host);
        let useful = certificate.is_some() || !routes.is_empty();
        let virtual_host = useful.then_some(VirtualHost { certificate, routes });
        HostTranslation { virtual_host, has_tls, parts: cx.parts }
    }
}

impl<'r> Context<'_, 'r> {
    /// The Ingresses of ours that declare a unit, the one that wins conflicts first.
    fn ours(&self, unit: &Unit) -> Vec<&'r Arc<networking::Ingress>> {
        let declaring = self.reader.declaring(unit).filter_map(|object| match object {
            Object::Ingress(ingress) => Some(ingress),
            _ => None,
        });
        let mut ours: Vec<_> =
            declaring.filter(|ingress| class::select(self.settings, self.reader, ingress).ours).collect();
        ours.sort_by(|a, b| conflict::age(a).cmp(&conflict::age(b)));
        ours
    }
}

/// A reference to an Ingress, for problems and routes.
pub(crate) fn ingress_ref(ingress: &networking::Ingress) -> ObjectRef {
    ObjectRef::new(Kind::Ingress.name(), namespace(ingress), name(ingress))
}

fn namespace(ingress: &networking::Ingress) -> &str {
    ingress.metadata.namespace.as_deref().unwrap_or_default()
}

fn name(ingress: &networking::Ingress) -> &str {
    ingress.metadata.name.as_deref().unwrap_or_default()
}

fn spec(ingress: &networking::Ingress) -> Option<&networking::IngressSpec> {
    ingress.spec.as_ref()
}

fn rules(ingress: &networking::Ingress) -> &[networking::IngressRule] {
    spec(ingress).and_then(|spec| spec.rules.as_deref()).unwrap_or_default()
}

fn tls(ingress: &networking::Ingress) -> &[networking::IngressTLS] {
    spec(ingress).and_then(|spec| spec.tls.as_deref()).unwrap_or_default()
}
