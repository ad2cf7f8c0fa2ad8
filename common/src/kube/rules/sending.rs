//! Sending: timeouts and retries of a rule with those of its policies.

use std::time::Duration;

use selvedge_crds::{
    action::RuleTimeouts,
    retry::{Retry as GivenRetry, RetryOn as GivenRetryOn},
};

use super::{Defaults, Policy};
use crate::model::{Retry, RetryOn, Shared, Timeouts};

/// What 0s stands for: longer than any request.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Pause before the second try where a rule says which requests are tried again but not this.
const BACKOFF: Duration = Duration::from_millis(25);
/// Status codes of a gateway that got no answer (RFC 9110 §15.6.3 to §15.6.5).
const GATEWAY_STATUSES: [u16; 3] = [502, 503, 504];
/// Status codes of clients' errors that may be gone a moment later: conflict and too early, as Envoy counts them.
const RETRIABLE_CLIENT_STATUSES: [u16; 1] = [409];

/// How long requests may take: the rule's word first, then its policies', then that of the flags.
pub(super) fn timeouts(
    defaults: &Defaults,
    policy: &Policy,
    given: Option<&RuleTimeouts>,
) -> Shared<Timeouts> {
    let given_request = given.and_then(|given| given.request).map(|time| limit(time.get()));
    let given_backend = given.and_then(|given| given.backend).map(|time| limit(time.get()));
    let usual = &defaults.timeouts;
    let request = given_request.or(policy.request_timeout).unwrap_or(usual.request);
    let backend = given_backend.or(policy.backend_timeout).or(usual.backend);
    let timeouts = Timeouts {
        request,
        backend: backend.filter(|backend| *backend < request),
        backend_idle: policy.idle_timeout.unwrap_or(usual.backend_idle),
    };
    Shared::like(timeouts, usual)
}

/// A time that is a limit; 0 is none.
pub(super) fn limit(time: Duration) -> Duration {
    if time.is_zero() { NO_LIMIT } else { time }
}

/// Which requests are tried again; without a word of the rule those of the flags are.
pub(super) fn retry(defaults: &Defaults, given: Option<&GivenRetry>) -> Shared<Retry> {
    let usual = &defaults.retry;
    let Some(given) = given else { return usual.clone() };
    let on = match given.when.is_empty() {
        true => usual.on.clone(),
        false => outcomes(&given.when),
    };
    let retry = Retry {
        attempts: given.attempts.into(),
        body_bytes: usual.body_bytes,
        on,
        backoff: given.backoff.map_or(BACKOFF, |backoff| backoff.get()),
        non_idempotent: given.non_idempotent,
        ..Retry::default()
    };
    Shared::like(retry, usual)
}

/// What is listed and nothing else: who names conditions means just these.
fn outcomes(given: &[GivenRetryOn]) -> RetryOn {
    let mut on =
        RetryOn { connect: false, reset: false, timeout: false, statuses: Vec::new(), grpc: Vec::new() };
    for outcome in given {
        match outcome {
            GivenRetryOn::ConnectFailure => on.connect = true,
            GivenRetryOn::Reset => on.reset = true,
            GivenRetryOn::Timeout => on.timeout = true,
            // Who gives no response is in trouble as much as who says so.
            GivenRetryOn::ServerError => {
                (on.connect, on.reset, on.timeout) = (true, true, true);
                on.statuses.extend(500..=599);
            }
            GivenRetryOn::GatewayError => on.statuses.extend(GATEWAY_STATUSES),
            GivenRetryOn::RetriableClientError => on.statuses.extend(RETRIABLE_CLIENT_STATUSES),
            GivenRetryOn::Status(status) => on.statuses.push(*status),
            GivenRetryOn::Cancelled => on.grpc.push(1),
            GivenRetryOn::DeadlineExceeded => on.grpc.push(4),
            GivenRetryOn::ResourceExhausted => on.grpc.push(8),
            GivenRetryOn::Internal => on.grpc.push(13),
            GivenRetryOn::Unavailable => on.grpc.push(14),
        }
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    on.grpc.sort_unstable();
    on.grpc.dedup();
    on
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(on: &[&str]) -> Shared<Retry> {
        let defaults = Defaults {
            timeouts: Shared::default(),
            retry: Shared::default(),
            backend: crate::model::Backend::default(),
            hosts: "test".into(),
            identifies: true,
        };
        let on = on.iter().map(|on| on.parse().unwrap()).collect();
        retry(&defaults, Some(&GivenRetry { when: on, ..GivenRetry::default() }))
    }

    #[test]
    fn outcomes_that_are_listed_count_and_no_others() {
        let rows = [
            (&["connect-failure"][..], (true, false, false), 0),
            (&["reset", "timeout"], (false, true, true), 0),
            (&["gateway-error", "503"], (false, false, false), 3),
            // Any status from 500 to 599, or no response.
            (&["5xx"], (true, true, true), 100),
            (&[], (true, true, false), 0),
        ];
        for (on, wanted, statuses) in rows {
            let found = given(on).on.clone();
            assert_eq!((found.connect, found.reset, found.timeout), wanted, "{on:?}");
            assert_eq!(found.statuses.len(), statuses, "{on:?}");
        }
    }

    #[test]
    fn a_rule_that_says_nothing_of_a_pause_has_the_usual_one() {
        assert_eq!(given(&[]).backoff, Duration::from_millis(25));
    }
}
