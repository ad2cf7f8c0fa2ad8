//! Least requests: of two peers drawn at random the one with fewer requests in flight.

use std::sync::Arc;

use super::{Draw, Peer, two};

/// Two choices spread nearly as well as a look at all peers, and workers that decide at the same moment do
/// not all rush to the same one. It remembers nothing: the peers count.
#[derive(Debug)]
pub(in crate::upstream) struct LeastRequests;

impl LeastRequests {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn choose<'a>(&self, peers: &'a [Arc<Peer>], draw: &Draw<'_>) -> Option<&'a Arc<Peer>> {
        match two(peers, draw) {
            Some((first, Some(second))) if second.in_flight() < first.in_flight() => Some(second),
            drawn => drawn.map(|(first, _)| first),
        }
    }
}
