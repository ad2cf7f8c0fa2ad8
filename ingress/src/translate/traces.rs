//! Traces: how requests of an Ingress are traced, as its annotations and its class say.

use std::sync::Arc;

use selvedge_common::{
    filter::Template,
    model::{Problem, RouteTracing},
};

use super::{Context, RouteDraft, annotation_field, globals::with_names, ingress_ref};

/// The annotation that asks for traces.
const KEY: &str = "enable-opentelemetry";

/// What is said of traces; `None` leaves it to flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracingDraft {
    /// Whether requests are traced.
    pub traced: Option<bool>,
    /// Whether they go on with the traces of their callers.
    pub continues: Option<bool>,
    /// Name of their spans.
    pub operation: Option<Arc<str>>,
}

/// How the requests of a route are traced; `None` if it says nothing of it.
pub(super) fn of_route(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>) -> Option<Arc<RouteTracing>> {
    let said = &draft.tracing;
    if *said == TracingDraft::default() {
        return None;
    }
    let flags = cx.settings.tracing.as_ref().map(|tracing| &tracing.requests);
    let traced = said.traced.unwrap_or(flags.is_some_and(|requests| requests.traced));
    let continues = said.continues.unwrap_or(flags.is_none_or(|requests| requests.continues));
    if traced {
        tell_of_nowhere(cx, draft);
    }
    let [service, namespace, ingress] = draft.names();
    let port = draft.port();
    let names = [service, namespace, ingress, &*port, draft.written_path()];
    // That it is one was seen when it was read; only a very long path makes it too long.
    let operation = said.operation.as_ref().and_then(|name| Template::parse(&with_names(name, &names)).ok());
    Some(Arc::new(RouteTracing { traced, continues, operation }))
}

/// Tells the owner of an Ingress that asks for traces itself if there is nobody to send them to.
fn tell_of_nowhere(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>) {
    let field = annotation_field(draft.speaker, KEY);
    // What its class says is told there.
    if !field.starts_with("metadata") || cx.settings.tracing.is_some() {
        return;
    }
    if cx.globals(true, None).traces.collector.is_some() {
        return;
    }
    let message = "nothing says where to send traces, so none are written: set otlp-collector-host in the ConfigMap of \
        all Ingresses, or the flag --otlp-endpoint";
    let problem = Problem::warning(&ingress_ref(draft.speaker), field, "TracesGoNowhere", message.to_owned());
    if !cx.parts.problems.contains(&problem) {
        cx.parts.problems.push(problem);
    }
}
