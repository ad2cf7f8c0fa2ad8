//! The shop: edge and router before a legacy monolith and what it calls, all in one process.

pub mod mesh;
pub mod monolith;
pub mod services;
pub mod smoke;

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests that a service has got.
#[derive(Debug, Default)]
pub struct Seen(AtomicU64);

impl Seen {
    /// Counts one; says how many there were before.
    pub fn count(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
