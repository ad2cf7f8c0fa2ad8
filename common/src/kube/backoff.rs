//! How long to wait before the API server is asked again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Waits that double from one failure to the next, with some spread so that instances do not ask in step.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    failures: u32,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self { failures: 0, first, longest }
    }

    /// The wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let spread = (RandomState::new().hash_one(self.failures) % 256) as u32;
        wait * (768 + spread) / 1024
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_begin_anew_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut last = Duration::ZERO;
        for _ in 0..200 {
            last = backoff.next();
            assert!(last >= Duration::from_millis(75) && last <= Duration::from_secs(5));
        }
        assert!(last >= Duration::from_millis(3_700));
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
