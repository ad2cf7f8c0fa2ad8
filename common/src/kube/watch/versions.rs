//! Versions: which objects of a kind are known and in which version, so that a list anew is a difference.

use std::{collections::HashMap, sync::Arc};

use foldhash::quality::RandomState;

/// Every object of a kind that is known, with its version.
#[derive(Debug, Default)]
pub(super) struct Versions(HashMap<Arc<str>, HashMap<Box<str>, Version, RandomState>, RandomState>);

/// A version as the API server names it; most are numbers, which take less room than their text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Version {
    Number(u64),
    Text(Box<str>),
}

impl Versions {
    /// Whether an object is known in this version.
    pub(super) fn has(&self, namespace: &str, name: &str, version: &Version) -> bool {
        self.0.get(namespace).and_then(|names| names.get(name)).is_some_and(|known| known == version)
    }

    /// Notes the version of an object.
    pub(super) fn set(&mut self, namespace: &Arc<str>, name: &str, version: Version) {
        let names = match self.0.get_mut(namespace) {
            Some(names) => names,
            None => self.0.entry(namespace.clone()).or_default(),
        };
        match names.get_mut(name) {
            Some(known) => *known = version,
            None => drop(names.insert(name.into(), version)),
        }
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(names) = self.0.get_mut(namespace) {
            names.remove(name);
            if names.is_empty() {
                self.0.remove(namespace);
            }
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Namespace and name of every object that is known here and not there.
    pub(super) fn without<'v>(&'v self, other: &'v Self) -> impl Iterator<Item = (&'v Arc<str>, &'v str)> {
        self.0.iter().flat_map(move |(namespace, names)| {
            let others = other.0.get(namespace);
            let gone =
                names.keys().filter(move |name| others.is_none_or(|others| !others.contains_key(*name)));
            gone.map(move |name| (namespace, &**name))
        })
    }
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        // Two texts of one number would be two versions.
        let is_plain =
            text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        match text.parse().ok().filter(|_| is_plain) {
            Some(number) => Self::Number(number),
            None => Self::Text(text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_equal_where_their_texts_are() {
        let texts =
            ["0", "00", "7", "07", "+7", "7 ", "", "a", "18446744073709551615", "18446744073709551616"];
        for one in texts {
            for other in texts {
                assert_eq!(Version::from(one) == Version::from(other), one == other, "{one:?} {other:?}");
            }
        }
        assert_eq!(size_of::<Version>(), size_of::<Box<str>>());
    }

    #[test]
    fn what_is_listed_no_more_is_found() {
        let (a, b) = (Arc::<str>::from("a"), Arc::<str>::from("b"));
        let (mut before, mut after) = (Versions::default(), Versions::default());
        for (namespace, name) in [(&a, "x"), (&a, "y"), (&b, "x")] {
            before.set(namespace, name, "1".into());
        }
        after.set(&a, "y", "2".into());
        assert!(before.has("a", "y", &"1".into()) && !after.has("a", "y", &"1".into()));
        let mut gone: Vec<_> =
            before.without(&after).map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        gone.sort();
        assert_eq!(gone, ["a/x", "b/x"]);
        before.remove("b", "x");
        before.remove("b", "x");
        assert_eq!(before.without(&after).count(), 1);
    }
}
