//! Counts by reason, for a set of reasons that the program's text fixes.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Reasons told apart; further ones are counted as `other`.
const MOST: usize = 96;

/// A counter for each reason. It takes only constants, so that nothing a client sends becomes a label.
#[derive(Debug)]
pub struct Reasons {
    /// Filled from the front; a slot once named never changes.
    slots: [(OnceLock<&'static str>, AtomicU64); MOST],
    other: AtomicU64,
}

impl Default for Reasons {
    fn default() -> Self {
        Self { slots: std::array::from_fn(|_| Default::default()), other: AtomicU64::new(0) }
    }
}

impl Reasons {
    /// Counts one. No lock but the first time that a reason occurs.
    pub fn add(&self, reason: &'static str) {
        self.add_many(reason, 1);
    }

    /// Counts several.
    pub fn add_many(&self, reason: &'static str, times: u64) {
        if times == 0 {
            return;
        }
        let slot = self.slots.iter().find(|(name, _)| *name.get_or_init(|| reason) == reason);
        slot.map_or(&self.other, |(_, count)| count).fetch_add(times, Ordering::Relaxed);
    }

    /// What was counted, reason by reason.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let named = self.slots.iter().map_while(|(name, count)| Some((*name.get()?, count)));
        let other = Some(("other", &self.other)).filter(|(_, count)| count.load(Ordering::Relaxed) > 0);
        named.chain(other).map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    /// All reasons together.
    pub fn total(&self) -> u64 {
        self.counts().map(|(_, count)| count).sum()
    }
}
