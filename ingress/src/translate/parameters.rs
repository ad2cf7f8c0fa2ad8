//! Parameters of classes: the EdgeParameters that an IngressClass names, and what is said where it names none that count.

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::{
    id::ObjectRef,
    kube::{
        objects::{Kind, Object},
        reader::Reader,
        rules,
        translation::ObjectTranslation,
    },
    model::Problem,
};
use selvedge_crds::EdgeParameters;

use super::near;
use crate::{class, globals::Globals, settings::Settings};

/// The API group of EdgeParameters.
const GROUP: &str = "selvedge.dev";
/// What follows where parameters are not there that may protect paths.
const CLOSED: &str = "they may be what protects paths, so all those of this class answer 503";

/// Why what an IngressClass names does not count.
pub(super) struct Fault {
    field: &'static str,
    reason: &'static str,
    message: String,
    /// Whether protections may be missing, so that nothing may pass.
    pub(super) closes: bool,
}

/// The EdgeParameters that a class names, if it names any.
///
/// # Errors
/// It names something else, or some that are not there.
pub(super) fn find<'r>(
    reader: &Reader<'r>,
    class: &networking::IngressClass,
    adopted: bool,
) -> Result<Option<&'r EdgeParameters>, Fault> {
    let named = class.spec.as_ref().and_then(|spec| spec.parameters.as_ref());
    let Some(named) = named else { return Ok(None) };
    let fault = |field, reason, message| Fault { field, reason, message, closes: true };
    let (group, kind) = (named.api_group.as_deref().unwrap_or_default(), named.kind.as_str());
    let is_kind = kind == Kind::EdgeParameters.name();
    if adopted && !is_kind && group != GROUP {
        // ingress-nginx: it reads no parameters, so whatever they are, the class has been served without them.
        let message = format!("{} are not read, as they are not by ingress-nginx", text(group, kind));
        let (field, reason) = ("spec.parameters", "UnsupportedParameters");
        return Err(Fault { field, reason, message, closes: false });
    }
    if !is_kind || group != GROUP {
        let field = if is_kind { "spec.parameters.apiGroup" } else { "spec.parameters.kind" };
        let wanted = text(GROUP, Kind::EdgeParameters.name());
        let message = format!("{} are not read, {wanted} are; {CLOSED}", text(group, kind));
        return Err(fault(field, "UnsupportedParameters", message));
    }
    if named.scope.as_deref() == Some("Namespace") || named.namespace.is_some() {
        let message = format!(
            "EdgeParameters are of the whole cluster and not in a namespace: write scope: Cluster, and no namespace; \
             {CLOSED}"
        );
        return Err(fault("spec.parameters.scope", "UnsupportedParameters", message));
    }
    match reader.object(Kind::EdgeParameters, "", &named.name) {
        Some(Object::EdgeParameters(parameters)) => Ok(Some(&**parameters)),
        _ => {
            let suggestion = near::suggest(&named.name, reader.names(Kind::EdgeParameters, ""));
            let message = format!("there are no EdgeParameters {:?}{suggestion}; {CLOSED}", named.name);
            Err(fault("spec.parameters.name", "ParametersNotFound", message))
        }
    }
}

/// What is wrong with the parameters of a class that is served.
pub(super) fn problem(
    settings: &Settings,
    reader: &Reader<'_>,
    class: &networking::IngressClass,
) -> Option<Problem> {
    let selection = class::served(settings, class);
    let fault = find(reader, selection.class?, selection.adopted).err()?;
    let name = class.metadata.name.as_deref().unwrap_or_default();
    let object = ObjectRef::new(Kind::IngressClass.name(), "", name);
    let Fault { field, reason, message, closes } = fault;
    Some(match closes {
        true => Problem::error(&object, field, reason, message),
        false => Problem::warning(&object, field, reason, message),
    })
}

/// Judges EdgeParameters for the classes that are served and name them. Without any they are nobody's, or another
/// program's.
pub(super) fn translate(
    settings: &Settings,
    reader: &Reader<'_>,
    parameters: &EdgeParameters,
) -> ObjectTranslation {
    let class_of = |object: &Object| {
        let Object::IngressClass(class) = object else { return None };
        let selection = class::served(settings, class);
        let found = find(reader, selection.class?, selection.adopted).ok()??;
        let is_it = found.metadata.name == parameters.metadata.name;
        is_it.then(|| class.metadata.name.clone().unwrap_or_default())
    };
    let classes: Vec<_> = reader.all(Kind::IngressClass, "").filter_map(class_of).collect();
    if classes.is_empty() {
        return ObjectTranslation::default();
    }
    let (_, problems) = Globals::of_parameters(parameters, false);
    let targets = classes.iter().map(|class| rules::conditions(format!("class {class}"), &problems, None));
    ObjectTranslation { ours: true, targets: targets.collect(), problems }
}

/// A kind as a person reads it.
fn text(group: &str, kind: &str) -> String {
    match group {
        "" => format!("{kind} of no apiGroup"),
        group => format!("{kind} of apiGroup {group}"),
    }
}
