//! A value that copies share until one of them changes it.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that its copies share. It is read, compared and written out like the value itself; who changes a copy gets
/// a value of his own first, so that the others never see it.
#[derive(Default)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Whether both are the very same value, not equal ones.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: PartialEq> Shared<T> {
    /// The value, as a copy of `known` if that is equal.
    pub fn like(value: T, known: &Self) -> Self {
        if value == **known { known.clone() } else { value.into() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> From<Arc<T>> for Shared<T> {
    fn from(value: Arc<T>) -> Self {
        Self(value)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || *self.0 == *other.0
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_a_copy_changes_no_other() {
        let first: Shared<Vec<u8>> = vec![1].into();
        let mut second = first.clone();
        assert!(second.is_same(&first));
        second.push(2);
        assert_eq!((&first[..], &second[..]), (&[1][..], &[1, 2][..]));
        assert!(!second.is_same(&first) && first != second);
    }

    #[test]
    fn what_is_equal_to_a_known_value_is_shared_with_it() {
        let known: Shared<u8> = 1.into();
        assert!(Shared::like(1, &known).is_same(&known));
        assert_eq!(*Shared::like(2, &known), 2);
    }

    #[test]
    fn it_is_written_and_read_as_its_value() {
        let shared: Shared<Vec<u8>> = vec![1, 2].into();
        assert_eq!(serde_json::to_string(&shared).unwrap(), "[1,2]");
        assert_eq!(serde_json::from_str::<Shared<Vec<u8>>>("[1,2]").unwrap(), shared);
        assert_eq!(format!("{shared:?}"), "[1, 2]");
    }
}
