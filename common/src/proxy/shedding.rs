//! Shedding: when as much is going on in the process as may, requests are refused, those of low priority first.

use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed},
};

use super::{exchange::Exchange, respond::Failure};
use crate::model::Priority;

/// The requests and tunnels that are going on in the process, counted while they are limited.
#[derive(Debug)]
pub struct Load {
    /// 0 is no limit.
    most: usize,
    in_flight: AtomicUsize,
}

impl Load {
    /// Nothing is going on, and at most this much may; 0 is no limit.
    pub fn new(most: usize) -> Self {
        Self { most, in_flight: AtomicUsize::new(0) }
    }

    /// Requests in flight, as far as they are counted.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Counts a request, if there is room for one of this priority. What is beyond its part of the room is kept for
    /// those of higher ones.
    fn enter(&self, priority: Priority) -> bool {
        let room = room(self.most, priority);
        let more = |count: usize| (count < room).then(|| count + 1);
        self.in_flight.fetch_update(Acquire, Relaxed, more).is_ok()
    }

    /// A request that was counted has ended.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }
}

/// Rounded up, so that a small limit lets in at least one request of each priority.
fn room(most: usize, priority: Priority) -> usize {
    let percent = usize::from(priority.percent());
    (most / 100) * percent + ((most % 100) * percent).div_ceil(100)
}

/// Counts a request whose route is known until it ends.
///
/// # Errors
/// If there is no room for one of its route's priority.
pub fn admit(x: &mut Exchange<'_>) -> Result<(), Failure> {
    let shared = &x.worker().shared;
    if shared.load.most == 0 {
        return Ok(());
    }
    let priority = x.route.as_ref().map_or(Priority::Normal, |route| route.route.load_priority);
    if !shared.load.enter(priority) {
        shared.metrics.shed.add(priority.name());
        return Err(Failure::Overload);
    }
    x.is_counted = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_priority_is_let_in_up_to_its_part() {
        let rows = [
            (1000, [800, 900, 1000]),
            (100, [80, 90, 100]),
            (150, [120, 135, 150]),
            (10, [8, 9, 10]),
            (5, [4, 5, 5]),
            (1, [1, 1, 1]),
            (usize::MAX, [usize::MAX / 100 * 80 + 12, usize::MAX / 100 * 90 + 14, usize::MAX]),
        ];
        for (most, wanted) in rows {
            assert_eq!(Priority::ALL.map(|priority| room(most, priority)), wanted, "{most}");
        }
    }

    #[test]
    fn room_that_is_left_belongs_to_higher_priorities() {
        use Priority::{High, Low, Normal};
        let load = Load::new(10);
        let let_in = |priority, times| (0..times).filter(|_| load.enter(priority)).count();
        assert_eq!((let_in(Low, 20), let_in(Normal, 20), let_in(High, 20)), (8, 1, 1));
        assert_eq!(load.in_flight(), 10);
        load.leave();
        assert_eq!((let_in(Low, 1), let_in(Normal, 1), let_in(High, 2)), (0, 0, 1));
        (0..4).for_each(|_| load.leave());
        assert_eq!((let_in(Low, 9), let_in(Normal, 9)), (2, 1));
    }
}
