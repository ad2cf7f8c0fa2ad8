//! Annotation group: who answers when the backend fails.

use super::{
    Effect,
    form::{Codes, ObjectName},
    given::Given,
    key::key,
};
use crate::translate::{ErrorDraft, RouteDraft};

super::group! {
    /// Errors
    Errors {
        /// Service in the namespace of the Ingress that answers where the backend has no endpoints, and for the statuses of `custom-http-errors`. Its first port counts.
        default_backend: ObjectName = key("default-backend").example("`errors`");
        /// Statuses of answers in whose place that Service answers; it is told in `X-Code` and others what went wrong.
        codes: Codes = key("custom-http-errors").example("`404,503`").limits("Needs `default-backend`.");
        /// Leave answers with these statuses as they are.
        no_intercept: bool = key("disable-proxy-intercept-errors").default("`false`").example("`true`");
    }
}

impl Effect for Errors {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let statuses = self.codes.as_ref().filter(|_| self.no_intercept != Some(true));
        route.errors = self.default_backend.as_ref().map(|service| ErrorDraft {
            service: service.clone(),
            statuses: statuses.map(|codes| codes.0.to_vec()).unwrap_or_default(),
        });
    }

    fn judge(&self, given: &mut Given<'_>) {
        if self.codes.is_some() && self.default_backend.is_none() {
            let message = "default-backend does not say who answers; it has no effect".to_owned();
            given.tell("custom-http-errors", "IncompleteAnnotations", message);
        }
    }
}
