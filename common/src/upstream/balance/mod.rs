//! Balancers: how one of several peers is chosen. This file holds THE list of them.

mod ewma;
mod hash;
mod least_requests;
mod round_robin;

use std::{sync::Arc, time::Instant};

use super::{Peer, hashing::mix};
use crate::model::Balance;
use ewma::Ewma;
pub(super) use ewma::Latency;
use hash::Hash;
use least_requests::LeastRequests;
use round_robin::RoundRobin;

/// Draws of a peer that is not fit before the next fit one in the list stands in for it, which spreads less evenly.
const DRAWS: usize = 4;

/// What a choice is made by.
pub(super) struct Draw<'a> {
    /// A well-mixed value; the key of the request if it has one.
    pub(super) random: u64,
    /// The time.
    pub(super) now: Instant,
    /// Whether a peer may be chosen.
    pub(super) is_fit: &'a dyn Fn(&Peer) -> bool,
}

macro_rules! balancers {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A balancer with its memory, which all workers share. Named as in [`Balance`].
        #[derive(Debug)]
        pub(super) enum Balancer {
            $($(#[$doc])* $name($name),)*
        }

        impl Balancer {
            pub(super) fn new(balance: &Balance) -> Self {
                match balance {
                    $(Balance::$name { .. } => Self::$name($name::new()),)*
                }
            }

            /// One of `peers` for which `is_fit` holds; `None` only if it holds for none of them.
            pub(super) fn choose<'a>(
                &self,
                peers: &'a [Arc<Peer>],
                draw: &Draw<'_>,
            ) -> Option<&'a Arc<Peer>> {
                match self {
                    $(Self::$name(balancer) => balancer.choose(peers, draw),)*
                }
            }
        }
    };
}

balancers! {
    /// One after the other.
    RoundRobin,
    /// The less busy of two.
    LeastRequests,
    /// The quicker of two.
    Ewma,
    /// The same for the same key.
    Hash,
}

/// Two different fit peers drawn at random; the second is missing if there is but one.
fn two<'a>(peers: &'a [Arc<Peer>], draw: &Draw<'_>) -> Option<(&'a Arc<Peer>, Option<&'a Arc<Peer>>)> {
    let (first_random, second_random) = (draw.random as u32, (draw.random >> 32) as u32);
    let first = fit_from(peers, below(peers.len(), first_random), draw, None)?;
    let others = (peers.len() - 1).max(1);
    let start = (first + 1 + below(others, second_random)) % peers.len();
    let second = fit_from(peers, start, draw, Some(first));
    Some((&peers[first], second.map(|at| &peers[at])))
}

/// A fit peer but `other`: the one at `start`, or else one drawn again, or else the next.
fn fit_from(peers: &[Arc<Peer>], start: usize, draw: &Draw<'_>, other: Option<usize>) -> Option<usize> {
    let is_fit = |at: &usize| Some(*at) != other && (draw.is_fit)(&peers[*at]);
    let (mut at, mut random) = (start, draw.random);
    for _ in 0..DRAWS {
        if is_fit(&at) {
            return Some(at);
        }
        random = mix(random);
        at = below(peers.len(), random as u32);
    }
    (at..peers.len()).chain(0..at).find(is_fit)
}

/// An even value below `length` from 32 random bits, without a division.
fn below(length: usize, random: u32) -> usize {
    ((u64::from(random) * length as u64) >> 32) as usize
}
