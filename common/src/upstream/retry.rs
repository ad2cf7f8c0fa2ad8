//! Retry budget: how many requests may be sent again, so that a backend in trouble is not flooded.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Parts of one retry: each request earns one part, so that one in five may be sent again.
const PARTS: u32 = 5;
/// Retries earned in a second without any request.
const PER_SECOND: u64 = 10;
/// Most retries saved: those of ten quiet seconds.
const MOST: u32 = 100;

/// What atomics count time from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Retries that the requests to one backend have earned. Shared by workers; a lost race costs one retry more or
/// less. Full, as it nearly always is, it is only read.
#[derive(Debug)]
pub struct RetryBudget {
    parts: AtomicU32,
    /// Milliseconds since [`EPOCH`] up to which the steady allowance has been paid out.
    paid_until: AtomicU64,
}

impl RetryBudget {
    /// A full budget.
    pub(super) fn new() -> Self {
        LazyLock::force(&EPOCH);
        Self { parts: AtomicU32::new(MOST * PARTS), paid_until: AtomicU64::new(0) }
    }

    /// Counts a request.
    pub fn earn(&self) {
        if self.parts.load(Relaxed) < MOST * PARTS {
            self.parts.fetch_add(1, Relaxed);
        }
    }

    /// Takes one retry out; false if there is none.
    pub fn take(&self, now: Instant) -> bool {
        self.pay_out(now);
        let less = |parts: u32| parts.checked_sub(PARTS);
        self.parts.fetch_update(Relaxed, Relaxed, less).is_ok()
    }

    fn pay_out(&self, now: Instant) {
        let now = now.saturating_duration_since(*EPOCH).as_millis() as u64;
        let before = self.paid_until.load(Relaxed);
        let earned = now.saturating_sub(before) * PER_SECOND / 1000;
        if earned == 0 || self.paid_until.compare_exchange(before, now, Relaxed, Relaxed).is_err() {
            return;
        }
        let earned = u32::try_from(earned).unwrap_or(MOST).min(MOST) * PARTS;
        let more = |parts: u32| Some(parts.saturating_add(earned).min(MOST * PARTS));
        // The closure always gives a value.
        let _ = self.parts.fetch_update(Relaxed, Relaxed, more);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn drain(budget: &RetryBudget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.take(now)).count()
    }

    #[test]
    fn one_request_in_five_and_ten_in_a_second_may_be_sent_again() {
        let budget = RetryBudget::new();
        let start = Instant::now();
        assert_eq!(drain(&budget, start), 100, "what ten quiet seconds earn");
        (0..50).for_each(|_| budget.earn());
        assert_eq!(drain(&budget, start), 10, "a fifth of the requests");
        assert_eq!(drain(&budget, start + Duration::from_secs(2)), 20, "ten in a second");
        assert_eq!(drain(&budget, start + Duration::from_secs(1000)), 100, "no more is saved");
    }
}
