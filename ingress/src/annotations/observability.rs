//! Annotation group: what is written about requests.

use super::{Effect, form::Operation, key::key};
use crate::translate::RouteDraft;

super::group! {
    /// Logs and traces
    Observability {
        /// Whether requests are in the access log.
        access_log: bool = key("enable-access-log").default("`true`").example("`false`");
        /// Write rewrites to the log of errors.
        rewrite_log: bool = key("enable-rewrite-log").default("`false`").example("`true`")
            .no_effect("what a route does with a request is in the snapshot at the admin address");
        /// Trace its requests with OpenTelemetry, where `otlp-collector-host` or `--otlp-endpoint` says where to send spans; with that flag requests are traced unless this says `false`.
        opentelemetry: bool = key("enable-opentelemetry").example("`true`");
        /// Go on with the trace that a request says it belongs to (`traceparent` of W3C Trace Context).
        trust_span: bool = key("opentelemetry-trust-incoming-span").default("`true`").example("`false`");
        /// Name of spans; without it the method and the path of the route.
        operation_name: Operation = key("opentelemetry-operation-name").example("`shop`");
    }
}

impl Effect for Observability {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.unlogged = self.access_log == Some(false);
        let tracing = &mut route.tracing;
        (tracing.traced, tracing.continues) = (self.opentelemetry, self.trust_span);
        tracing.operation = self.operation_name.as_ref().map(|name| name.0.clone());
    }
}
