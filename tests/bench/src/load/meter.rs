//! The meter of a load: says when the next request begins, and counts what became of it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task};

use crate::statistics::percentile;

/// Failures of which the text is kept.
const KEPT: usize = 5;
/// Failures after which a load gives up.
const TOO_MANY: u64 = 1000;

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests that were answered well.
    pub requests: u64,
    /// Requests that were not.
    pub failed: u64,
    /// What happened to the first of those.
    pub failures: Vec<String>,
    /// From begin to end.
    pub time: Duration,
    /// Time that half of the requests took at most; at a fixed rate from when they were due.
    pub half: Duration,
    /// Time that 99 % of them took at most.
    pub slowest: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    WarmUp,
    Counting,
    Over,
}

/// The meter; all clients of a load share one.
pub struct Meter {
    phase: Cell<Phase>,
    begun: Cell<Instant>,
    ended: Cell<Option<Instant>>,
    /// Requests that may still be begun.
    left: Cell<u64>,
    requests: Cell<u64>,
    failed: Cell<u64>,
    failures: RefCell<Vec<String>>,
    /// In nanoseconds.
    took: RefCell<Vec<u64>>,
    /// At a fixed rate: what is due and not yet begun.
    due: Option<Due>,
}

struct Due {
    times: RefCell<VecDeque<Instant>>,
    /// As many permits as there are times.
    count: Semaphore,
}

impl Meter {
    /// Requests until the end, at a pace of [`Meter::keep_pace`] or as they can.
    pub fn open_ended(is_paced: bool) -> Self {
        let due = is_paced.then(|| Due { times: RefCell::default(), count: Semaphore::new(0) });
        Self::new(Phase::WarmUp, u64::MAX, due)
    }

    /// Just so many requests, all of which count.
    pub fn counted(count: u64) -> Self {
        Self::new(Phase::Counting, count, None)
    }

    fn new(phase: Phase, left: u64, due: Option<Due>) -> Self {
        Self {
            phase: Cell::new(phase),
            begun: Cell::new(Instant::now()),
            ended: Cell::default(),
            left: Cell::new(left),
            requests: Cell::default(),
            failed: Cell::default(),
            failures: RefCell::default(),
            took: RefCell::default(),
            due,
        }
    }

    /// When the next request was meant to begin, which may be a while ago; `None` if there is none.
    pub async fn next(&self) -> Option<Instant> {
        let begin = match &self.due {
            None => Instant::now(),
            Some(due) => {
                due.count.acquire().await.ok()?.forget();
                due.times.borrow_mut().pop_front()?
            }
        };
        let left = self.left.get();
        if left == 0 || self.phase.get() == Phase::Over {
            return None;
        }
        self.left.set(left - 1);
        Some(begin)
    }

    /// Keeps the thread awake until the end, and at a fixed rate says what is due.
    pub async fn keep_pace(self: Rc<Self>, rate: Option<u32>) {
        let between = Duration::from_secs(1) / rate.unwrap_or(1).max(1);
        let mut next = Instant::now();
        while self.phase.get() != Phase::Over {
            if let Some(due) = &self.due {
                let now = Instant::now();
                while next <= now {
                    due.times.borrow_mut().push_back(next);
                    due.count.add_permits(1);
                    next += between;
                }
            }
            task::yield_now().await;
        }
        if let Some(due) = &self.due {
            due.count.close();
        }
    }

    /// From now on requests count.
    pub fn begin(&self) {
        self.phase.set(Phase::Counting);
        self.begun.set(Instant::now());
    }

    /// No request begins any more, and none counts.
    pub fn end(&self) {
        self.phase.set(Phase::Over);
        self.ended.set(Some(Instant::now()));
    }

    /// A request was answered well.
    pub fn answered(&self, begin: Instant) {
        if self.phase.get() == Phase::Counting {
            self.requests.set(self.requests.get() + 1);
            self.took.borrow_mut().push(begin.elapsed().as_nanos() as u64);
        }
    }

    /// A request was not. Those of the warm-up count here, too.
    pub fn failed(&self, why: impl ToString) {
        if self.phase.get() == Phase::Over {
            return;
        }
        self.failed.set(self.failed.get() + 1);
        let mut failures = self.failures.borrow_mut();
        if failures.len() < KEPT {
            failures.push(why.to_string());
        }
        if self.failed.get() >= TOO_MANY {
            self.end();
        }
    }

    /// What it came to.
    ///
    /// # Errors
    /// If no request was answered.
    pub fn outcome(&self) -> anyhow::Result<Outcome> {
        let failures = self.failures.borrow().clone();
        anyhow::ensure!(self.requests.get() > 0, "no request was answered: {}", failures.join("; "));
        let mut took = self.took.borrow_mut();
        took.sort_unstable();
        let at = |part| Duration::from_nanos(percentile(&took, part));
        Ok(Outcome {
            requests: self.requests.get(),
            failed: self.failed.get(),
            failures,
            time: self.ended.get().unwrap_or_else(Instant::now) - self.begun.get(),
            half: at(0.5),
            slowest: at(0.99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn just_so_many_requests_are_made() {
        let meter = Meter::counted(2);
        for _ in 0..2 {
            let begin = meter.next().await.unwrap();
            meter.answered(begin);
        }
        assert!(meter.next().await.is_none());
        let outcome = meter.outcome().unwrap();
        assert_eq!((outcome.requests, outcome.failed), (2, 0));
    }

    #[tokio::test]
    async fn the_warm_up_does_not_count_but_its_failures_do() {
        let meter = Meter::open_ended(false);
        meter.answered(Instant::now());
        meter.failed("refused");
        assert!(meter.outcome().is_err_and(|error| error.to_string().contains("refused")));
        meter.begin();
        meter.answered(Instant::now());
        meter.end();
        meter.answered(Instant::now());
        assert!(meter.next().await.is_none());
        let outcome = meter.outcome().unwrap();
        assert_eq!((outcome.requests, outcome.failed), (1, 1));
    }

    #[tokio::test]
    async fn at_a_fixed_rate_requests_begin_when_they_are_due() {
        let local = task::LocalSet::new();
        let meter = Rc::new(Meter::open_ended(true));
        local.spawn_local(meter.clone().keep_pace(Some(1000)));
        let asked = async {
            let first = meter.next().await.unwrap();
            let second = meter.next().await.unwrap();
            assert_eq!(second - first, Duration::from_millis(1));
            meter.end();
            // What was due before the end is not begun after it.
            assert!(meter.next().await.is_none());
        };
        local.run_until(asked).await;
        local.await;
    }

    #[test]
    fn a_load_that_only_fails_gives_up() {
        let meter = Meter::open_ended(false);
        (0..TOO_MANY).for_each(|_| meter.failed("refused"));
        assert!(meter.phase.get() == Phase::Over);
        assert_eq!(meter.failures.borrow().len(), KEPT);
    }
}
