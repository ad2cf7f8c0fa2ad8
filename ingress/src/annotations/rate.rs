//! Annotation group: how much one address may ask for.

use std::time::Duration;

use selvedge_common::filter::{Filter, RateKey, RateLimit, RequestLimit, ResponseRate};

use super::{
    Effect,
    form::{Cidrs, Count},
    key::key,
};
use crate::translate::RouteDraft;

/// ingress-nginx: how many times the limit may come at once.
const BURST: u32 = 5;

super::group! {
    /// Rate limits
    Rate {
        /// Requests a second of one address; more are answered 503. Each replica counts for itself, and all paths of the Ingress together.
        per_second: Count = key("limit-rps").example("`10`").protects();
        /// Requests a minute of one address.
        per_minute: Count = key("limit-rpm").example("`300`").protects();
        /// Requests of one address that are served at once.
        connections: Count = key("limit-connections").example("`20`").protects();
        /// How many times the limit may come at once.
        burst_multiplier: Count = key("limit-burst-multiplier").default("`5`").example("`3`");
        /// KiB a second of one answer; 0 is no limit.
        rate: Count = key("limit-rate").default("`0`").example("`512`");
        /// KiB of an answer before that counts.
        rate_after: Count = key("limit-rate-after").default("`0`").example("`1024`");
        /// Addresses without limits.
        allowlist: Cidrs = key("limit-allowlist").aliases(&["limit-whitelist"]).example("`10.0.0.0/8`");
    }
}

impl Effect for Rate {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        let except = self.allowlist.as_ref().map(|list| list.0.clone()).unwrap_or_default();
        let burst = self.burst_multiplier.map_or(BURST, |times| times.0).max(1);
        let globals = route.said.globals.clone();
        let id = |what: &str| format!("{} of {}", what, route.speaker_name()).into();
        let limit = |what, count: Option<Count>, per| {
            let requests = count.map(|count| count.0).filter(|count| *count > 0)?;
            Some(Filter::RateLimit(RateLimit {
                id: id(what),
                requests,
                per,
                // One beyond those that wait, as it is on its way already.
                burst: requests.saturating_mul(burst).saturating_add(1),
                key: globals.limit_key.clone().map_or(RateKey::Source, RateKey::Text),
                status: route.said.globals.rate_status,
                except: except.clone(),
            }))
        };
        let mut filters = Vec::new();
        filters.extend(limit("limit-rps", self.per_second, Duration::from_secs(1)));
        filters.extend(limit("limit-rpm", self.per_minute, Duration::from_secs(60)));
        if let Some(most) = self.connections.map(|count| count.0).filter(|count| *count > 0) {
            let (id, except) = (id("limit-connections"), except.clone());
            let status = route.said.globals.connections_status;
            let key = globals.limit_key.clone();
            filters.push(Filter::RequestLimit(RequestLimit { id, most, key, except, status }));
        }
        let kib = |count: Option<Count>| count.map_or(0, |count| u64::from(count.0) << 10);
        if kib(self.rate) > 0 {
            let (bytes_per_second, after_bytes) = (kib(self.rate), kib(self.rate_after));
            filters.push(Filter::ResponseRate(ResponseRate { bytes_per_second, after_bytes }));
        }
        route.filters.extend(filters);
    }
}
