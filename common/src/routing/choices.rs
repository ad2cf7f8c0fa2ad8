//! Routes with the same path: which of them answers is a matter of their conditions.

use std::sync::Arc;

use super::conditions::{Asked, Compiled};
use crate::model::{Route, Shared};

/// Routes with the same path in the order in which they are asked. Mostly there is one, and it has no conditions.
#[derive(Debug)]
pub(super) struct Choices<R> {
    conditional: Option<Box<Conditional<R>>>,
    /// Answers what none of them does.
    always: Option<Arc<R>>,
}

/// Routes with conditions, which most paths have none of.
type Conditional<R> = Vec<(Compiled, Arc<R>)>;

impl<R> Choices<R> {
    /// Adds a route behind all others; it is not made if one before it answers everything.
    pub(super) fn push(&mut self, route: &Shared<Route>, make: &mut impl FnMut(&Shared<Route>) -> R) {
        if self.always.is_some() {
            return;
        }
        match Compiled::new(&route.conditions) {
            Some(conditions) => {
                let conditional = self.conditional.get_or_insert_default();
                conditional.push((conditions, Arc::new(make(route))));
            }
            None => self.always = Some(Arc::new(make(route))),
        }
    }

    /// The first route whose conditions hold.
    pub(super) fn find(&self, asked: &Asked<'_>) -> Option<&Arc<R>> {
        let mut conditional = self.conditional.iter().flat_map(|conditional| conditional.iter());
        let found = conditional.find(|(conditions, _)| conditions.hold(asked));
        found.map(|(_, route)| route).or(self.always.as_ref())
    }
}

impl<R> Default for Choices<R> {
    fn default() -> Self {
        Self { conditional: None, always: None }
    }
}
