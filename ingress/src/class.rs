//! Classes: which Ingresses are ours.

use std::sync::Arc;

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::{
    kube::{
        ingress::Ingress,
        objects::{Kind, Object},
        reader::Reader,
        store::Objects,
    },
    model::Problem,
    quote::quote,
};

use crate::{
    settings::Settings,
    translate::{ingress_ref, near},
};

/// The name that an IngressClass of ours has in `spec.controller`.
pub const CONTROLLER: &str = "selvedge.dev/ingress";

/// The name that an IngressClass of ingress-nginx has there, unless it was told another one.
pub const NGINX_CONTROLLER: &str = "k8s.io/ingress-nginx";

/// The value of [`LEGACY_ANNOTATION`] by which Ingresses were ingress-nginx's without any IngressClass.
pub const NGINX_CLASS: &str = "nginx";

/// Annotation of an Ingress that names its class, from before `spec.ingressClassName`.
pub const LEGACY_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Annotation of an IngressClass that makes it the class of Ingresses that name none.
pub const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// Whether an Ingress is ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection<'r> {
    /// Whether it is.
    pub ours: bool,
    /// Whether it is so because its class was taken over from ingress-nginx, whose ways then count.
    pub adopted: bool,
    /// The IngressClass that makes it so, if there is one.
    pub class: Option<&'r networking::IngressClass>,
    /// What is wrong with its class, for its owner.
    pub problem: Option<Problem>,
}

/// Decides whether an Ingress is ours: by `spec.ingressClassName`, else by the legacy annotation, else by a default
/// class or the settings.
///
/// One without a class is as the default class is, one of ours before one of ingress-nginx. Without a default class it
/// is ingress-nginx's where its classes are taken over, as with the flag of the same name there: whoever writes an
/// Ingress for us names a class of ours.
pub fn select<'r>(settings: &Settings, reader: &Reader<'r>, ingress: &Ingress) -> Selection<'r> {
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    match (field, annotated(ingress)) {
        (Some(name), _) => by_field(settings, reader, ingress, name),
        (None, Some(name)) => by_annotation(settings, reader, name),
        _ => by_default(settings, reader),
    }
}

/// Whether Ingresses of a class are ours: by its controller, and by the names of classes that settings have.
pub fn served<'r>(settings: &Settings, class: &'r networking::IngressClass) -> Selection<'r> {
    if !settings.serves_class(class.metadata.name.as_deref().unwrap_or_default()) {
        return Selection::default();
    }
    let adopted = settings.adopt_ingress_nginx && is_nginx(settings, class);
    match adopted || is_ours(class) {
        true => Selection { ours: true, adopted, class: Some(class), problem: None },
        false => Selection::default(),
    }
}

/// The class that an Ingress names, by its field or else by the legacy annotation.
pub fn named(ingress: &Ingress) -> Option<&str> {
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    field.or_else(|| annotated(ingress))
}

/// Whether an Ingress of ours is so because its class was taken over from ingress-nginx.
pub fn is_adopted(settings: &Settings, objects: &Objects, ingress: &Ingress) -> bool {
    if !settings.adopt_ingress_nginx {
        return false;
    }
    let Some(name) = named(ingress) else {
        let classes = objects.in_namespace(Kind::IngressClass, "").map(|(_, object)| object);
        let mut defaults = classes.filter_map(|object| default_class(settings, object));
        return !defaults.any(|selection| !selection.adopted);
    };
    match objects.get(Kind::IngressClass, "", name) {
        Some(Object::IngressClass(class)) => is_nginx(settings, class),
        // Only the annotation may name a class that is not there.
        _ => name == NGINX_CLASS,
    }
}

/// What to say of classes that the settings name and nothing else does.
pub fn unknown(settings: &Settings, objects: &Objects) -> Vec<String> {
    let classes: Vec<_> = objects.in_namespace(Kind::IngressClass, "").map(|(name, _)| &**name).collect();
    let unknown = settings.class_names.iter().filter(|wanted| {
        let is_annotated = |ingress: &Arc<Ingress>| annotated(ingress) == Some(wanted.as_str());
        !classes.contains(&wanted.as_str()) && !ingresses(objects).any(is_annotated)
    });
    let say = |wanted: &String| {
        let suggestion = near::suggest(wanted, classes.iter().copied());
        format!("--ingress-class {wanted}: there is no such IngressClass{suggestion}")
    };
    unknown.map(say).collect()
}

/// Ingresses that nobody serves as far as we can see, because they name no class. They may be somebody else's.
pub fn classless(settings: &Settings, objects: &Objects) -> Vec<Problem> {
    let mut classes = objects.in_namespace(Kind::IngressClass, "").map(|(_, object)| object);
    if settings.watch_ingress_without_class || classes.any(|object| default_class(settings, object).is_some())
    {
        return Vec::new();
    }
    let classless = ingresses(objects).filter(|ingress| {
        let named = ingress.spec.as_ref().is_some_and(|spec| spec.ingress_class_name.is_some());
        let namespace = &*ingress.metadata.namespace;
        !named && annotated(ingress).is_none() && settings.serves_namespace(namespace)
    });
    let problem = |ingress: &Arc<Ingress>| {
        let message = "it names no class and there is no default class; set spec.ingressClassName".to_owned();
        Problem::warning(&ingress_ref(ingress), "spec.ingressClassName", "NoIngressClass", message)
    };
    classless.map(problem).collect()
}

fn ingresses(objects: &Objects) -> impl Iterator<Item = &Arc<Ingress>> {
    objects.of_kind(Kind::Ingress).filter_map(|object| match object {
        Object::Ingress(ingress) => Some(ingress),
        _ => None,
    })
}

/// The class by the legacy annotation.
fn annotated(ingress: &Ingress) -> Option<&str> {
    ingress.metadata.annotations.get(LEGACY_ANNOTATION).filter(|name| !name.is_empty())
}

fn by_field<'r>(settings: &Settings, reader: &Reader<'r>, ingress: &Ingress, name: &str) -> Selection<'r> {
    if !settings.serves_class(name) {
        return Selection::default();
    }
    if let Some(class) = reader.ingress_class(name) {
        return served(settings, class);
    }
    let problem = Problem::error(
        &ingress_ref(ingress),
        "spec.ingressClassName",
        "IngressClassNotFound",
        format!(
            "there is no IngressClass {}{}; no controller serves this Ingress",
            quote(name),
            near::suggest(name, reader.names(Kind::IngressClass, ""))
        ),
    );
    Selection { problem: Some(problem), ..Selection::default() }
}

/// The annotation holds a name that need not be that of an IngressClass: settings can name it too.
fn by_annotation<'r>(settings: &Settings, reader: &Reader<'r>, name: &str) -> Selection<'r> {
    match reader.ingress_class(name) {
        Some(class) => served(settings, class),
        None => {
            let adopted = settings.adopt_ingress_nginx && name == NGINX_CLASS && settings.serves_class(name);
            let named = settings.class_names.iter().any(|served| served == name);
            Selection { ours: adopted || named, adopted, ..Selection::default() }
        }
    }
}

fn by_default<'r>(settings: &Settings, reader: &Reader<'r>) -> Selection<'r> {
    let defaults = reader.all(Kind::IngressClass, "").filter_map(|object| default_class(settings, object));
    let chosen = defaults.min_by_key(|selection| selection.adopted);
    chosen.unwrap_or_else(|| {
        let ours = settings.watch_ingress_without_class;
        Selection { ours, adopted: ours && settings.adopt_ingress_nginx, ..Selection::default() }
    })
}

/// What Ingresses without a class are by this one, if it is served and the default.
fn default_class<'r>(settings: &Settings, object: &'r Object) -> Option<Selection<'r>> {
    let Object::IngressClass(class) = object else { return None };
    let annotation = class.metadata.annotations.as_ref().and_then(|all| all.get(DEFAULT_ANNOTATION));
    let is_default = annotation.is_some_and(|value| value == "true");
    Some(served(settings, class)).filter(|selection| is_default && selection.ours)
}

fn controller(class: &networking::IngressClass) -> Option<&str> {
    class.spec.as_ref().and_then(|spec| spec.controller.as_deref())
}

/// Whether a class is one of ingress-nginx.
fn is_nginx(settings: &Settings, class: &networking::IngressClass) -> bool {
    let named = &settings.nginx_controllers;
    controller(class).is_some_and(|controller| match named.is_empty() {
        true => controller == NGINX_CONTROLLER,
        false => named.iter().any(|name| name == controller),
    })
}

fn is_ours(class: &networking::IngressClass) -> bool {
    controller(class) == Some(CONTROLLER)
}
