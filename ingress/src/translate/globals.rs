//! Globals of classes: the ConfigMap that they are read from, those that it names, and what they add to routes.

use std::sync::{Arc, LazyLock};

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::{
    filter::{
        Access, Field, FieldChanges, FieldTemplates, Filter, Networks, RequestHeaders, ResponseHeaders,
        Template, TemplateField, check_token, check_value,
    },
    id::ObjectRef,
    kube::{
        near,
        objects::{Kind, Object},
        reader::Reader,
        store::Objects,
    },
    model::Problem,
};
use selvedge_crds::EdgeParameters;

use super::{Context, RouteDraft, parameters};
use crate::{
    annotations::form::ObjectName,
    globals::{ConfigMapName, Globals, Source, field, lay_over},
    settings::Settings,
};

impl<'r> Context<'_, 'r> {
    /// What counts for all Ingresses of a class, which was adopted or is of ours; without a class, what counts for those
    /// that are served all the same, and for listeners.
    pub(super) fn globals(
        &mut self,
        adopted: bool,
        class: Option<&'r networking::IngressClass>,
    ) -> Arc<Globals> {
        let (settings, reader) = (self.settings, self.reader);
        let name = class.and_then(|class| class.metadata.name.as_deref()).unwrap_or_default();
        let read = || of_class(settings, reader, (adopted, class));
        self.globals.entry((adopted, name)).or_insert_with(read).clone()
    }
}

/// What counts for classes of which nobody says anything: those of ours and those that were adopted.
static UNSAID: LazyLock<[Arc<Globals>; 2]> =
    LazyLock::new(|| [false, true].map(|adopted| Arc::new(Globals::of_class(adopted))));

/// ConfigMap and EdgeParameters together. What is wrong with them is told once for these objects.
fn of_class(
    settings: &Settings,
    reader: &Reader<'_>,
    (adopted, class): (bool, Option<&networking::IngressClass>),
) -> Arc<Globals> {
    let (parameters, closes) = match class.map(|class| parameters::find(reader, class, adopted)) {
        Some(Ok(parameters)) => (parameters, false),
        Some(Err(fault)) => (None, fault.closes),
        None => (None, false),
    };
    let is_unsaid = parameters.is_none() && !(adopted && settings.nginx_configmap.is_some());
    if is_unsaid && !closes {
        return UNSAID[usize::from(adopted)].clone();
    }
    let mut globals = match (adopted, parameters) {
        (true, parameters) => read(settings, reader, parameters).0,
        (false, Some(parameters)) => Globals::of_parameters(parameters, false).0,
        (false, None) => Globals::of_class(false),
    };
    globals.unprotected |= closes;
    Arc::new(globals)
}

/// Whether an object is the ConfigMap of global settings.
pub(super) fn is_global(settings: &Settings, object: &Object) -> bool {
    let key = object.key();
    let is_it = |wanted: &ConfigMapName| *wanted.namespace == *key.namespace && *wanted.name == *key.name;
    settings.nginx_configmap.as_ref().is_some_and(is_it)
}

/// What is wrong with the ConfigMap of global settings, and with those that it names.
pub(super) fn problems(settings: &Settings, reader: &Reader<'_>) -> Vec<Problem> {
    read(settings, reader, None).1
}

/// What to say of ConfigMaps that flags name and that are not there.
pub fn missing_config_maps(settings: &Settings, objects: &Objects) -> Vec<String> {
    let flags = [
        ("--nginx-configmap", &settings.nginx_configmap),
        ("--tcp-services-configmap", &settings.tcp_services),
        ("--udp-services-configmap", &settings.udp_services),
    ];
    let say = |(flag, wanted): (&str, &Option<ConfigMapName>)| {
        let wanted = wanted.as_ref()?;
        let mut names = objects.in_namespace(Kind::ConfigMap, &wanted.namespace).map(|(name, _)| &**name);
        if names.any(|name| name == wanted.name) {
            return None;
        }
        let names = objects.in_namespace(Kind::ConfigMap, &wanted.namespace).map(|(name, _)| &**name);
        Some(format!("{flag} {wanted}: there is no such ConfigMap{}", near::suggest(&wanted.name, names)))
    };
    flags.into_iter().filter_map(say).collect()
}

/// Reads the ConfigMap, with EdgeParameters laid over it; without one, these alone.
fn read(
    settings: &Settings,
    reader: &Reader<'_>,
    parameters: Option<&EdgeParameters>,
) -> (Globals, Vec<Problem>) {
    let map = settings.nginx_configmap.as_ref().and_then(|wanted| {
        let map = reader.config_map(&wanted.namespace, &wanted.name)?;
        Some((wanted, map))
    });
    let Some((wanted, map)) = map else {
        let alone = parameters.map(|parameters| Globals::of_parameters(parameters, true));
        return alone.unwrap_or_else(|| (Globals::of_class(true), Vec::new()));
    };
    let object = ObjectRef::new(Kind::ConfigMap.name(), &wanted.namespace, &wanted.name);
    let mut data = map.data.clone().unwrap_or_default();
    if let Some(parameters) = parameters {
        lay_over(&mut data, &parameters.spec);
    }
    let (mut globals, mut problems) = Globals::read(Source::ConfigMap(&object), &data, true);
    if globals.traces.asks_for_a_collector() && settings.tracing.is_none() {
        let message = "nothing says where to send traces, so none are written: set otlp-collector-host, or the flag \
            --otlp-endpoint";
        let field = field("enable-opentelemetry");
        problems.push(Problem::warning(&object, field, "TracesGoNowhere", message.to_owned()));
    }
    let mut fields = Fields { reader, object: &object, problems: &mut problems };
    let headers = parameters.and_then(|parameters| parameters.spec.headers.as_ref());
    if let Some(name) = &globals.request_fields
        && headers.is_none_or(|headers| headers.request.is_none())
    {
        let read = fields.read("proxy-set-headers", name, check_request);
        let (templates, plain) = read.into_iter().partition(|field| field.value.contains('$'));
        globals.request_changes = changes(plain);
        globals.request_templates.extend::<Vec<_>>(templates);
    }
    if let Some(name) = &globals.answer_fields {
        globals.answer_changes = changes(fields.read("add-headers", name, check_answer));
    }
    if let Some(parameters) = parameters {
        globals.change_headers(parameters, &mut problems);
    }
    (globals, problems)
}

/// What fields with plain values change.
///
/// ingress-nginx: an empty value takes the field away.
fn changes(fields: Vec<Field>) -> FieldChanges {
    let (empty, set): (Vec<_>, Vec<_>) = fields.into_iter().partition(|field| field.value.is_empty());
    let remove = empty.into_iter().map(|field| field.name).collect();
    FieldChanges { set, remove, ..FieldChanges::default() }
}

/// Where ConfigMaps with header fields are read.
struct Fields<'a, 'r> {
    reader: &'a Reader<'r>,
    /// The ConfigMap that names them.
    object: &'a ObjectRef,
    problems: &'a mut Vec<Problem>,
}

impl Fields<'_, '_> {
    /// The fields that a ConfigMap holds. Those that are wrong are told on it, and left out.
    fn read(
        &mut self,
        key: &str,
        name: &ObjectName,
        check: fn(&str, &str) -> Result<(), String>,
    ) -> Vec<Field> {
        let namespace = name.namespace.as_deref().unwrap_or(&self.object.namespace);
        let Some(map) = self.reader.config_map(namespace, &name.name) else {
            let suggestion = near::suggest(&name.name, self.reader.names(Kind::ConfigMap, namespace));
            let message =
                format!("there is no ConfigMap {namespace}/{}{suggestion}; no field of it is set", name.name);
            self.problems.push(Problem::error(self.object, field(key), "ConfigMapNotFound", message));
            return Vec::new();
        };
        let object = ObjectRef::new(Kind::ConfigMap.name(), namespace, &name.name);
        let mut fields = Vec::new();
        for (field_name, value) in map.data.iter().flatten() {
            match check(field_name, value) {
                Ok(()) => {
                    fields.push(Field { name: field_name.as_str().into(), value: value.as_str().into() })
                }
                Err(why) => {
                    let message = format!("{why}; it has no effect");
                    self.problems.push(Problem::error(&object, field(field_name), "InvalidHeader", message));
                }
            }
        }
        fields
    }
}

fn check_request(name: &str, value: &str) -> Result<(), String> {
    check_token(name)?;
    RequestHeaders::check_name(name)?;
    if value.contains('$') {
        Template::parse(&with_names(value, &["x"; 5])).map_err(|why| why.to_string())?;
    }
    check_value(value)
}

/// Variables that are known of a route before there is a request.
const NAMES: [&str; 5] = ["service_name", "namespace", "ingress_name", "service_port", "location_path"];

/// A text with these values in place of [`NAMES`].
pub(crate) fn with_names(text: &str, values: &[&str; 5]) -> String {
    NAMES.iter().zip(values).fold(text.to_owned(), |text, (name, value)| {
        let value = Template::escape(value);
        text.replace(&format!("${{{name}}}"), &value).replace(&format!("${name}"), &value)
    })
}

/// Fields of requests whose values have variables, for a route.
fn templates(draft: &RouteDraft<'_>) -> Vec<TemplateField> {
    let fields = &draft.said.globals.request_templates;
    if fields.is_empty() {
        return Vec::new();
    }
    let [service, namespace, ingress] = draft.names();
    let port = draft.port();
    let values = [service, namespace, ingress, &*port, draft.written_path()];
    let template = |field: &Field| {
        // That it is one was seen when it was read; only a very long path makes it too long.
        let value = Template::parse(&with_names(&field.value, &values)).ok()?;
        Some(TemplateField { name: field.name.clone(), value })
    };
    fields.iter().filter_map(template).collect()
}

fn check_answer(name: &str, value: &str) -> Result<(), String> {
    check_token(name)?;
    ResponseHeaders::check_name(name)?;
    check_value(value)
}

/// Adds what counts for all routes of a class, beneath what annotations add.
pub(super) fn add(draft: &mut RouteDraft<'_>) {
    let globals = draft.said.globals.clone();
    let fields = templates(draft);
    draft.unprotected |= globals.unprotected;
    let filters = &mut draft.filters;
    if globals.blocked != Networks::default() {
        filters.push(Filter::Access(Access { allow: None, deny: globals.blocked.clone() }));
    }
    filters.extend(globals.blocked_fields.iter().cloned().map(Filter::FieldBlock));
    if globals.request_changes != FieldChanges::default() {
        filters.push(Filter::RequestHeaders(RequestHeaders { changes: globals.request_changes.clone() }));
    }
    if !fields.is_empty() {
        filters.push(Filter::FieldTemplates(FieldTemplates { fields }));
    }
    let mut changes = globals.answer_changes.clone();
    changes.remove.extend(globals.hidden_fields.iter().cloned());
    if changes != FieldChanges::default() {
        filters.push(Filter::ResponseHeaders(ResponseHeaders { changes }));
    }
    filters.extend(globals.compression.clone().map(Filter::Compression));
}
