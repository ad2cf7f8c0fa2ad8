//! Scenes: an Ingress with annotations, all that they may name, and how it is translated.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use selvedge_common::{
    id::BackendId,
    kube::{
        objects::{Kind, Object, ObjectEvent, ObjectKey},
        translation::Reconciler,
    },
    model::{Endpoints, ListenerProtocol, Problem, Snapshot},
};
use selvedge_ingress::{
    annotations::{NGINX_PREFIX, PREFIX},
    class::{CONTROLLER, NGINX_CONTROLLER},
    settings::Settings,
    translate::Edge,
};
use selvedge_tests::{
    edge::{slice, tls_secret},
    proxy::listener,
};
use serde_json::{Map, Value, json};

/// Host of the Ingress whose annotations are tried.
pub const HOST: &str = "a.test";
/// The Ingress whose annotations are tried.
pub const NAME: &str = "tried";
/// Namespace and name of the ConfigMap with global settings.
const GLOBAL: (&str, &str) = ("ingress-nginx", "controller");

/// Names and values of annotations or settings.
pub type Pairs = Vec<(String, String)>;

/// What is tried.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Annotations of the Ingress, with their prefix.
    pub annotations: Pairs,
    /// Global settings; those of an Ingress of ours do not count.
    pub settings: Pairs,
    /// Further objects, which take the place of usual ones of the same name.
    pub objects: Vec<Value>,
    /// Whether the Ingress is of a class of ours, not of an adopted one.
    pub is_ours: bool,
    /// How many paths it has beside its two.
    pub paths: usize,
}

/// What came of a scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// What the proxy shall do.
    pub snapshot: Arc<Snapshot>,
    /// Where requests go.
    pub endpoints: BTreeMap<BackendId, Endpoints>,
}

/// A translation that goes from scene to scene, as objects change in a cluster.
pub struct World {
    reconciler: Reconciler<Edge>,
    /// What only the scene has, or has otherwise.
    last: Vec<ObjectKey>,
}

impl World {
    /// A world in which nothing is tried yet.
    pub fn new() -> Self {
        let mut reconciler = Reconciler::new(edge());
        reconciler.apply(SURROUNDINGS.iter().cloned().map(ObjectEvent::Applied));
        Self { reconciler, last: Vec::new() }
    }

    /// Goes over to a scene.
    pub fn turn_to(&mut self, scene: &Scene) -> Made {
        let objects: Vec<_> = scene.documents().into_iter().filter_map(object).collect();
        let keys: Vec<_> = objects.iter().map(Object::key).collect();
        let gone =
            std::mem::replace(&mut self.last, keys.clone()).into_iter().filter(|key| !keys.contains(key));
        let events = gone.map(|key| match SURROUNDINGS.iter().find(|object| object.key() == key) {
            Some(usual) => ObjectEvent::Applied(usual.clone()),
            None => ObjectEvent::Deleted(key),
        });
        let events: Vec<_> = events.chain(objects.into_iter().map(ObjectEvent::Applied)).collect();
        self.reconciler.apply(events);
        let Self { reconciler, .. } = self;
        Made { snapshot: reconciler.snapshot().clone(), endpoints: reconciler.endpoints().clone() }
    }

    /// What is wrong now.
    pub fn problems(&self) -> Vec<Problem> {
        self.reconciler.problems().cloned().collect()
    }
}

impl Scene {
    fn documents(&self) -> Vec<Value> {
        let class = if self.is_ours { "selvedge" } else { "nginx" };
        let mut tried = ingress((NAME, HOST), class, &self.annotations);
        let paths = tried["spec"]["rules"][0]["http"]["paths"].as_array_mut().unwrap();
        for number in 0..self.paths {
            let path =
                json!({"path": format!("/p{number}"), "pathType": "Prefix", "backend": paths[0]["backend"]});
            paths.push(path);
        }
        let mut documents = vec![tried];
        let is_canary = |(name, _): &(String, String)| name.ends_with("/canary");
        if self.annotations.iter().any(is_canary) {
            documents.push(ingress(("main", HOST), class, &[]));
        }
        if !self.settings.is_empty() {
            documents.push(config_map(GLOBAL, &self.settings));
        }
        documents.extend(self.objects.iter().cloned());
        documents
    }
}

/// What lets plain requests to a class of ingress-nginx go on to the backend, as there is TLS.
pub fn open() -> (String, String) {
    (whole("ssl-redirect", false), "false".to_owned())
}

/// A ConfigMap by namespace and name.
pub fn config_map((namespace, name): (&str, &str), data: &[(String, String)]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "data": strings(data),
    })
}

/// A Secret of ours with these users.
pub fn users(text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "users", "namespace": "default"}, "stringData": {"auth": text},
    })
}

/// An annotation with its prefix.
pub fn whole(name: &str, ours: bool) -> String {
    format!("{}{name}", if ours { PREFIX } else { NGINX_PREFIX })
}

fn edge() -> Edge {
    let listeners = [("http", ListenerProtocol::Http), ("https", ListenerProtocol::Https)];
    Edge::new(Settings {
        listeners: listeners.map(|(name, protocol)| (name.into(), listener(protocol))).into(),
        adopt_ingress_nginx: true,
        nginx_configmap: format!("{}/{}", GLOBAL.0, GLOBAL.1).parse().ok(),
        ..Settings::default()
    })
}

fn strings(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
}

/// An Ingress of namespace `default` with TLS, a prefix and a path that is a regular expression where one is asked for.
fn ingress((name, host): (&str, &str), class: &str, annotations: &[(String, String)]) -> Value {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "name": name, "namespace": "default", "annotations": strings(annotations),
            "creationTimestamp": if name == NAME { "2026-01-01T00:00:01Z" } else { "2026-01-01T00:00:00Z" },
        },
        "spec": {
            "ingressClassName": class, "tls": [{"secretName": "pair", "hosts": [host]}],
            "rules": [{"host": host, "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": backend},
                {"path": "/a(b*)/(.*)", "pathType": "ImplementationSpecific", "backend": backend},
            ]}}],
        },
    })
}

fn object(document: Value) -> Option<Object> {
    let text = |name: &str| document[name].as_str().unwrap_or_default();
    let kind = Kind::find(text("apiVersion"), text("kind"))?;
    Object::from_json(kind, document).ok()
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": "192.0.2.1", "ports": [{"name": "http", "port": 80}]},
    })
}

/// What is there beside the Ingress, made once.
static SURROUNDINGS: LazyLock<Vec<Object>> = LazyLock::new(|| {
    let class = |name: &str, controller: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name},
            "spec": {"controller": controller},
        })
    };
    let (pair, _) = tls_secret("pair", &[HOST]);
    let authority = pair["stringData"]["tls.crt"].as_str().unwrap_or_default().to_owned();
    let secret = |name: &str, key: &str, value: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name, "namespace": "default"}, "stringData": {key: value},
        })
    };
    let mut documents = vec![class("nginx", NGINX_CONTROLLER), class("selvedge", CONTROLLER), pair];
    for (number, name) in ["web", "errors", "auth"].into_iter().enumerate() {
        documents.push(service(name));
        let address = ([192, 0, 2, 10 + number as u8], 8080).into();
        documents.push(slice(name, name, Some("http"), address));
    }
    documents.push(users("foo:{PLAIN}bar\n"));
    documents.push(secret("users-map", "foo", "{PLAIN}bar"));
    documents.push(secret("ca", "ca.crt", &authority));
    let own = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    documents.push(config_map(("default", "shop-headers"), &own("X-Shop", "1")));
    documents.push(config_map(("default", "auth-headers"), &own("X-Who", "$remote_addr")));
    documents.push(config_map(("ingress-nginx", "request-headers"), &own("X-Edge", "1")));
    documents.push(config_map(("ingress-nginx", "answer-headers"), &own("X-Edge", "1")));
    documents.into_iter().filter_map(object).collect()
});
