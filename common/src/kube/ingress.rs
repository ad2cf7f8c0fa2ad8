//! Ingresses: as much of them as is looked at, in little room, as there may be very many.

use std::sync::{Arc, LazyLock};

use k8s_openapi::{
    api::networking::v1 as networking,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

/// A `networking.k8s.io/v1` Ingress without what is not looked at. Lists that are absent are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ingress {
    /// Its name and the like.
    pub metadata: IngressMetadata,
    /// What it wants.
    pub spec: Option<IngressSpec>,
    /// Addresses in its status (`status.loadBalancer.ingress`).
    pub addresses: Box<[networking::IngressLoadBalancerIngress]>,
}

/// What is looked at of the metadata of an Ingress.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressMetadata {
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace; empty if a file says none.
    pub namespace: Arc<str>,
    /// What tells it apart from others of its name before and after it.
    pub uid: Option<Box<str>>,
    /// When it was made; files do not say it.
    pub creation_timestamp: Option<Time>,
    /// Its annotations.
    pub annotations: Texts,
}

/// Texts by their names, sorted by name, in no more room than they take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(Box<[(Box<str>, Box<str>)]>);

/// What an Ingress wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressSpec {
    /// Where requests go that no rule is for.
    pub default_backend: Option<Box<IngressBackend>>,
    /// Name of its class.
    pub ingress_class_name: Option<Box<str>>,
    /// Its hosts and their paths.
    pub rules: Box<[IngressRule]>,
    /// Hosts with their certificates.
    pub tls: Box<[IngressTls]>,
}

/// A host with its paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressRule {
    /// The host, whose text others share; without one every host.
    pub host: Option<Arc<str>>,
    /// Its paths; without them everything goes to the default backend.
    pub http: Option<IngressPaths>,
}

/// The paths of a rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressPaths {
    /// In the order in which they are written.
    pub paths: Box<[IngressPath]>,
}

/// A path, and where its requests go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressPath {
    /// The path, which its routes share.
    pub path: Option<Arc<str>>,
    /// How it is compared (`pathType`), as it is written.
    pub path_type: Arc<str>,
    /// Where requests go.
    pub backend: IngressBackend,
}

/// Where requests go: one of both should be there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressBackend {
    /// A Service.
    pub service: Option<IngressService>,
    /// Something else, which is not supported.
    pub resource: Option<Box<k8s_openapi::api::core::v1::TypedLocalObjectReference>>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressService {
    /// Name of the Service.
    pub name: Box<str>,
    /// Its port.
    pub port: Option<IngressPort>,
}

/// A port by its name or its number: one of both should be there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressPort {
    /// Its name.
    pub name: Option<Box<str>>,
    /// Its number.
    pub number: Option<i32>,
}

/// Hosts with their certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressTls {
    /// The hosts; without them those of the rules.
    pub hosts: Box<[Box<str>]>,
    /// Name of the Secret with the certificate.
    pub secret_name: Option<Box<str>>,
}

impl Texts {
    /// The text of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// Whether there is a text of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All of them, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (&**name, &**text))
    }
}

impl From<networking::Ingress> for Ingress {
    fn from(ingress: networking::Ingress) -> Self {
        let balancer = ingress.status.and_then(|status| status.load_balancer);
        Self {
            metadata: ingress.metadata.into(),
            spec: ingress.spec.map(IngressSpec::from),
            addresses: balancer.and_then(|balancer| balancer.ingress).unwrap_or_default().into(),
        }
    }
}

impl From<ObjectMeta> for IngressMetadata {
    fn from(metadata: ObjectMeta) -> Self {
        // A map is sorted already.
        let annotations = metadata.annotations.into_iter().flatten();
        Self {
            name: metadata.name.unwrap_or_default().into(),
            namespace: metadata.namespace.unwrap_or_default().into(),
            uid: metadata.uid.map(Into::into),
            creation_timestamp: metadata.creation_timestamp,
            annotations: Texts(annotations.map(|(name, text)| (name.into(), text.into())).collect()),
        }
    }
}

impl From<networking::IngressSpec> for IngressSpec {
    fn from(spec: networking::IngressSpec) -> Self {
        Self {
            default_backend: spec.default_backend.map(|backend| Box::new(backend.into())),
            ingress_class_name: spec.ingress_class_name.map(Into::into),
            rules: boxed(spec.rules),
            tls: boxed(spec.tls),
        }
    }
}

impl From<networking::IngressRule> for IngressRule {
    fn from(rule: networking::IngressRule) -> Self {
        let http = rule.http.map(|http| IngressPaths { paths: boxed(Some(http.paths)) });
        Self { host: rule.host.map(Into::into), http }
    }
}

impl From<networking::HTTPIngressPath> for IngressPath {
    fn from(path: networking::HTTPIngressPath) -> Self {
        Self { path: path.path.map(shared), path_type: shared(path.path_type), backend: path.backend.into() }
    }
}

impl From<networking::IngressBackend> for IngressBackend {
    fn from(backend: networking::IngressBackend) -> Self {
        let port = |port: networking::ServiceBackendPort| IngressPort {
            name: port.name.map(Into::into),
            number: port.number,
        };
        Self {
            service: backend
                .service
                .map(|service| IngressService { name: service.name.into(), port: service.port.map(port) }),
            resource: backend.resource.map(Box::new),
        }
    }
}

impl From<networking::IngressTLS> for IngressTls {
    fn from(tls: networking::IngressTLS) -> Self {
        Self { hosts: boxed(tls.hosts), secret_name: tls.secret_name.map(Into::into) }
    }
}

/// A text as it is kept. Those that most paths have are there once.
fn shared(text: String) -> Arc<str> {
    static USUAL: LazyLock<[Arc<str>; 4]> =
        LazyLock::new(|| ["/", "Prefix", "Exact", "ImplementationSpecific"].map(Arc::from));
    let usual = USUAL.iter().find(|usual| ***usual == *text);
    usual.cloned().unwrap_or_else(|| text.into())
}

/// A list with what it holds as it is kept, in room of its own: one that is made in that of the first list takes as much.
fn boxed<F, T: From<F>>(list: Option<Vec<F>>) -> Box<[T]> {
    list.into_iter().flatten().map(T::from).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::objects::{Kind, Object};

    #[test]
    fn what_is_looked_at_is_kept() {
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        let other = json!({"service": {"name": "web", "port": {"name": "http"}}});
        let object = json!({
            "metadata": {"name": "a", "namespace": "ns", "uid": "u", "creationTimestamp": "2024-05-06T07:08:09Z",
                "resourceVersion": "7", "labels": {"app": "x"}, "annotations": {"b": "2", "a": "1"}},
            "spec": {"ingressClassName": "edge", "defaultBackend": {"resource": {"kind": "Bucket", "name": "b"}},
                "rules": [{"host": "a.test", "http": {"paths": [
                    {"path": "/x", "pathType": "Prefix", "backend": backend},
                    {"pathType": "Exact", "backend": other}]}}, {}],
                "tls": [{"hosts": ["a.test", "b.test"], "secretName": "s"}, {}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        });
        let Object::Ingress(ingress) = Object::from_json(Kind::Ingress, object).unwrap() else { panic!() };
        let metadata = &ingress.metadata;
        assert_eq!((&*metadata.name, &*metadata.namespace, metadata.uid.as_deref()), ("a", "ns", Some("u")));
        assert!(metadata.creation_timestamp.is_some());
        assert_eq!(metadata.annotations.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!((metadata.annotations.get("b"), metadata.annotations.get("c")), (Some("2"), None));
        let spec = ingress.spec.as_ref().unwrap();
        assert_eq!(spec.ingress_class_name.as_deref(), Some("edge"));
        assert!(spec.default_backend.as_ref().is_some_and(|backend| backend.resource.is_some()));
        let paths = &spec.rules[0].http.as_ref().unwrap().paths;
        let port = |at: usize| paths[at].backend.service.as_ref()?.port.as_ref();
        assert_eq!((paths[0].path.as_deref(), &*paths[0].path_type), (Some("/x"), "Prefix"));
        assert_eq!((port(0).unwrap().number, port(1).unwrap().name.as_deref()), (Some(80), Some("http")));
        assert_eq!(
            (spec.rules[0].host.as_deref(), &spec.rules[1]),
            (Some("a.test"), &IngressRule::default())
        );
        assert_eq!((spec.tls[0].hosts.len(), spec.tls[0].secret_name.as_deref()), (2, Some("s")));
        assert_eq!(ingress.addresses[0].ip.as_deref(), Some("192.0.2.1"));
    }
}
