//! Annotation group: from which addresses requests may come.

use selvedge_common::filter::{Access as Lists, Filter};

use super::{Effect, form::Cidrs, key::key};
use crate::translate::RouteDraft;

super::group! {
    /// Access by address
    Access {
        /// Only these may.
        allow: Cidrs = key("allowlist-source-range").aliases(&["whitelist-source-range"]).example("`10.0.0.0/8`").protects();
        /// These may not.
        deny: Cidrs = key("denylist-source-range").example("`192.0.2.0/24`").protects();
    }
}

impl Effect for Access {
    fn apply(&self, route: &mut RouteDraft<'_>) {
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
}
