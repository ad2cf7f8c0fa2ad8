//! Deadlines: limits in time for whatever a worker waits for, kept by one coarse sweep instead of a timer each.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often expired deadlines are looked for: a limit may be exceeded by this much.
const SWEEP: Duration = Duration::from_millis(100);

/// How often a future is polled that looks at things which cannot wake it.
const LOOK: Duration = Duration::from_secs(1);

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Elapsed {
    /// The time that was given is over.
    #[error("time limit reached")]
    Limit,
    /// An idle wait was ended before its time.
    #[error("no longer waited for")]
    Early,
}

/// All deadlines of one worker.
///
/// A future that is ready at once costs nothing; one that has to wait takes a slot in a list that
/// [`Deadlines::sweep`] looks through now and then.
pub struct Deadlines {
    slots: RefCell<Slots>,
    start: Instant,
    /// Milliseconds since `start`, as of the last sweep.
    now: Cell<u64>,
    /// No deadline of the list is earlier than this.
    next: Cell<u64>,
}

#[derive(Default)]
struct Slots {
    list: Vec<Slot>,
    free: Vec<usize>,
}

/// The end of a wait that is over before its time.
const EARLY: u64 = 0;

struct Slot {
    /// Milliseconds since the start; [`EARLY`], and `u64::MAX` in a free slot.
    at: u64,
    /// Group of an idle wait.
    idle: Option<u32>,
    /// Order of registration, so that the oldest idle wait can be found.
    since: u64,
    waker: Option<Waker>,
}

/// Whether a wait may be ended early when the worker is short of something or drains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Busy,
    /// Of this group.
    Idle(u32),
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            slots: RefCell::default(),
            start: Instant::now(),
            now: Cell::new(0),
            next: Cell::new(u64::MAX),
        }
    }
}

impl Deadlines {
    /// The time since these deadlines began, as of the last sweep; reading it costs nothing.
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.now.get())
    }

    /// Waits for a future, but no longer than `limit` (to a tenth of a second); then it gives [`Elapsed`].
    pub fn within<F: Future>(&self, limit: Duration, future: F) -> Within<'_, F> {
        self.wait(limit, Waiting::Busy, future)
    }

    /// As [`Deadlines::within`], for a future that also looks at things which cannot wake it: it is polled once a
    /// second at least.
    ///
    /// # Errors
    /// [`Elapsed`] when the time is over; the future is dropped.
    pub async fn within_looking<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut left = limit;
        loop {
            let step = left.min(LOOK);
            if let Ok(output) = self.within(step, future.as_mut()).await {
                return Ok(output);
            }
            left -= step;
            if left.is_zero() {
                return Err(Elapsed::Limit);
            }
        }
    }

    /// As [`Deadlines::within`], but the time begins anew whenever it is over and `goes_on` says so.
    pub fn within_each<F: Future, G: FnMut() -> bool>(
        &self,
        limit: Duration,
        future: F,
        goes_on: G,
    ) -> WithinEach<'_, F, G> {
        WithinEach { wait: self.within(limit, future), goes_on }
    }

    /// As [`Deadlines::within`], for a wait between two requests: [`Deadlines::expire_idle`] may end it early, and so
    /// may [`Deadlines::expire_idle_of`] for those of its group.
    pub fn idle_within<F: Future>(&self, limit: Duration, group: usize, future: F) -> Within<'_, F> {
        self.wait(limit, Waiting::Idle(group as u32), future)
    }

    /// Ends up to `count` idle waits, those that have waited longest first, and says how many it ended.
    pub fn expire_idle(&self, count: usize) -> usize {
        let mut slots = self.slots.borrow_mut();
        let mut idle: Vec<(u64, usize)> = (slots.list.iter().enumerate())
            .filter(|(_, slot)| slot.idle.is_some() && slot.at != EARLY && slot.at != u64::MAX)
            .map(|(index, slot)| (slot.since, index))
            .collect();
        idle.sort_unstable();
        idle.truncate(count);
        for (_, index) in &idle {
            let slot = &mut slots.list[*index];
            slot.at = EARLY;
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
        idle.len()
    }

    /// Ends the idle waits that have lasted at least `age`.
    pub fn expire_idle_for(&self, age: Duration) {
        self.expire_idle_if(age, |_| true);
    }

    /// Ends the idle waits of a group that have lasted at least `age`.
    pub fn expire_idle_of(&self, group: usize, age: Duration) {
        self.expire_idle_if(age, |other| other == group as u32);
    }

    fn expire_idle_if(&self, age: Duration, is_meant: impl Fn(u32) -> bool) {
        let latest = self.now.get().checked_sub(age.as_millis() as u64);
        let Some(latest) = latest else { return };
        for slot in &mut self.slots.borrow_mut().list {
            if slot.idle.is_some_and(&is_meant) && slot.since <= latest {
                slot.at = EARLY;
                if let Some(waker) = slot.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Keeps time and ends what has waited too long; runs as long as the worker does, calling `tick` each time.
    pub async fn sweep(&self, mut tick: impl FnMut()) {
        let mut ticks = interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.start.elapsed().as_millis() as u64;
            self.now.set(now);
            if now >= self.next.get() {
                self.expire(now);
            }
            tick();
        }
    }

    fn expire(&self, now: u64) {
        let mut next = u64::MAX;
        for slot in &mut self.slots.borrow_mut().list {
            match slot.at <= now {
                true => slot.waker.take().map_or((), Waker::wake),
                false => next = next.min(slot.at),
            }
        }
        self.next.set(next);
    }

    fn wait<F: Future>(&self, limit: Duration, waiting: Waiting, future: F) -> Within<'_, F> {
        Within { future, deadlines: self, limit, waiting, place: None }
    }

    fn register(&self, limit: Duration, waiting: Waiting, cx: &Context<'_>) -> Place<'_> {
        // One sweep more, as `now` may be that much behind.
        let limit = limit.saturating_add(SWEEP).as_millis().min(u128::from(u64::MAX / 2)) as u64;
        let at = self.now.get() + limit;
        self.next.set(self.next.get().min(at));
        let mut slots = self.slots.borrow_mut();
        let idle = match waiting {
            Waiting::Busy => None,
            Waiting::Idle(group) => Some(group),
        };
        let slot = Slot { at, idle, since: self.now.get(), waker: Some(cx.waker().clone()) };
        let index = match slots.free.pop() {
            Some(index) => {
                slots.list[index] = slot;
                index
            }
            None => {
                slots.list.push(slot);
                slots.list.len() - 1
            }
        };
        Place { deadlines: self, index }
    }
}

pin_project! {
    /// A wait with a limit in time. Written by hand, as an `async fn` would hold what it waits for twice, and every
    /// connection has several of these inside each other.
    pub struct Within<'d, F> {
        #[pin]
        future: F,
        deadlines: &'d Deadlines,
        limit: Duration,
        waiting: Waiting,
        place: Option<Place<'d>>,
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            *this.place = None;
            return Poll::Ready(Ok(output));
        }
        match this.place {
            None => *this.place = Some(this.deadlines.register(*this.limit, *this.waiting, cx)),
            Some(place) => return place.poll(cx),
        }
        Poll::Pending
    }
}

pin_project! {
    /// A wait whose time may begin anew.
    pub struct WithinEach<'d, F, G> {
        #[pin]
        wait: Within<'d, F>,
        goes_on: G,
    }
}

impl<F: Future, G: FnMut() -> bool> Future for WithinEach<'_, F, G> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = this.wait.as_mut().poll(cx);
        if matches!(result, Poll::Ready(Err(_))) && (this.goes_on)() {
            *this.wait.as_mut().project().place = None;
            return this.wait.poll(cx);
        }
        result
    }
}

/// A taken slot; dropping it frees the slot.
struct Place<'a> {
    deadlines: &'a Deadlines,
    index: usize,
}

impl Place<'_> {
    fn poll<T>(&self, cx: &Context<'_>) -> Poll<Result<T, Elapsed>> {
        let mut slots = self.deadlines.slots.borrow_mut();
        let slot = &mut slots.list[self.index];
        match slot.at {
            EARLY => return Poll::Ready(Err(Elapsed::Early)),
            at if at <= self.deadlines.now.get() => return Poll::Ready(Err(Elapsed::Limit)),
            _ => {}
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut slots = self.deadlines.slots.borrow_mut();
        let slot = &mut slots.list[self.index];
        (slot.at, slot.idle, slot.waker) = (u64::MAX, None, None);
        slots.free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, rc::Rc};

    use tokio::{task::LocalSet, time::sleep};

    use super::*;

    async fn with_deadlines<F: Future>(test: impl FnOnce(Rc<Deadlines>) -> F) -> F::Output {
        let deadlines = Rc::new(Deadlines::default());
        let sweeping = deadlines.clone();
        LocalSet::new()
            .run_until(async move {
                tokio::task::spawn_local(async move { sweeping.sweep(|| {}).await });
                test(deadlines).await
            })
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_its_time_is_over_and_not_before() {
        with_deadlines(|deadlines| async move {
            let start = Instant::now();
            let result = deadlines.within(Duration::from_secs(5), pending::<()>()).await;
            assert_eq!(result, Err(Elapsed::Limit));
            let waited = start.elapsed();
            assert!(waited >= Duration::from_secs(5) && waited < Duration::from_millis(5300), "{waited:?}");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_is_done_in_time_gives_its_value() {
        with_deadlines(|deadlines| async move {
            let work = sleep(Duration::from_secs(3));
            assert_eq!(deadlines.within(Duration::from_secs(5), work).await, Ok(()));
            assert_eq!(deadlines.slots.borrow().free.len(), 1, "the slot is free again");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_goes_on_has_its_time_anew() {
        with_deadlines(|deadlines| async move {
            let (start, mut rounds) = (Instant::now(), 0);
            let goes_on = || {
                rounds += 1;
                rounds < 3
            };
            let result = deadlines.within_each(Duration::from_secs(5), pending::<()>(), goes_on).await;
            assert_eq!((result, rounds), (Err(Elapsed::Limit), 3));
            let waited = start.elapsed();
            assert!(
                waited >= Duration::from_secs(15) && waited < Duration::from_millis(15_900),
                "{waited:?}"
            );
            let done = deadlines.within_each(Duration::from_secs(5), sleep(Duration::from_secs(12)), || true);
            assert_eq!(done.await, Ok(()));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_idle_waits_are_ended_early_and_the_oldest_first() {
        with_deadlines(|deadlines| async move {
            let limit = Duration::from_secs(60);
            let (one, two) = (deadlines.clone(), deadlines.clone());
            let busy = deadlines.clone();
            let old =
                tokio::task::spawn_local(async move { one.idle_within(limit, 0, pending::<()>()).await });
            sleep(Duration::from_secs(1)).await;
            let young =
                tokio::task::spawn_local(async move { two.idle_within(limit, 0, pending::<()>()).await });
            let busy = tokio::task::spawn_local(async move { busy.within(limit, pending::<()>()).await });
            sleep(Duration::from_secs(1)).await;
            assert_eq!(deadlines.expire_idle(1), 1);
            assert_eq!(old.await.unwrap(), Err(Elapsed::Early));
            assert!(!young.is_finished() && !busy.is_finished());
            assert_eq!(deadlines.expire_idle(9), 1);
            assert_eq!(young.await.unwrap(), Err(Elapsed::Early));
            assert!(!busy.is_finished());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn idle_waits_of_an_age_are_ended_and_younger_ones_go_on() {
        with_deadlines(|deadlines| async move {
            let limit = Duration::from_secs(60);
            let (one, two) = (deadlines.clone(), deadlines.clone());
            let old =
                tokio::task::spawn_local(async move { one.idle_within(limit, 0, pending::<()>()).await });
            sleep(Duration::from_secs(2)).await;
            let young =
                tokio::task::spawn_local(async move { two.idle_within(limit, 0, pending::<()>()).await });
            sleep(Duration::from_millis(500)).await;
            deadlines.expire_idle_for(Duration::from_secs(1));
            assert_eq!(old.await.unwrap(), Err(Elapsed::Early));
            assert!(!young.is_finished());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn idle_waits_of_a_group_are_ended_and_those_of_others_go_on() {
        with_deadlines(|deadlines| async move {
            let limit = Duration::from_secs(60);
            let wait = |group| {
                let deadlines = deadlines.clone();
                tokio::task::spawn_local(
                    async move { deadlines.idle_within(limit, group, pending::<()>()).await },
                )
            };
            let (meant, other) = (wait(1), wait(2));
            sleep(Duration::from_secs(2)).await;
            deadlines.expire_idle_of(1, Duration::from_secs(1));
            assert_eq!(meant.await.unwrap(), Err(Elapsed::Early));
            assert!(!other.is_finished());
        })
        .await;
    }
}
