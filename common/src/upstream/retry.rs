//! Retry budget: how many requests may be sent again, so that a backend in trouble is not flooded.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::model::RetryAllowance;

/// Parts of one retry: each request earns some of them.
const PARTS: u64 = 100;
/// Quiet seconds whose retries are saved.
const SAVED_SECONDS: u64 = 10;
/// Retries that are saved at least, if requests earn them.
const LEAST_SAVED: u64 = 100;

/// What atomics count time from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Retries that the requests to one backend have earned. Shared by workers; a lost race costs one retry more or
/// less. Full, as it nearly always is, it is only read.
#[derive(Debug)]
pub struct RetryBudget {
    parts: AtomicU64,
    /// Milliseconds since [`EPOCH`] up to which the steady allowance has been paid out.
    paid_until: AtomicU64,
}

impl RetryBudget {
    /// A budget after some quiet seconds.
    pub(super) fn new(allowance: &RetryAllowance) -> Self {
        let parts = steady(allowance) * SAVED_SECONDS;
        Self { parts: AtomicU64::new(parts), paid_until: AtomicU64::new(millis(Instant::now())) }
    }

    /// Counts a request.
    pub fn earn(&self, allowance: &RetryAllowance) {
        if self.parts.load(Relaxed) < most(allowance) {
            self.parts.fetch_add(allowance.percent.into(), Relaxed);
        }
    }

    /// Takes one retry out; false if there is none.
    pub fn take(&self, allowance: &RetryAllowance, now: Instant) -> bool {
        self.pay_out(allowance, now);
        let less = |parts: u64| parts.checked_sub(PARTS);
        self.parts.fetch_update(Relaxed, Relaxed, less).is_ok()
    }

    fn pay_out(&self, allowance: &RetryAllowance, now: Instant) {
        let now = millis(now);
        let before = self.paid_until.load(Relaxed);
        let earned = now.saturating_sub(before).saturating_mul(steady(allowance)) / 1000;
        if earned == 0 || self.paid_until.compare_exchange(before, now, Relaxed, Relaxed).is_err() {
            return;
        }
        let more = |parts: u64| Some(parts.saturating_add(earned).min(most(allowance)));
        // The closure always gives a value.
        let _ = self.parts.fetch_update(Relaxed, Relaxed, more);
    }
}

fn millis(now: Instant) -> u64 {
    now.saturating_duration_since(*EPOCH).as_millis() as u64
}

/// Parts earned in a second.
fn steady(allowance: &RetryAllowance) -> u64 {
    u64::from(allowance.per_second) * PARTS
}

/// Most parts saved.
fn most(allowance: &RetryAllowance) -> u64 {
    (steady(allowance) * SAVED_SECONDS).max(LEAST_SAVED * PARTS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn drain(budget: &RetryBudget, allowance: &RetryAllowance, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.take(allowance, now)).count()
    }

    #[test]
    fn one_request_in_five_and_ten_in_a_second_may_be_sent_again() {
        let allowance = RetryAllowance::default();
        let budget = RetryBudget::new(&allowance);
        let drain = |now| drain(&budget, &allowance, now);
        let start = Instant::now();
        assert_eq!(drain(start), 100, "what ten quiet seconds earn");
        (0..50).for_each(|_| budget.earn(&allowance));
        assert_eq!(drain(start), 10, "a fifth of the requests");
        assert_eq!(drain(start + Duration::from_secs(2)), 20, "ten in a second");
        assert_eq!(drain(start + Duration::from_secs(1000)), 100, "no more is saved");
    }

    #[test]
    fn another_allowance_earns_as_much_as_it_says() {
        let rows = [((0, 0), 0, 0, 0), ((50, 0), 0, 25, 0), ((100, 2), 20, 50, 6), ((0, 30), 300, 0, 90)];
        for ((percent, per_second), saved, by_requests, by_time) in rows {
            let allowance = RetryAllowance { percent, per_second };
            let budget = RetryBudget::new(&allowance);
            // Not before the budget has begun, or it would earn a little less.
            let start = Instant::now();
            assert_eq!(drain(&budget, &allowance, start), saved, "{allowance:?}");
            (0..50).for_each(|_| budget.earn(&allowance));
            assert_eq!(drain(&budget, &allowance, start), by_requests, "{allowance:?}");
            let later = start + Duration::from_secs(3);
            assert_eq!(drain(&budget, &allowance, later), by_time, "{allowance:?}");
        }
    }
}
