//! The Kubernetes objects that Selvedge reads, as one type, whether they come from files or an API server.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock},
};

use k8s_openapi::{
    api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Resource, ResourceExt, api::ApiResource};
use selvedge_crds as crds;
use serde::de::DeserializeOwned;

use super::{
    ingress::{Ingress, IngressMetadata},
    pods,
    store::SERVICE_NAME_LABEL,
    switch::MANAGED_BY_LABEL,
};
use crate::id::ObjectRef;

/// Annotation in which `kubectl apply` keeps a copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Labels that are read beside our own, which begin with [`OWN_LABELS`].
const READ_LABELS: [&str; 3] = [SERVICE_NAME_LABEL, MANAGED_BY_LABEL, pods::TEMPLATE_HASH_LABEL];

/// What the names of our own labels begin with.
const OWN_LABELS: &str = "selvedge.dev/";

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($type:ty as $read:ty),)*) => {
        /// A kind of object that Selvedge reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        /// An object of one of these kinds.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $($(#[$doc])* $kind(Arc<$type>),)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// As Kubernetes spells it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => stringify!($kind),)*
                }
            }

            /// `group/version` as in `apiVersion`.
            pub fn api_version(self) -> String {
                match self {
                    $(Kind::$kind => <$read as Resource>::api_version(&()).into_owned(),)*
                }
            }

            /// What the API server calls it.
            pub fn resource(self) -> ApiResource {
                match self {
                    $(Kind::$kind => ApiResource::erase::<$read>(&()),)*
                }
            }

            /// Whether its objects are in namespaces; the others are of the whole Kubernetes cluster.
            pub fn is_namespaced(self) -> bool {
                !matches!(self, Kind::IngressClass | Kind::EdgeParameters)
            }

            /// Whether its status has conditions and problems, an entry for each controller.
            pub fn has_conditions(self) -> bool {
                matches!(self, Kind::RouteRule | Kind::TrafficPolicy | Kind::EdgeParameters)
            }

            /// The kind with this `apiVersion` and `kind`, if Selvedge reads it.
            pub fn find(api_version: &str, kind: &str) -> Option<Kind> {
                Kind::ALL.iter().copied().find(|k| k.name() == kind && k.api_version() == api_version)
            }
        }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// Whether it is the very same value as another one, not a copy of it.
            pub(super) fn is_same(&self, other: &Self) -> bool {
                match (self, other) {
                    $((Self::$kind(one), Self::$kind(other)) => Arc::ptr_eq(one, other),)*
                    _ => false,
                }
            }

            /// What is known of it whatever its kind.
            pub fn about(&self) -> About<'_> {
                match self {
                    $(Self::$kind(object) => object.about(),)*
                }
            }

            /// Reads an object of a kind from its JSON form; `managedFields`, what `kubectl apply` notes and labels that
            /// nobody reads are dropped.
            ///
            /// # Errors
            /// The path of the field that does not fit, and why.
            pub fn from_json(kind: Kind, value: serde_json::Value) -> Result<Object, FieldError> {
                Ok(match kind {
                    $(Kind::$kind => Self::$kind(Arc::new(read::<$read, _>(value).map_err(|e| conceal(kind, e))?.into())),)*
                })
            }

            /// The same; paths of fields that the kind does not have go into `unknown`.
            ///
            /// # Errors
            /// The path of the field that does not fit, and why.
            pub fn from_json_noting(
                kind: Kind,
                value: serde_json::Value,
                unknown: &mut Vec<String>,
            ) -> Result<Object, FieldError> {
                // Types of custom resources do not read by which name they were found.
                let is_known = |path: &str| matches!(path, "apiVersion" | "kind");
                let mut note = |path: serde_ignored::Path<'_>| {
                    unknown.extend(Some(field_path(&path)).filter(|path| !is_known(path)));
                };
                let value = serde_ignored::Deserializer::new(value, &mut note);
                Ok(match kind {
                    $(Kind::$kind => Self::$kind(Arc::new(read::<$read, _>(value).map_err(|e| conceal(kind, e))?.into())),)*
                })
            }
        }

        $(impl From<$read> for Object {
            fn from(mut object: $read) -> Self {
                strip(&mut object);
                Self::$kind(Arc::new(object.into()))
            }
        })*
    };
}

kinds! {
    /// `networking.k8s.io/v1` Ingress.
    Ingress(Ingress as networking::Ingress),
    /// `networking.k8s.io/v1` IngressClass.
    IngressClass(networking::IngressClass as networking::IngressClass),
    /// `v1` Service.
    Service(core::Service as core::Service),
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice(discovery::EndpointSlice as discovery::EndpointSlice),
    /// `v1` Secret.
    Secret(core::Secret as core::Secret),
    /// `v1` ConfigMap.
    ConfigMap(core::ConfigMap as core::ConfigMap),
    /// `selvedge.dev/v1alpha1` RouteRule.
    RouteRule(crds::RouteRule as crds::RouteRule),
    /// `selvedge.dev/v1alpha1` TrafficPolicy.
    TrafficPolicy(crds::TrafficPolicy as crds::TrafficPolicy),
    /// `selvedge.dev/v1alpha1` RouteGrant.
    RouteGrant(crds::RouteGrant as crds::RouteGrant),
    /// `selvedge.dev/v1alpha1` EdgeParameters.
    EdgeParameters(crds::EdgeParameters as crds::EdgeParameters),
    /// `v1` Pod, as much of it as is looked at. Only where callers are told apart.
    Pod(pods::Pod as pods::Pod),
}

/// What is known of an object whatever its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct About<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace; empty if there is none.
    pub namespace: &'a str,
    /// What tells it apart from others of its name before and after it.
    pub uid: Option<&'a str>,
    /// Grows with each change of what it wants.
    pub generation: Option<i64>,
    /// When it was made.
    pub creation_timestamp: Option<&'a Time>,
    /// Labels that are read; for kinds whose labels anyone reads.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Annotations; those of an Ingress are in a form of their own.
    pub annotations: Option<&'a BTreeMap<String, String>>,
}

/// What all kinds have.
trait Described {
    fn about(&self) -> About<'_>;
}

impl<T: Resource> Described for T {
    fn about(&self) -> About<'_> {
        let metadata = self.meta();
        About {
            name: metadata.name.as_deref().unwrap_or_default(),
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref(),
            generation: metadata.generation,
            creation_timestamp: metadata.creation_timestamp.as_ref(),
            labels: metadata.labels.as_ref(),
            annotations: metadata.annotations.as_ref(),
        }
    }
}

impl Described for Ingress {
    fn about(&self) -> About<'_> {
        let metadata = &self.metadata;
        About {
            name: &metadata.name,
            namespace: &metadata.namespace,
            uid: metadata.uid.as_deref(),
            creation_timestamp: metadata.creation_timestamp.as_ref(),
            ..About::default()
        }
    }
}

/// What names an object among all that a process reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for a cluster-scoped kind.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// One change of one object, from whatever source.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectEvent {
    /// The object is new or has changed.
    Applied(Object),
    /// The object is gone.
    Deleted(ObjectKey),
}

/// A field of an object that does not have the form that its kind asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// Path of the field, for example `spec.rules[0].host`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Object {
    /// Its key.
    pub fn key(&self) -> ObjectKey {
        match self {
            // It has its name as keys have it.
            Self::Ingress(ingress) => {
                let IngressMetadata { namespace, name, .. } = &ingress.metadata;
                ObjectKey { kind: Kind::Ingress, namespace: namespace.clone(), name: name.clone() }
            }
            _ => {
                let About { namespace, name, .. } = self.about();
                ObjectKey::new(self.kind(), namespace, name)
            }
        }
    }

    /// Has it share its name with its key, if that is a text of its own and nobody else has the object yet.
    pub(super) fn share_name(&mut self, key: &ObjectKey) {
        if let Self::Ingress(ingress) = self
            && let Some(ingress) = Arc::get_mut(ingress)
        {
            ingress.metadata.namespace = key.namespace.clone();
            ingress.metadata.name = key.name.clone();
        }
    }
}

impl Kind {
    /// Its name as a text that all who name it share.
    fn shared_name(self) -> Arc<str> {
        static NAMES: LazyLock<Vec<Arc<str>>> =
            LazyLock::new(|| Kind::ALL.iter().map(|kind| kind.name().into()).collect());
        NAMES[self as usize].clone()
    }
}

impl ObjectKey {
    /// The key of the object of this kind, namespace and name.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// The key of the object that a reference names, if its kind is one that Selvedge reads.
    pub fn of(object: &ObjectRef) -> Option<Self> {
        let kind = Kind::ALL.iter().find(|kind| kind.name() == &*object.kind)?;
        Some(Self { kind: *kind, namespace: object.namespace.clone(), name: object.name.clone() })
    }

    /// The same as a reference for problems and routes.
    pub fn to_ref(&self) -> ObjectRef {
        ObjectRef {
            kind: self.kind.shared_name(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            cluster: None,
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_ref(), f)
    }
}

/// What does not fit in a Secret is quoted by nobody: it may be the secret itself.
fn conceal(kind: Kind, error: FieldError) -> FieldError {
    match kind {
        Kind::Secret => FieldError { message: "does not have the form of this field".into(), ..error },
        _ => error,
    }
}

/// As Kubernetes writes paths: `spec.rules[0].host`.
fn field_path(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field_path(parent)),
        Path::Map { parent, key } => match field_path(parent) {
            above if above.is_empty() => key.clone(),
            above => format!("{above}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            field_path(parent)
        }
    }
}

fn read<'de, T: DeserializeOwned + ResourceExt, D>(value: D) -> Result<T, FieldError>
where
    D: serde::Deserializer<'de>,
{
    let mut object: T = serde_path_to_error::deserialize(value).map_err(|error| FieldError {
        field: match error.path().iter().next() {
            Some(_) => error.path().to_string(),
            None => "the object".to_owned(),
        },
        message: error.inner().to_string(),
    })?;
    strip(&mut object);
    Ok(object)
}

/// Takes away what nobody reads and what may be larger than all the rest.
fn strip(object: &mut impl ResourceExt) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(labels) = &mut metadata.labels {
        labels.retain(|name, _| name.starts_with(OWN_LABELS) || READ_LABELS.contains(&name.as_str()));
    }
    metadata.labels.take_if(|labels| labels.is_empty());
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    metadata.annotations.take_if(|annotations| annotations.is_empty());
}
