//! Fair: how much of a backend each caller takes where that is limited, and who waits for a turn, on all workers.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{Overload, Upstream};
use crate::model::Fairness;

/// What the callers of a backend take of it. It knows only those that have requests there, so it is never larger than
/// what is going on.
#[derive(Debug, Default)]
pub(super) struct Callers {
    /// Callers by a hash with a secret, so that they take little room and nobody can make two of them meet.
    known: Mutex<HashMap<u64, Caller>>,
    hasher: RandomState,
}

/// The requests of one caller.
#[derive(Debug, Default)]
struct Caller {
    in_flight: u32,
    /// Who waits, by when he came.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    came: u64,
}

/// Whether a request of a caller may go on.
#[derive(Debug)]
pub enum Turn {
    /// It may.
    Now(Share),
    /// When others of the caller have ended.
    Later(Waiter),
}

/// A request that counts against what its caller may take, until this is dropped.
#[derive(Debug)]
pub struct Share {
    upstream: Arc<Upstream>,
    caller: u64,
    /// Its place among those that wait, until it has been told that it may go on.
    place: Option<u64>,
}

/// A request that waits for its turn; dropping it gives the place up.
#[derive(Debug)]
pub struct Waiter {
    share: Share,
    told: oneshot::Receiver<()>,
}

impl Callers {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Caller>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The limits have changed: lets those go on that may now.
    pub(super) fn follow(&self, limits: &Fairness) {
        self.lock().values_mut().for_each(|caller| caller.let_go_on(limits));
    }
}

impl Caller {
    fn let_go_on(&mut self, limits: &Fairness) {
        let most = most(limits);
        while self.in_flight < most
            && let Some((_, waiter)) = self.waiting.pop_first()
        {
            // Who waits takes the place away before he goes, so he is there to hear it.
            let _ = waiter.send(());
            self.in_flight += 1;
        }
    }
}

impl Share {
    /// Counts a request of this caller, or puts it behind those that wait.
    ///
    /// # Errors
    /// If as many wait as may.
    pub(super) fn take(upstream: &Arc<Upstream>, limits: &Fairness, caller: &[u8]) -> Result<Turn, Overload> {
        let key = upstream.callers.hasher.hash_one(caller);
        let share = |place| Self { upstream: upstream.clone(), caller: key, place };
        let mut known = upstream.callers.lock();
        let caller = known.entry(key).or_default();
        if caller.in_flight < most(limits) {
            caller.in_flight += 1;
            return Ok(Turn::Now(share(None)));
        }
        if caller.waiting.len() >= limits.queue as usize {
            return Err(Overload);
        }
        let (tell, told) = oneshot::channel();
        caller.came += 1;
        caller.waiting.insert(caller.came, tell);
        Ok(Turn::Later(Waiter { share: share(Some(caller.came)), told }))
    }
}

/// Requests of one caller at once; none at all would only be a way to let them wait in vain.
fn most(limits: &Fairness) -> u32 {
    limits.per_caller.map_or(u32::MAX, |most| most.max(1))
}

impl Waiter {
    /// Waits for the turn.
    pub async fn turn(mut self) -> Share {
        // It is told, or else it holds a place still, and then the other end lives.
        let _ = (&mut self.told).await;
        self.share.place = None;
        self.share
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let limits = self.upstream.backend().fairness.clone();
        let mut known = self.upstream.callers.lock();
        let Entry::Occupied(mut entry) = known.entry(self.caller) else { return };
        let caller = entry.get_mut();
        let waits = self.place.is_some_and(|place| caller.waiting.remove(&place).is_some());
        if !waits {
            caller.in_flight -= 1;
            caller.let_go_on(&limits);
        }
        if caller.in_flight == 0 && caller.waiting.is_empty() {
            entry.remove();
        }
    }
}
