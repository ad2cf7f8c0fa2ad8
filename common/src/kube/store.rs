//! The store: every object as it last was, by kind, namespace and name.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::api::discovery::v1 as discovery;

use super::{
    few::Few,
    objects::{Kind, Object, ObjectEvent, ObjectKey},
};
use crate::model::SharedMap;

/// Label by which an EndpointSlice names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Every object, as the last event about it said.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    kinds: BTreeMap<Kind, Namespaces>,
    /// Names of the EndpointSlices of a Service, by the namespace and the name of the Service.
    slices: HashMap<ServiceName, Few<Arc<str>>>,
}

/// Objects by namespace and name. The names are in a map that has no more room than it takes.
type Namespaces = BTreeMap<Arc<str>, SharedMap<Arc<str>, Object>>;

/// A Service by namespace and name, whether it exists or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// What an event changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing that anyone could see.
    Nothing,
    /// Only the status of an object that has one of ours, which translation does not read.
    Status(ObjectKey),
    /// The object; at least one of `before` and `after` is there.
    Object {
        /// Which one.
        key: ObjectKey,
        /// As it was; `None` if it is new.
        before: Option<Object>,
        /// As it is now; `None` if it is gone.
        after: Option<Object>,
    },
}

impl Objects {
    /// Takes an event in and says what it changed. Versions and statuses are no change.
    pub fn apply(&mut self, event: ObjectEvent) -> Change {
        match event {
            ObjectEvent::Applied(object) => self.insert(object),
            ObjectEvent::Deleted(key) => self.remove(key),
        }
    }

    /// The object with this key.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.kinds.get(&kind)?.get(namespace)?.get(name)
    }

    /// The same with its key as it is kept here.
    pub(super) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<(ObjectKey, &Object)> {
        let (namespace, names) = self.kinds.get(&kind)?.get_key_value(namespace)?;
        let (name, object) = names.get_key_value(name)?;
        Some((ObjectKey { kind, namespace: namespace.clone(), name: name.clone() }, object))
    }

    /// All objects of a kind in a namespace, by name; the namespace of cluster-scoped kinds is empty.
    pub fn in_namespace(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = (&Arc<str>, &Object)> {
        self.kinds.get(&kind).and_then(|namespaces| namespaces.get(namespace)).into_iter().flatten()
    }

    /// All objects of a kind, by namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.kinds
            .get(&kind)
            .into_iter()
            .flat_map(|namespaces| namespaces.values())
            .flat_map(SharedMap::values)
    }

    /// Whether there is any object of a kind.
    pub fn has_any(&self, kind: Kind) -> bool {
        self.of_kind(kind).next().is_some()
    }

    /// The EndpointSlices that carry the name of this Service in their label, by name.
    pub fn slices(&self, service: &ServiceName) -> impl Iterator<Item = &Arc<discovery::EndpointSlice>> {
        let names = self.slices.get(service).into_iter().flat_map(Few::iter);
        names.filter_map(|name| match self.get(Kind::EndpointSlice, &service.namespace, name) {
            Some(Object::EndpointSlice(slice)) => Some(slice),
            _ => None,
        })
    }

    fn insert(&mut self, mut object: Object) -> Change {
        let key = self.kept(object.key());
        object.share_name(&key);
        let namespace = self.kinds.entry(key.kind).or_default().entry(key.namespace.clone()).or_default();
        let before = namespace.insert(key.name.clone(), object.clone());
        match before {
            Some(before) if before == object => Change::Nothing,
            Some(before) if same_but_status(&before, &object) => match status_differs(&before, &object) {
                true => Change::Status(key),
                false => Change::Nothing,
            },
            before => {
                self.index_slice(&key, before.as_ref(), Some(&object));
                Change::Object { key, before, after: Some(object) }
            }
        }
    }

    /// A key with the text that is kept here already, so that whoever keeps the key shares it.
    fn kept(&self, key: ObjectKey) -> ObjectKey {
        let Some((namespace, names)) =
            self.kinds.get(&key.kind).and_then(|namespaces| namespaces.get_key_value(&key.namespace))
        else {
            return key;
        };
        let name = names.get_key_value(&key.name).map(|(name, _)| name.clone());
        ObjectKey { kind: key.kind, namespace: namespace.clone(), name: name.unwrap_or(key.name) }
    }

    fn remove(&mut self, key: ObjectKey) -> Change {
        let Some(namespaces) = self.kinds.get_mut(&key.kind) else { return Change::Nothing };
        let Some(names) = namespaces.get_mut(&key.namespace) else { return Change::Nothing };
        let Some(before) = names.remove(&key.name) else { return Change::Nothing };
        if names.is_empty() {
            namespaces.remove(&key.namespace);
        }
        self.index_slice(&key, Some(&before), None);
        Change::Object { key, before: Some(before), after: None }
    }

    fn index_slice(&mut self, key: &ObjectKey, before: Option<&Object>, after: Option<&Object>) {
        if let Some(service) = before.and_then(service_of)
            && let Some(names) = self.slices.get_mut(&service)
        {
            names.remove(&key.name);
            if names.is_empty() {
                self.slices.remove(&service);
            }
        }
        if let Some(service) = after.and_then(service_of) {
            self.slices.entry(service).or_default().insert(key.name.clone());
        }
    }
}

impl ServiceName {
    /// The Service of this namespace and name.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// The Service that an EndpointSlice belongs to; `None` for other kinds and for slices without the label.
pub fn service_of(object: &Object) -> Option<ServiceName> {
    let Object::EndpointSlice(slice) = object else { return None };
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    Some(ServiceName::new(slice.metadata.namespace.as_deref().unwrap_or_default(), name))
}

/// Whether translation cannot tell the two apart.
fn same_but_status(a: &Object, b: &Object) -> bool {
    same_metadata(a, b)
        && match (a, b) {
            (Object::Ingress(a), Object::Ingress(b)) => a.spec == b.spec,
            (Object::IngressClass(a), Object::IngressClass(b)) => a.spec == b.spec,
            (Object::Service(a), Object::Service(b)) => a.spec == b.spec,
            (Object::EndpointSlice(a), Object::EndpointSlice(b)) => {
                a.address_type == b.address_type && a.endpoints == b.endpoints && a.ports == b.ports
            }
            (Object::Secret(a), Object::Secret(b)) => {
                a.type_ == b.type_ && a.data == b.data && a.string_data == b.string_data
            }
            (Object::ConfigMap(a), Object::ConfigMap(b)) => {
                a.data == b.data && a.binary_data == b.binary_data
            }
            (Object::RouteRule(a), Object::RouteRule(b)) => a.spec == b.spec,
            (Object::TrafficPolicy(a), Object::TrafficPolicy(b)) => a.spec == b.spec,
            (Object::RouteGrant(a), Object::RouteGrant(b)) => a.spec == b.spec,
            (Object::EdgeParameters(a), Object::EdgeParameters(b)) => a.spec == b.spec,
            _ => false,
        }
}

fn same_metadata(a: &Object, b: &Object) -> bool {
    if let (Object::Ingress(a), Object::Ingress(b)) = (a, b)
        && a.metadata.annotations != b.metadata.annotations
    {
        return false;
    }
    let (a, b) = (a.about(), b.about());
    a.labels == b.labels && a.annotations == b.annotations && a.creation_timestamp == b.creation_timestamp
}

fn status_differs(a: &Object, b: &Object) -> bool {
    // Conditions name the generation, which may grow with a change that means nothing.
    let is_newer = a.about().generation != b.about().generation;
    match (a, b) {
        (Object::Ingress(a), Object::Ingress(b)) => a.addresses != b.addresses,
        (Object::RouteRule(a), Object::RouteRule(b)) => a.status != b.status || is_newer,
        (Object::TrafficPolicy(a), Object::TrafficPolicy(b)) => a.status != b.status || is_newer,
        (Object::EdgeParameters(a), Object::EdgeParameters(b)) => a.status != b.status || is_newer,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: Kind, value: serde_json::Value) -> Object {
        Object::from_json(kind, value).unwrap()
    }

    fn ingress(version: &str, host: &str, address: &str) -> Object {
        object(
            Kind::Ingress,
            json!({
                "metadata": {"name": "shop", "namespace": "default", "resourceVersion": version},
                "spec": {"rules": [{"host": host}]},
                "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
            }),
        )
    }

    fn slice(service: &str) -> Object {
        object(
            Kind::EndpointSlice,
            json!({
                "metadata": {"name": "s", "namespace": "default", "labels": {SERVICE_NAME_LABEL: service}},
                "addressType": "IPv4", "endpoints": [],
            }),
        )
    }

    #[test]
    fn only_what_translation_reads_is_a_change() {
        let mut objects = Objects::default();
        let mut apply = |object: Object| objects.apply(ObjectEvent::Applied(object));
        assert!(matches!(apply(ingress("1", "a", "192.0.2.1")), Change::Object { before: None, .. }));
        assert_eq!(apply(ingress("1", "a", "192.0.2.1")), Change::Nothing);
        assert_eq!(apply(ingress("2", "a", "192.0.2.1")), Change::Nothing);
        assert!(matches!(apply(ingress("3", "a", "192.0.2.2")), Change::Status(_)));
        assert!(matches!(apply(ingress("4", "b", "192.0.2.2")), Change::Object { before: Some(_), .. }));
    }

    #[test]
    fn what_others_note_of_an_object_is_neither_kept_nor_a_change() {
        let service = |annotations: serde_json::Value, manager: &str| {
            let fields = json!([{"manager": manager, "operation": "Apply"}]);
            let labels = json!({"app.kubernetes.io/managed-by": manager});
            let metadata = json!({"name": "shop", "namespace": "default", "annotations": annotations,
                "labels": labels, "managedFields": fields});
            object(Kind::Service, json!({"metadata": metadata, "spec": {}}))
        };
        let noted = |text: &str| json!({"kubectl.kubernetes.io/last-applied-configuration": text});
        let mut objects = Objects::default();
        let mut apply = |object: Object| objects.apply(ObjectEvent::Applied(object));
        assert!(matches!(apply(service(noted("a"), "one")), Change::Object { .. }));
        assert_eq!(apply(service(noted("b"), "other")), Change::Nothing);
        assert_eq!(apply(service(json!(null), "one")), Change::Nothing);
        assert!(matches!(apply(service(json!({"own": "a"}), "one")), Change::Object { .. }));
    }

    #[test]
    fn a_new_generation_that_says_the_same_concerns_the_status_alone() {
        let rule = |generation: i64, weight: &str| {
            let backend = format!(r#"{{"service": "a"{weight}}}"#);
            let backend: serde_json::Value = serde_json::from_str(&backend).unwrap();
            let metadata = json!({"name": "a", "namespace": "default", "generation": generation});
            let rules = json!([{"backends": [backend]}]);
            object(Kind::RouteRule, json!({"metadata": metadata, "spec": {"targets": [], "rules": rules}}))
        };
        let mut objects = Objects::default();
        let mut apply = |object: Object| objects.apply(ObjectEvent::Applied(object));
        assert!(matches!(apply(rule(1, "")), Change::Object { .. }));
        assert!(matches!(apply(rule(2, r#", "weight": 1"#)), Change::Status(_)));
        assert!(matches!(apply(rule(3, r#", "weight": 2"#)), Change::Object { .. }));
    }

    #[test]
    fn the_stored_object_is_the_newest_even_when_nothing_changed() {
        let mut objects = Objects::default();
        let service = |version: &str| {
            let metadata = json!({"name": "shop", "namespace": "default", "resourceVersion": version});
            object(Kind::Service, json!({"metadata": metadata, "spec": {}}))
        };
        objects.apply(ObjectEvent::Applied(service("1")));
        objects.apply(ObjectEvent::Applied(service("2")));
        let Some(Object::Service(stored)) = objects.get(Kind::Service, "default", "shop") else { panic!() };
        assert_eq!(stored.metadata.resource_version.as_deref(), Some("2"));
    }

    #[test]
    fn a_slice_that_changes_its_service_leaves_the_old_one() {
        let mut objects = Objects::default();
        let count = |objects: &Objects, name| objects.slices(&ServiceName::new("default", name)).count();
        objects.apply(ObjectEvent::Applied(slice("a")));
        assert_eq!((count(&objects, "a"), count(&objects, "b")), (1, 0));
        objects.apply(ObjectEvent::Applied(slice("b")));
        assert_eq!((count(&objects, "a"), count(&objects, "b")), (0, 1));
        objects.apply(ObjectEvent::Deleted(slice("b").key()));
        assert_eq!((count(&objects, "a"), count(&objects, "b")), (0, 0));
    }

    #[test]
    fn deleting_what_is_not_there_is_no_change() {
        assert_eq!(Objects::default().apply(ObjectEvent::Deleted(slice("a").key())), Change::Nothing);
    }
}
