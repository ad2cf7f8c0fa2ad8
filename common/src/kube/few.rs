//! A set that mostly has one element, as most things are read and declared by one other thing.

use crate::model::SharedMap;

/// A sorted set; one element takes no room but its own, and many take little more than theirs.
#[derive(Clone, Debug)]
pub(super) enum Few<T> {
    One(T),
    /// None or at least two.
    Many(SharedMap<T, ()>),
}

impl<T: Ord + Clone> Few<T> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Many(all) if all.is_empty())
    }

    /// All elements in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::One(one) => (Some(one), None),
            Self::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flat_map(SharedMap::keys))
    }

    pub(super) fn insert(&mut self, element: T) {
        *self = match std::mem::take(self) {
            Self::One(one) if one == element => Self::One(one),
            Self::One(one) => Self::Many([(one, ()), (element, ())].into()),
            Self::Many(many) if many.is_empty() => Self::One(element),
            Self::Many(mut many) => {
                many.insert(element, ());
                Self::Many(many)
            }
        };
    }

    pub(super) fn remove(&mut self, element: &T) {
        match self {
            Self::One(one) if one == element => *self = Self::default(),
            Self::One(_) => {}
            Self::Many(many) => {
                many.remove(element);
                let left = many.keys().next().filter(|_| many.len() == 1).cloned();
                if let Some(left) = left {
                    *self = Self::One(left);
                }
            }
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Many(SharedMap::new())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_holds_what_a_set_of_the_standard_library_holds() {
        let (mut few, mut model) = (Few::default(), BTreeSet::new());
        assert!(few.is_empty());
        for (number, is_in) in [3, 3, 1, 2, 1].map(|number| (number, true)).into_iter().chain([
            (9, false),
            (2, false),
            (3, false),
            (9, false),
            (1, false),
            (1, false),
            (5, true),
        ]) {
            match is_in {
                true => drop((few.insert(number), model.insert(number))),
                false => drop((few.remove(&number), model.remove(&number))),
            }
            assert!(few.iter().eq(&model), "{few:?}");
            assert_eq!((few.is_empty(), matches!(few, Few::One(_))), (model.is_empty(), model.len() == 1));
        }
    }
}
