//! Annotation group: when a request that failed is sent to another endpoint.

use std::time::Duration;

use selvedge_common::model::{Retry, RetryOn};

use super::{
    Effect,
    form::{Count, NextUpstream, Outcome, Time},
    given::Given,
    key::key,
};
use crate::translate::RouteDraft;

/// ingress-nginx: how often a request is tried where nothing else is said.
const TRIES: u32 = 3;
/// More tries than anybody needs, and few enough to end.
const MOST_TRIES: u32 = 10;

super::group! {
    /// Retries
    Retries {
        /// Which failures are worth another try. Requests whose method is not idempotent are tried again only with `non_idempotent`.
        on: NextUpstream = key("proxy-next-upstream").default("`error timeout`").example("`error timeout http_503`")
            .limits("Beside it the budget of the backend holds: 20 % of its requests and 10 a second. Bodies over 64 KiB are sent once. An endpoint that fails several times in a row is asked nothing for a while, whatever is said here.");
        /// How often a request is tried in all.
        tries: Count = key("proxy-next-upstream-tries").default("`3`").example("`2`").limits("At most 10; without this group one further try is made in classes of ours.");
        /// Time after which no other try begins; 0 is none.
        timeout: Time = key("proxy-next-upstream-timeout").default("`0`").example("`10`");
    }
}

impl Retries {
    /// Whether nothing is said, so that flags decide in classes of ours.
    fn is_silent(&self) -> bool {
        *self == Self::default()
    }

    fn retry(&self) -> Retry {
        let usual = [Outcome::Error, Outcome::Timeout];
        let outcomes = self.on.as_ref().map_or(&usual[..], |on| &on.0);
        let is = |outcome| outcomes.contains(&outcome);
        let mut statuses: Vec<u16> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Status(status) => Some(*status),
                _ => None,
            })
            .collect();
        statuses.sort_unstable();
        statuses.dedup();
        let tries = self.tries.map_or(TRIES, |tries| tries.0);
        let tries = if tries == 0 { TRIES } else { tries.min(MOST_TRIES) };
        let attempts = if is(Outcome::Off) { 0 } else { tries - 1 };
        let on = RetryOn {
            connect: is(Outcome::Error),
            reset: is(Outcome::Error) || is(Outcome::InvalidHeader),
            timeout: is(Outcome::Timeout),
            statuses,
            grpc: Vec::new(),
        };
        Retry { attempts, on, non_idempotent: is(Outcome::NonIdempotent), ..Retry::default() }
    }
}

impl Effect for Retries {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        if self.is_silent() && !route.adopted {
            return;
        }
        route.retry = Some(self.retry());
        route.all_tries_timeout = self.timeout.map(|time| time.0).filter(|time| *time != Duration::ZERO);
    }

    fn judge(&self, given: &mut Given<'_>) {
        if self.tries == Some(Count(0)) {
            let message = format!("0 would try without end; a request is tried {TRIES} times");
            given.warn("proxy-next-upstream-tries", "AnnotationApproximated", message);
        }
        if self.tries.is_some_and(|tries| tries.0 > MOST_TRIES) {
            let message = format!("a request is tried {MOST_TRIES} times at most");
            given.warn("proxy-next-upstream-tries", "AnnotationApproximated", message);
        }
    }
}
