//! Annotation group: from which addresses requests may come.

use selvedge_common::filter::{Access as Lists, Filter};

use super::{Effect, form::Cidrs, given::Given, key::key};
use crate::translate::RouteDraft;

super::group! {
    /// Access by address
    Access {
        /// Only these may.
        allow: Cidrs = key("allowlist-source-range").aliases(&["whitelist-source-range"]).example("`10.0.0.0/8`").protects();
        /// These may not.
        deny: Cidrs = key("denylist-source-range").example("`192.0.2.0/24`").protects()
            .limits("Also where `satisfy: any` lets a password make up for an address: in ingress-nginx it makes up for these, too.");
    }
}

impl Effect for Access {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        // ingress-nginx: who shows a password comes in from there, too. Here a list of who may not holds for everybody.
        let asks = route.passwords.is_some() || route.asks.is_some();
        let mut allow = self.allow.as_ref().map(|allow| allow.0.clone());
        if route.satisfies_any && asks {
            // Who is allowed is not asked, and all others are.
            route.spared = allow.take().unwrap_or_default();
        }
        let deny = self.deny.as_ref().map(|deny| deny.0.clone()).unwrap_or_default();
        if allow.is_some() || !deny.is_empty() {
            route.filters.push(Filter::Access(Lists { allow, deny }));
        }
    }

    fn judge(&self, given: &mut Given<'_>) {
        let any = given.value("satisfy").map(str::trim) == Some("any");
        if self.deny.is_some() && any && (given.has("auth-type") || given.has("auth-url")) {
            let message = "with `satisfy: any` ingress-nginx lets those in who have a password; here nobody comes in from \
                           these addresses"
                .to_owned();
            given.warn("denylist-source-range", "AnnotationApproximated", message);
        }
    }
}
