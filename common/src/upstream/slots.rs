//! Slots: how much may be going on at once towards a backend, of all workers together.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{
            AtomicU32,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Upstream, registry::Surroundings};
use crate::model::BackendLimits;

/// Of so many connections that come back while requests wait, one goes to whoever has waited longest on any worker;
/// the others stay open for those that wait on theirs.
const SHARED_IN: u32 = 4;

/// As much is going on towards the backend as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as much is going on towards the backend as may be")]
pub struct Overload;

/// A request in flight that counts against the limit of its backend until this is dropped.
#[derive(Debug)]
pub struct Admitted(Arc<Upstream>);

impl Admitted {
    pub(super) fn new(upstream: &Arc<Upstream>, most: u32) -> Result<Self, Overload> {
        let more = |count: u32| (count < most).then(|| count + 1);
        upstream.admitted.fetch_update(Relaxed, Relaxed, more).map_err(|_| Overload)?;
        Ok(Self(upstream.clone()))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Relaxed);
    }
}

/// The connections of an upstream that limits them.
#[derive(Debug)]
pub struct Slots {
    /// Who waits is served in turn, on whatever worker he waits.
    free: Arc<Semaphore>,
    /// Connections that wait for a request.
    idle: AtomicU32,
    waiting: AtomicU32,
    most_waiting: u32,
    /// Idle connections that shall close for those who wait.
    claims: AtomicU32,
    /// Connections that came back while requests waited.
    returned: AtomicU32,
    surroundings: Arc<Surroundings>,
}

/// Room for one connection, taken until this is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    idle: Cell<bool>,
    _permit: OwnedSemaphorePermit,
}

/// A request that waits for a connection.
#[derive(Debug)]
pub struct Waiting(Arc<Slots>);

impl Slots {
    /// `None` if connections are not limited.
    pub(super) fn new(limits: &BackendLimits, surroundings: &Arc<Surroundings>) -> Option<Arc<Self>> {
        let most = limits.connections?;
        Some(Arc::new(Self {
            free: Arc::new(Semaphore::new(most as usize)),
            idle: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            most_waiting: limits.pending.unwrap_or(most),
            claims: AtomicU32::new(0),
            returned: AtomicU32::new(0),
            surroundings: surroundings.clone(),
        }))
    }

    /// Room for a connection, if there is some.
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        self.free.clone().try_acquire_owned().ok().map(|permit| self.slot(permit))
    }

    /// Stands in line for room. Idle connections on other workers close for it, so a request may always wait for
    /// one of those.
    ///
    /// # Errors
    /// If the line is full.
    pub fn wait(self: &Arc<Self>) -> Result<Waiting, Overload> {
        let most = self.most_waiting.saturating_add(self.idle.load(SeqCst));
        let more = |count: u32| (count < most).then(|| count + 1);
        self.waiting.fetch_update(SeqCst, SeqCst, more).map_err(|_| Overload)?;
        self.claim();
        Ok(Waiting(self.clone()))
    }

    /// Requests that wait.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Asks for an idle connection to close, if there is one. Who waits says so before he looks, and who makes a
    /// connection idle says so before he looks whether somebody waits: so one of them sees the other.
    fn claim(&self) {
        if self.idle.load(SeqCst) > 0 {
            self.claims.fetch_add(1, Relaxed);
            self.surroundings.sweep();
        }
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        Slot { slots: self.clone(), idle: Cell::new(false), _permit: permit }
    }
}

impl Waiting {
    /// Waits for room.
    pub async fn room(&self) -> Slot {
        let permit = self.0.free.clone().acquire_owned().await.expect("the semaphore is never closed");
        self.0.slot(permit)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        match self.0.waiting.fetch_sub(1, SeqCst) {
            1 => self.0.claims.store(0, Relaxed),
            // What came back for this one, which has found another or gave up, is for the others.
            _ => self.0.claim(),
        }
    }
}

impl Slot {
    pub(super) fn is_of(&self, slots: &Slots) -> bool {
        std::ptr::eq(&*self.slots, slots)
    }

    /// Whether its connection waits for a request.
    pub(super) fn set_idle(&self, idle: bool) {
        match (self.idle.replace(idle), idle) {
            (false, true) => _ = self.slots.idle.fetch_add(1, SeqCst),
            (true, false) => _ = self.slots.idle.fetch_sub(1, SeqCst),
            _ => {}
        }
    }

    /// Whether its connection, which is idle now, shall rather close so that another request can open one:
    /// if requests wait, but none on this worker for this peer, and for some of them in any case.
    pub(super) fn is_for_others(&self, waits_here: bool) -> bool {
        self.slots.waiting() > 0
            && (!waits_here || self.slots.returned.fetch_add(1, Relaxed).is_multiple_of(SHARED_IN))
    }

    /// Whether its idle connection shall close for a request that waits; each claim is told once.
    pub(super) fn is_claimed(&self) -> bool {
        self.slots.claims.load(Relaxed) > 0
            && self.slots.claims.fetch_update(Relaxed, Relaxed, |claims| claims.checked_sub(1)).is_ok()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_idle(false);
    }
}
