//! Annotation group: what is written about requests.

use super::{Effect, form::Text, key::key};
use crate::translate::RouteDraft;

/// What happens until it is honoured.
const MEANWHILE: &str = "no traces are written";

super::group! {
    /// Logs and traces
    Observability {
        /// Whether requests are in the access log.
        access_log: bool = key("enable-access-log").default("`true`").example("`false`");
        /// Write rewrites to the log of errors.
        rewrite_log: bool = key("enable-rewrite-log").default("`false`").example("`true`")
            .no_effect("what a route does with a request is in the snapshot at the admin address");
        /// Write traces.
        opentelemetry: bool = key("enable-opentelemetry").example("`true`").not_yet(MEANWHILE);
        /// Believe the trace that a request says it belongs to.
        trust_span: bool = key("opentelemetry-trust-incoming-span").default("`true`").example("`false`").not_yet(MEANWHILE);
        /// Name of the operation in traces.
        operation_name: Text = key("opentelemetry-operation-name").example("`shop`").not_yet(MEANWHILE);
    }
}

impl Effect for Observability {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.unlogged = self.access_log == Some(false);
    }
}
