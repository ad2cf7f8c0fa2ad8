//! A value that is mostly its default, which then takes no room but that of a pointer.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type with a value that most of its kind have.
pub trait Usual: PartialEq + Sized + 'static {
    /// That value.
    fn usual() -> &'static Self;
}

/// A value that is mostly the [usual](Usual) one. It is read, compared and written out like the value itself.
#[derive(Clone)]
pub struct Rare<T>(Option<Box<T>>);

impl<T: Usual> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::usual(),
        }
    }
}

impl<T: Usual> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((value != *T::usual()).then(|| Box::new(value)))
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Usual> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Usual + Eq> Eq for Rare<T> {}

impl<T: Usual + Hash> Hash for Rare<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: Usual + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Usual + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'de, T: Usual + Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Conditions;

    #[test]
    fn what_is_usual_takes_no_room_and_reads_like_any_other() {
        let (none, some) =
            (Conditions::default(), Conditions { methods: vec!["GET".into()], ..Default::default() });
        for value in [none, some] {
            let rare = Rare::from(value.clone());
            assert_eq!((&*rare, rare.0.is_none()), (&value, value.is_empty()));
            let text = serde_json::to_string(&rare).unwrap();
            assert_eq!(text, serde_json::to_string(&value).unwrap());
            assert_eq!(serde_json::from_str::<Rare<Conditions>>(&text).unwrap(), rare);
        }
    }
}
