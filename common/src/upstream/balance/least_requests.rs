//! Least requests: of two peers drawn at random the one with fewer requests in flight.

use std::sync::Arc;

use super::{Peer, below};

/// Two choices spread nearly as well as a look at all peers, and workers that decide at the same moment do
/// not all rush to the same one. It remembers nothing: the peers count.
#[derive(Debug)]
pub(in crate::upstream) struct LeastRequests;

impl LeastRequests {
    pub(super) fn new() -> Self {
        Self
    }

    /// If a drawn peer is not fit, the next fit one in the list stands in for it.
    pub(super) fn choose<'a>(
        &self,
        peers: &'a [Arc<Peer>],
        random: u64,
        is_fit: &dyn Fn(&Peer) -> bool,
    ) -> Option<&'a Arc<Peer>> {
        let from = |start: usize| (start..peers.len()).chain(0..start);
        let first = from(below(peers.len(), random as u32)).find(|&at| is_fit(&peers[at]))?;
        let others = peers.len() - 1;
        let skip = 1 + below(others.max(1), (random >> 32) as u32);
        let second = from((first + skip) % peers.len()).find(|&at| at != first && is_fit(&peers[at]));
        let [first, second] = [Some(first), second].map(|at| at.map(|at| &peers[at]));
        match (first, second) {
            (Some(first), Some(second)) if second.in_flight() < first.in_flight() => Some(second),
            (first, _) => first,
        }
    }
}
