//! Annotation group: keeping a client at the endpoint that answered it first.

use selvedge_common::{
    model::{Affinity, SecureCookie},
    quote::quote,
};

use super::{
    Effect,
    form::{self, AffinityKind, AffinityMode, CanaryBehaviour, Cookie, Path, SameSite, Seconds, Text},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

/// Name of the cookie where no other is given.
const COOKIE: &str = "INGRESSCOOKIE";

super::group! {
    /// Session affinity
    Stickiness {
        /// Keep a client at its endpoint by a cookie, while that endpoint is well.
        kind: AffinityKind = key("affinity").example("`cookie`");
        /// Whether clients move when endpoints join.
        mode: AffinityMode = key("affinity-mode").default("`balanced`").example("`persistent`")
            .approximated("the cookie names the endpoint, so that a client stays as long as it is there, as with `persistent`; a cookie that names none is replaced");
        /// Whether a client stays with the canary or with the main Service, too.
        canary: CanaryBehaviour = key("affinity-canary-behavior").default("`sticky`").example("`legacy`");
        /// Name of the cookie.
        name: Cookie = key("session-cookie-name").default("`INGRESSCOOKIE`").example("`route`");
        /// `Path` of the cookie; without it the path of the Ingress, and `/` where that is a regular expression.
        path: Path = key("session-cookie-path").example("`/`");
        /// `Domain` of the cookie.
        domain: Text = key("session-cookie-domain").example("`shop.example`");
        /// `SameSite` of the cookie; without it there is none.
        same_site: SameSite = key("session-cookie-samesite").example("`Lax`");
        /// Leave out `SameSite=None` for browsers that do not know it.
        conditional_none: bool = key("session-cookie-conditional-samesite-none").default("`false`").example("`true`")
            .no_effect("browsers that do not know `SameSite=None` are of before 2020");
        /// Whether the cookie is `Secure`; without it, it is where the client uses HTTPS.
        secure: bool = key("session-cookie-secure").example("`true`");
        /// `Max-Age` of the cookie in seconds; without it and `session-cookie-expires` the client keeps it until it is closed.
        max_age: Seconds = key("session-cookie-max-age").example("`86400`");
        /// The same by `Expires`.
        expires: Seconds = key("session-cookie-expires").example("`86400`");
        /// Whether the client gets a new cookie when its endpoint fails.
        change_on_failure: bool = key("session-cookie-change-on-failure").default("`false`").example("`true`")
            .no_effect("a client whose endpoint failed is answered by another one and stays there");
    }
}

impl Stickiness {
    /// What keeps clients, for a path of an Ingress; `None` keeps none.
    fn affinity(&self, path: &str) -> Option<Affinity> {
        self.kind?;
        let path = self.path.as_ref().map_or(path, |path| &path.0);
        let domain = self.domain.as_ref().map(|domain| domain.0.clone()).filter(|domain| is_domain(domain));
        Some(Affinity {
            cookie: self.name.as_ref().map_or(COOKIE, |name| &name.0).into(),
            path: path.into(),
            ttl: self.max_age.map(|time| time.0).filter(|time| !time.is_zero()),
            expires: self.expires.map(|time| time.0).filter(|time| !time.is_zero()),
            domain,
            holds_backend: self.canary != Some(CanaryBehaviour::Legacy),
            same_site: match self.same_site {
                None => selvedge_common::model::SameSite::Unsaid,
                Some(form::SameSite::Every) => selvedge_common::model::SameSite::None,
                Some(form::SameSite::Lax) => selvedge_common::model::SameSite::Lax,
                Some(form::SameSite::Strict) => selvedge_common::model::SameSite::Strict,
            },
            secure: match self.secure {
                None => SecureCookie::OverTls,
                Some(true) => SecureCookie::Always,
                Some(false) => SecureCookie::Never,
            },
        })
    }
}

/// Whether a text can be a `Domain`; one with a dot before it is taken as browsers do.
fn is_domain(text: &str) -> bool {
    selvedge_common::kube::host::check(&text.trim_start_matches('.').to_ascii_lowercase()).is_ok()
}

impl Effect for Stickiness {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.upstream.affinity = self.affinity(&route.cookie_path());
    }

    fn judge(&self, given: &mut Given<'_>) {
        if let Some(Text(domain)) = self.domain.as_ref().filter(|domain| !is_domain(&domain.0)) {
            let message = format!("{} is no name of a host; the cookie has no Domain", quote(domain));
            given.tell("session-cookie-domain", "InvalidAnnotation", message);
        }
    }
}
