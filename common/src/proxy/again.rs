//! Again: which failures and answers are worth another try, which of them are safe, and the pause before.

use std::time::Duration;

use super::attempt::{Progress, TryError};
use super::respond::Failure;
use crate::{
    message::{Method, ResponseHead},
    model::{Retry, RetryOn},
};

/// No pause is longer than so many times its base.
const MOST_BASES: u32 = 10;

/// What a route says of further tries for one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Again {
    /// Further tries after the first.
    pub attempts: u32,
    /// Largest body that is kept.
    pub body_bytes: u32,
    /// Doing it twice has the effect of doing it once, or the route says that it does not matter.
    pub repeatable: bool,
    /// The body is kept.
    pub keeps_body: bool,
    /// Some answers are worth another try.
    pub drops_answers: bool,
    connect: bool,
    reset: bool,
    timeout: bool,
    backoff: Duration,
    within: Duration,
}

impl Again {
    /// What is said for a request with this method.
    pub fn new(retry: &Retry, method: Method) -> Self {
        let repeatable = method.is_idempotent() || retry.non_idempotent;
        let on = &retry.on;
        Self {
            attempts: retry.attempts,
            body_bytes: retry.body_bytes,
            repeatable,
            keeps_body: false,
            drops_answers: repeatable && !(on.statuses.is_empty() && on.grpc.is_empty()),
            connect: on.connect,
            reset: on.reset,
            timeout: on.timeout,
            backoff: retry.backoff,
            within: retry.within,
        }
    }

    /// Whether sending a request again does no harm and is wanted: nothing of it was sent, or no answer came and doing
    /// it twice has the effect of doing it once. A POST of which a byte was sent may have been carried out, whatever
    /// became of the answer, so it is only sent again if the route insists (RFC 9110 §9.2.2).
    pub fn is_wanted(&self, error: &TryError) -> bool {
        let idle = error.is_idle_loss();
        match (error.progress, error.failure) {
            (Progress::Answered, _) | (_, Failure::Deadline) => false,
            (Progress::Dropped, _) => true,
            (Progress::Nothing, _) => self.connect || idle,
            (Progress::Sent, Failure::UpstreamClosed) => self.repeatable && (self.reset || idle),
            (Progress::Sent, Failure::RequestTimeout) => self.repeatable && self.timeout,
            (Progress::Sent, _) => false,
        }
    }

    /// Whether an answer with this head is one that is worth another try.
    pub fn is_listed(&self, on: &RetryOn, answer: &ResponseHead) -> bool {
        if on.statuses.contains(&answer.status) {
            return true;
        }
        // In the head it stands where nothing else follows ("Trailers-Only" of gRPC over HTTP/2).
        let status = || std::str::from_utf8(answer.fields.get_by_name("grpc-status")?).ok()?.parse().ok();
        !on.grpc.is_empty() && status().is_some_and(|status: u8| on.grpc.contains(&status))
    }

    /// Whether the body can begin again after this much of it was taken.
    pub fn can_replay(&self, taken_bytes: u64) -> bool {
        taken_bytes == 0 || (self.keeps_body && taken_bytes <= u64::from(self.body_bytes))
    }

    /// Whether another try may still begin so long after the first one did.
    pub fn is_in_time(&self, elapsed: Duration) -> bool {
        self.within.is_zero() || elapsed < self.within
    }

    /// Whether there is any pause.
    pub fn has_pauses(&self) -> bool {
        !self.backoff.is_zero()
    }

    /// The pause before the n-th further try, `number` counting from 1: any time up to the base doubled with each try,
    /// so that clients which failed together do not come back together. It takes at most half of the time that is left.
    pub fn pause(&self, number: u32, random: u64, left: Duration) -> Duration {
        let factor = 1_u32.checked_shl(number.saturating_sub(1)).unwrap_or(MOST_BASES).min(MOST_BASES);
        let longest = self.backoff.saturating_mul(factor.max(1)).min(left / 2);
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        // The upper half of a product is as evenly spread as the random number is.
        Duration::from_nanos(((u128::from(nanos) * u128::from(random)) >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(change: impl FnOnce(&mut Retry), method: Method) -> Again {
        let mut retry = Retry::default();
        change(&mut retry);
        Again::new(&retry, method)
    }

    #[test]
    fn what_is_tried_again_by_default_is_what_did_no_harm() {
        use {Failure::*, Progress::*};
        let rows = [
            (Nothing, Connect, Method::Post, true),
            (Nothing, Connect, Method::Get, true),
            (Sent, UpstreamClosed, Method::Get, true),
            (Sent, UpstreamClosed, Method::Post, false),
            (Sent, RequestTimeout, Method::Get, false),
            (Sent, UpstreamProtocol, Method::Get, false),
            (Answered, UpstreamClosed, Method::Get, false),
        ];
        for (progress, failure, method, wanted) in rows {
            let error = TryError { failure, progress, reused: false };
            assert_eq!(again(|_| {}, method).is_wanted(&error), wanted, "{error:?} {method:?}");
        }
    }

    #[test]
    fn a_route_says_which_failures_are_tried_again() {
        use {Failure::*, Progress::*};
        let error = |progress, failure| TryError { failure, progress, reused: false };
        let none = again(|retry| (retry.on.connect, retry.on.reset) = (false, false), Method::Get);
        assert!(!none.is_wanted(&error(Nothing, Connect)) && !none.is_wanted(&error(Sent, UpstreamClosed)));
        let idle = TryError { reused: true, ..error(Sent, UpstreamClosed) };
        assert!(none.is_wanted(&idle), "a connection closed for being idle is no failure");
        let timeout = again(|retry| retry.on.timeout = true, Method::Get);
        assert!(timeout.is_wanted(&error(Sent, RequestTimeout)));
        let timeout = again(|retry| retry.on.timeout = true, Method::Post);
        assert!(!timeout.is_wanted(&error(Sent, RequestTimeout)));
        let all = again(|retry| retry.non_idempotent = true, Method::Post);
        assert!(all.is_wanted(&error(Sent, UpstreamClosed)));
    }

    #[test]
    fn answers_are_listed_by_status_and_by_status_of_grpc() {
        let on = RetryOn { statuses: vec![502, 503], grpc: vec![14], ..RetryOn::default() };
        let rows = [
            (503, None, true),
            (500, None, false),
            (200, None, false),
            (200, Some("14"), true),
            (200, Some("13"), false),
            (200, Some("x"), false),
        ];
        for (status, grpc, wanted) in rows {
            let mut head = ResponseHead::default();
            head.status = status;
            grpc.iter().for_each(|grpc: &&str| head.fields.push(b"grpc-status", grpc.as_bytes()));
            assert_eq!(Again::default().is_listed(&on, &head), wanted, "{status} {grpc:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_ten_times_the_base_and_half_the_time_left() {
        let millis = Duration::from_millis;
        let again = again(|retry| retry.backoff = millis(25), Method::Get);
        let rows = [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (6, 250), (40, 250)];
        for (number, longest) in rows {
            let pause = |random| again.pause(number, random, Duration::MAX);
            assert_eq!(pause(0), Duration::ZERO);
            assert_eq!(pause(1 << 63), millis(longest) / 2, "{number}");
            assert!(pause(u64::MAX) <= millis(longest) && pause(u64::MAX) > millis(longest - 1), "{number}");
        }
        assert!(again.pause(5, u64::MAX, millis(20)) <= millis(10));
        assert_eq!(Again::default().pause(3, u64::MAX, Duration::MAX), Duration::ZERO, "no base, no pause");
    }

    #[test]
    fn no_try_begins_after_the_time_for_all_of_them() {
        let second = Duration::from_secs(1);
        let again = again(|retry| retry.within = second, Method::Get);
        assert!(again.is_in_time(Duration::ZERO) && !again.is_in_time(second));
        assert!(Again::default().is_in_time(Duration::MAX), "no time is no limit");
    }

    #[test]
    fn a_body_begins_again_as_far_as_it_was_kept() {
        let kept = Again { keeps_body: true, body_bytes: 10, ..Again::default() };
        let rows = [(kept, 0, true), (kept, 10, true), (kept, 11, false)];
        for (again, taken, wanted) in rows {
            assert_eq!(again.can_replay(taken), wanted, "{taken}");
        }
        assert!(Again::default().can_replay(0) && !Again::default().can_replay(1));
    }
}
