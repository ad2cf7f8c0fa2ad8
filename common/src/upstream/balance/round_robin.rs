//! Round robin: one peer after the other, beginning at a random one.

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{Draw, Peer};

/// One counter that all workers share: with a counter for each of them, few requests would be spread
/// unevenly. It starts at random, lest all proxies begin with the same peer.
#[derive(Debug)]
pub(in crate::upstream) struct RoundRobin {
    next: AtomicUsize,
}

impl RoundRobin {
    pub(super) fn new() -> Self {
        // Each `RandomState` has other keys, so the hash of nothing is a random value.
        let start = std::hash::RandomState::new().hash_one(()) as u32;
        Self { next: AtomicUsize::new(start as usize) }
    }

    /// Peers that are not fit use up their turn, so the others keep getting equal shares.
    pub(super) fn choose<'a>(&self, peers: &'a [Arc<Peer>], draw: &Draw<'_>) -> Option<&'a Arc<Peer>> {
        let turns = (0..peers.len()).map(|_| &peers[self.next.fetch_add(1, Relaxed) % peers.len()]);
        turns
            .into_iter()
            .find(|peer| (draw.is_fit)(peer))
            .or_else(|| peers.iter().find(|peer| (draw.is_fit)(peer)))
    }
}
