//! Routes with the same path: which of them answers is a matter of their conditions.

use std::sync::Arc;

use super::conditions::{Asked, Compiled};
use crate::model::{Route, Shared};

/// Routes with the same path in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Choices<R> {
    conditional: Vec<(Compiled, Arc<R>)>,
    /// Answers what none of them does.
    always: Option<Arc<R>>,
}

impl<R> Choices<R> {
    /// Adds a route behind all others; it is not made if one before it answers everything.
    pub(super) fn push(&mut self, route: &Shared<Route>, make: &mut impl FnMut(&Shared<Route>) -> R) {
        if self.always.is_some() {
            return;
        }
        match Compiled::new(&route.conditions) {
            Some(conditions) => self.conditional.push((conditions, Arc::new(make(route)))),
            None => self.always = Some(Arc::new(make(route))),
        }
    }

    /// The first route whose conditions hold.
    pub(super) fn find(&self, asked: &Asked<'_>) -> Option<&Arc<R>> {
        let mut conditional = self.conditional.iter();
        let found = conditional.find(|(conditions, _)| conditions.hold(asked));
        found.map(|(_, route)| route).or(self.always.as_ref())
    }
}

impl<R> Default for Choices<R> {
    fn default() -> Self {
        Self { conditional: Vec::new(), always: None }
    }
}
