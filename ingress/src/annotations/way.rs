//! Annotation group: whether requests go through the router.

use super::{Effect, key::own};
use crate::translate::{RouteDraft, Via};

super::group! {
    /// Way to the Service
    Way {
        /// `router` sends requests to the router, which applies the rules of the Service; `direct` sends them to its endpoints, also where the Service says `selvedge.dev/via: router` in a label or annotation of its own.
        via: Via = own("via").example("`router`");
    }
}

impl Effect for Way {
    fn apply(&self, route: &mut RouteDraft<'_>) {
        route.via = self.via;
    }
}
