//! The reader: the only way by which translation reads objects; it records everything looked at.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking};

use super::{
    ingress::Ingress,
    known::Known,
    objects::{Kind, Object, ObjectKey},
    store::{Objects, ServiceName},
};
use crate::{
    id::{BackendId, RouteSetId},
    model::HostMatch,
};

/// What is translated at once: a piece of the result that depends on what it read and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// The endpoints of one backend.
    Endpoints(BackendId),
    /// What belongs to no host: listeners and the fallback route.
    Base,
    /// What is said about one object as a whole: whether it is ours, and what is wrong with it.
    Object(ObjectKey),
    /// One host of a set of routes, with its certificate and routes.
    Host(RouteSetId, HostMatch),
    /// An object that others attach something to, for example a policy. Nothing is translated for it: it only says
    /// who is attached.
    Attached(ObjectKey),
}

/// Something that was looked at, found or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Read {
    /// One object.
    Object(ObjectKey),
    /// Every object of a kind in a namespace (empty for cluster-scoped kinds).
    All(Kind, Arc<str>),
    /// Whether there is an object of a kind anywhere.
    Any(Kind),
    /// The names of a kind in a namespace, not what the objects say.
    Names(Kind, Arc<str>),
    /// The EndpointSlices of a Service.
    Slices(ServiceName),
    /// The objects that declare a unit.
    Declaring(Unit),
    /// Whether a host has TLS.
    HasTls(HostMatch),
}

/// Reads objects and records what was read, also what was not found.
#[derive(Debug)]
pub struct Reader<'a> {
    objects: &'a Objects,
    known: &'a Known,
    reads: RefCell<BTreeSet<Read>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(objects: &'a Objects, known: &'a Known) -> Self {
        Self { objects, known, reads: RefCell::default() }
    }

    /// What was read so far.
    pub(super) fn into_reads(self) -> BTreeSet<Read> {
        self.reads.into_inner()
    }

    /// The object of this kind, namespace and name.
    pub fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<&'a Object> {
        match self.objects.find(kind, namespace, name) {
            // Its own key shares its text with the store.
            Some((key, object)) => {
                self.record(Read::Object(key));
                Some(object)
            }
            None => {
                self.record(Read::Object(ObjectKey::new(kind, namespace, name)));
                None
            }
        }
    }

    /// The Ingress of this name.
    pub fn ingress(&self, namespace: &str, name: &str) -> Option<&'a Arc<Ingress>> {
        match self.object(Kind::Ingress, namespace, name) {
            Some(Object::Ingress(ingress)) => Some(ingress),
            _ => None,
        }
    }

    /// The IngressClass of this name.
    pub fn ingress_class(&self, name: &str) -> Option<&'a Arc<networking::IngressClass>> {
        match self.object(Kind::IngressClass, "", name) {
            Some(Object::IngressClass(class)) => Some(class),
            _ => None,
        }
    }

    /// The Service of this name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&'a Arc<core::Service>> {
        match self.object(Kind::Service, namespace, name) {
            Some(Object::Service(service)) => Some(service),
            _ => None,
        }
    }

    /// The Secret of this name.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&'a Arc<core::Secret>> {
        match self.object(Kind::Secret, namespace, name) {
            Some(Object::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// The ConfigMap of this name.
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&'a Arc<core::ConfigMap>> {
        match self.object(Kind::ConfigMap, namespace, name) {
            Some(Object::ConfigMap(map)) => Some(map),
            _ => None,
        }
    }

    /// The EndpointSlices of a Service, by name.
    pub fn slices(&self, service: &ServiceName) -> impl Iterator<Item = &'a Arc<discovery::EndpointSlice>> {
        self.record(Read::Slices(service.clone()));
        self.objects.slices(service)
    }

    /// Whether there is an object of a kind anywhere: cheap to ask where further questions would nearly always have
    /// no answer.
    pub fn has_any(&self, kind: Kind) -> bool {
        self.record(Read::Any(kind));
        self.objects.has_any(kind)
    }

    /// Every object of a kind in a namespace, by name.
    pub fn all(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &'a Object> {
        self.record(Read::All(kind, namespace.into()));
        self.objects.in_namespace(kind, namespace).map(|(_, object)| object)
    }

    /// The names of all objects of a kind in a namespace; for suggestions.
    pub fn names(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &'a str> {
        self.record(Read::Names(kind, namespace.into()));
        self.objects.in_namespace(kind, namespace).map(|(name, _)| &**name)
    }

    /// Every object that declares a unit, by kind, namespace and name.
    pub fn declaring<'s>(&'s self, unit: &Unit) -> impl Iterator<Item = &'a Object> + use<'s, 'a> {
        self.record(Read::Declaring(unit.clone()));
        let keys = self.known.units.declaring(unit);
        keys.filter_map(|key| self.objects.get(key.kind, &key.namespace, &key.name))
    }

    /// Whether another host has TLS. One must not ask in a circle: an exact name asks about its wildcard.
    pub fn has_tls(&self, host: &HostMatch) -> bool {
        self.record(Read::HasTls(host.clone()));
        self.known.with_tls.contains(host)
    }

    fn record(&self, read: Read) {
        self.reads.borrow_mut().insert(read);
    }
}
