//! Annotation group: how endpoints are chosen.

use selvedge_common::model::Balance;

use crate::translate::RouteDraft;

super::group! {
    /// Load balancing
    Balancing {
        /// How an endpoint is chosen: one after the other (default), or the less busy one of two drawn at random.
        balance: Balance = "balance",
    }
}

impl Balancing {
    pub(super) fn apply(&self, route: &mut RouteDraft<'_>) {
        route.balance.clone_from(&self.balance);
    }
}
