//! Usual: the annotations that count where an Ingress has none of its own. The one place where defaults of a class come in.

use std::{collections::BTreeMap, sync::Arc};

/// What the annotations of external authorization begin with.
const ASKS: &str = "auth-";

/// Annotations by their names without prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usual(BTreeMap<Arc<str>, Arc<str>>);

impl Usual {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one, in place of what it was before.
    pub fn insert(&mut self, name: &str, value: &str) {
        self.0.insert(name.into(), value.into());
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| &**value)
    }

    /// The value of one for an Ingress that says itself who is asked whether requests may pass, or that nobody is.
    pub fn get_unasked(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|_| !name.starts_with(ASKS))
    }
}
