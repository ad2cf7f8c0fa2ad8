//! Annotation group: redirect from HTTP to HTTPS.

use selvedge_common::filter::{Filter, RedirectHttps, StrictTransport};

use super::{Effect, key::key};
use crate::translate::RouteDraft;

/// ingress-nginx: paths of an Ingress that begin so are never redirected.
const ACME: &str = "/.well-known/acme-challenge";

/// ingress-nginx: how long browsers come over HTTPS once they did.
const HSTS_SECONDS: u64 = 31_536_000;

super::group! {
    /// Redirect to HTTPS
    Redirect {
        /// Answer plain requests with 308 to the same URL over HTTPS, for hosts that some Ingress names under `spec.tls`, and for all hosts of an Ingress of ingress-nginx that has any `spec.tls`.
        ssl_redirect: bool = key("ssl-redirect").example("`true`")
            .limits("Without it `true` in classes of ingress-nginx and `false` in others. Paths of an Ingress that begin with `/.well-known/acme-challenge` are left out.");
        /// The same for every host, also where TLS ends in front of Selvedge.
        force_ssl_redirect: bool = key("force-ssl-redirect").default("`false`").example("`true`");
        /// Leave a slash at the end of the path where it is redirected to HTTPS; else it is cut off in classes of ingress-nginx.
        preserve_trailing_slash: bool = key("preserve-trailing-slash").default("`false`").example("`true`");
    }
}

impl Redirect {
    /// What tells browsers to come over HTTPS, in classes of ingress-nginx.
    pub(crate) fn strict_transport(&self) -> Filter {
        let (max_age_seconds, include_subdomains) = (HSTS_SECONDS, true);
        Filter::StrictTransport(StrictTransport { max_age_seconds, include_subdomains, preload: false })
    }
}

impl Effect for Redirect {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        if route.adopted {
            route.filters.push(self.strict_transport());
        }
        let wanted = self.ssl_redirect.unwrap_or(route.adopted) && route.host_has_tls;
        // What is passed on in canonical form keeps its slash.
        let as_sent = route.adopted && self.preserve_trailing_slash != Some(true);
        let is_free = route.written_path().starts_with(ACME);
        if (wanted || self.force_ssl_redirect == Some(true)) && !is_free {
            route.filters.push(Filter::RedirectHttps(RedirectHttps { status: 308, as_sent }));
        }
    }
}
