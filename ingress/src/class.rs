//! Classes: which Ingresses are ours.

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::{
    id::ObjectRef,
    kube::{
        objects::{Kind, Object},
        reader::Reader,
    },
    model::Problem,
};

use crate::{
    settings::Settings,
    translate::{ingress_ref, near},
};

/// The name that an IngressClass of ours has in `spec.controller`.
pub const CONTROLLER: &str = "selvedge.dev/ingress";

/// Annotation of an Ingress that names its class, from before `spec.ingressClassName`.
pub const LEGACY_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Annotation of an IngressClass that makes it the class of Ingresses that name none.
pub const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// Whether an Ingress is ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Whether it is.
    pub ours: bool,
    /// What is wrong with its class, for its owner.
    pub problem: Option<Problem>,
}

/// Decides whether an Ingress is ours: by `spec.ingressClassName`, else by the legacy annotation, else by a default
/// class or the settings.
pub fn select(settings: &Settings, reader: &Reader<'_>, ingress: &networking::Ingress) -> Selection {
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    let annotation = ingress.metadata.annotations.as_ref().and_then(|all| all.get(LEGACY_ANNOTATION));
    match (field, annotation.map(String::as_str)) {
        (Some(name), _) => by_field(settings, reader, ingress, name),
        (None, Some(name)) if !name.is_empty() => Selection::from(by_annotation(settings, reader, name)),
        _ => Selection::from(settings.watch_ingress_without_class || has_default(settings, reader)),
    }
}

/// What is wrong with a class of ours.
pub fn problems(settings: &Settings, class: &networking::IngressClass) -> impl Iterator<Item = Problem> {
    let name = class.metadata.name.as_deref().unwrap_or_default();
    let served = is_ours(class) && settings.serves_class(name);
    let parameters = class.spec.as_ref().and_then(|spec| spec.parameters.as_ref()).filter(|_| served);
    parameters.into_iter().map(move |_| {
        let message = "parameters of a class are not supported yet; they have no effect".to_owned();
        let object = ObjectRef::new(Kind::IngressClass.name(), "", name);
        Problem::error(&object, "spec.parameters", "ParametersNotSupported", message)
    })
}

fn by_field(
    settings: &Settings,
    reader: &Reader<'_>,
    ingress: &networking::Ingress,
    name: &str,
) -> Selection {
    if !settings.serves_class(name) {
        return Selection::default();
    }
    if let Some(class) = reader.ingress_class(name) {
        return Selection::from(is_ours(class));
    }
    let problem = Problem::error(
        &ingress_ref(ingress),
        "spec.ingressClassName",
        "IngressClassNotFound",
        format!(
            "there is no IngressClass {name:?}{}; no controller serves this Ingress",
            near::suggest(name, reader.names(Kind::IngressClass, ""))
        ),
    );
    Selection { ours: false, problem: Some(problem) }
}

/// The annotation holds a name that need not be that of an IngressClass: settings can name it too.
fn by_annotation(settings: &Settings, reader: &Reader<'_>, name: &str) -> bool {
    match reader.ingress_class(name) {
        Some(class) => is_ours(class) && settings.serves_class(name),
        None => settings.class_names.iter().any(|served| served == name),
    }
}

fn has_default(settings: &Settings, reader: &Reader<'_>) -> bool {
    reader.all(Kind::IngressClass, "").any(|object| match object {
        Object::IngressClass(class) => {
            let annotations = class.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get(DEFAULT_ANNOTATION)).is_some_and(|value| value == "true")
                && is_ours(class)
                && settings.serves_class(class.metadata.name.as_deref().unwrap_or_default())
        }
        _ => false,
    })
}

fn is_ours(class: &networking::IngressClass) -> bool {
    class.spec.as_ref().and_then(|spec| spec.controller.as_deref()) == Some(CONTROLLER)
}

impl From<bool> for Selection {
    fn from(ours: bool) -> Self {
        Self { ours, problem: None }
    }
}
