//! Annotation group: how long requests may take.

use std::time::Duration;

use crate::translate::RouteDraft;

super::group! {
    /// Timeouts
    Timeouts {
        /// Longest wait for the backend's response head once the request is sent, all tries together (default `60s`).
        request: Duration = "request-timeout",
        /// Longest silence of the backend within its response body (default `60s`).
        backend_idle: Duration = "backend-idle-timeout",
    }
}

impl Timeouts {
    pub(super) fn apply(&self, route: &mut RouteDraft<'_>) {
        route.request_timeout = self.request;
        route.backend_idle_timeout = self.backend_idle;
    }
}
