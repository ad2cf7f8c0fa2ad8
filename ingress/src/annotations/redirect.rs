//! Annotation group: redirect from HTTP to HTTPS.

use selvedge_common::filter::{Filter, RedirectHttps};

use super::{Effect, key::key};
use crate::{globals::Globals, translate::RouteDraft};

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

impl Effect for Redirect {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let globals = route.said.globals.clone();
        route.filters.extend(globals.strict_transport.clone().map(Filter::StrictTransport));
        let wanted = self.ssl_redirect.unwrap_or(route.adopted) && route.host_has_tls;
        // What is passed on in canonical form keeps its slash.
        let as_sent = route.adopted && self.preserve_trailing_slash != Some(true);
        let is_free = Globals::begins(route.written_path(), &globals.unredirected);
        if (wanted || self.force_ssl_redirect == Some(true)) && !is_free {
            route
                .filters
                .push(Filter::RedirectHttps(RedirectHttps { status: globals.redirect_status, as_sent }));
        }
    }
}
