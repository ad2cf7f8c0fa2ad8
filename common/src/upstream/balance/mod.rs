//! Balancers: how one of several peers is chosen. This file holds THE list of them.

mod least_requests;
mod round_robin;

use std::sync::Arc;

use super::Peer;
use crate::model::Balance;
use least_requests::LeastRequests;
use round_robin::RoundRobin;

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
                    Balance::Ewma | Balance::Hash(_) => Self::LeastRequests(LeastRequests::new()),
                }
            }

            /// One of `peers` for which `is_fit` holds; `None` only if it holds for none of them.
            /// `random` is a well-mixed value.
            pub(super) fn choose<'a>(
                &self,
                peers: &'a [Arc<Peer>],
                random: u64,
                is_fit: &dyn Fn(&Peer) -> bool,
            ) -> Option<&'a Arc<Peer>> {
                match self {
                    $(Self::$name(balancer) => balancer.choose(peers, random, is_fit),)*
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
}

/// An even value below `length` from 32 random bits, without a division.
fn below(length: usize, random: u32) -> usize {
    ((u64::from(random) * length as u64) >> 32) as usize
}
