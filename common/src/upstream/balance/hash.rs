//! Hash: the same key goes to the same peer, on every replica, as long as that peer is fit.

use std::sync::Arc;

use super::{Draw, Peer};
use crate::upstream::hashing::mix;

/// Each key ranks all peers in an order of its own and goes to the first that is fit (rendezvous hashing). So the
/// keys of a peer that goes are spread evenly over the others, and no other key moves; shares are even without
/// copies of peers on a ring, and nothing is built when peers change. The price is one multiplication per peer.
#[derive(Debug)]
pub(in crate::upstream) struct Hash;

impl Hash {
    pub(super) fn new() -> Self {
        Self
    }

    /// The random value of the draw is the key.
    pub(super) fn choose<'a>(&self, peers: &'a [Arc<Peer>], draw: &Draw<'_>) -> Option<&'a Arc<Peer>> {
        let mut best: Option<(u64, &Arc<Peer>)> = None;
        for peer in peers {
            let rank = mix(draw.random ^ peer.mark);
            // Asked only of those that would win, which are few.
            if best.is_none_or(|(most, _)| rank > most) && (draw.is_fit)(peer) {
                best = Some((rank, peer));
            }
        }
        best.map(|(_, peer)| peer)
    }
}
