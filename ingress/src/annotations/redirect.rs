//! Annotation group: redirect from HTTP to HTTPS.

use selvedge_common::filter::{Filter, RedirectHttps};

use crate::translate::RouteDraft;

super::group! {
    /// Redirect to HTTPS
    Redirect {
        /// Answer plain requests with 308 to the same URL over HTTPS, for hosts that some Ingress names under `spec.tls`.
        ssl_redirect: bool = "ssl-redirect",
        /// The same for every host, also where TLS ends in front of Selvedge.
        force_ssl_redirect: bool = "force-ssl-redirect",
    }
}

impl Redirect {
    pub(super) fn apply(&self, route: &mut RouteDraft<'_>) {
        let wanted = self.ssl_redirect == Some(true) && route.host_has_tls;
        if wanted || self.force_ssl_redirect == Some(true) {
            route.filters.push(Filter::RedirectHttps(RedirectHttps { status: 308, as_sent: false }));
        }
    }
}
