//! A sorted map whose copies share what is the same in both, so that a change costs what it touches.

mod cursor;
mod node;

use std::{borrow::Borrow, collections::BTreeMap, fmt, ops::Index, sync::Arc};

use cursor::Cursor;
use node::{Inserted, Node};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A sorted map in pieces that copies share until one of them changes the piece.
///
/// Reading is like that of a `BTreeMap`. A copy costs nothing, a change of a copy of ten thousand entries less than a
/// hundred steps, and [`differences`](Self::differences) looks only into pieces that are not shared.
#[derive(Clone)]
pub struct SharedMap<K, V> {
    root: Option<Arc<Node<K, V>>>,
    len: usize,
}

/// A key whose value is another one in two maps.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// Its value before; `None` if it is new.
    pub before: Option<&'a V>,
    /// Its value now; `None` if it is gone.
    pub after: Option<&'a V>,
}

impl<K, V> SharedMap<K, V> {
    /// A map without entries.
    pub const fn new() -> Self {
        Self { root: None, len: 0 }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter(Cursor::new(self.root.as_ref()))
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// How many pieces with entries of their own this map has that another one does not share: what a change has
    /// copied, in pieces.
    pub fn own_pieces(&self, other: &Self) -> usize {
        let leaves = |map: &Self| {
            let mut found = Vec::new();
            map.root.iter().for_each(|root| Node::leaves(root, &mut found));
            found
        };
        let known = leaves(other);
        leaves(self).iter().filter(|piece| !known.contains(piece)).count()
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// The value of a key, with the key as it is kept here.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.root.as_ref()?.get(key)
    }

    /// Whether there is a value of this key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(root) = &mut self.root else {
            (self.root, self.len) = (Some(Arc::new(Node::Leaf(vec![(key, value)]))), 1);
            return None;
        };
        let Inserted { before, rest } = Arc::make_mut(root).insert(key, value);
        if let Some(rest) = rest {
            *root = Arc::new(Node::Inner(vec![root.clone(), Arc::new(rest)]));
        }
        self.len += usize::from(before.is_none());
        before
    }

    /// Removes a key; returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // Nothing is copied for what is not there.
        let root = self.root.as_mut().filter(|root| root.get(key).is_some())?;
        let value = Arc::make_mut(root).remove(key);
        self.len -= 1;
        self.root.take_if(|root| root.len() == 0);
        while let Some(Node::Inner(nodes)) = self.root.as_deref()
            && let [only] = &nodes[..]
        {
            self.root = Some(only.clone());
        }
        value
    }
}

impl<K: Ord, V: PartialEq> SharedMap<K, V> {
    /// The keys whose value is another one than in `before`, in order. Pieces that both share are passed over.
    pub fn differences<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Difference<'a, K, V>> {
        let (mut old, mut new) = (Cursor::new(before.root.as_ref()), Cursor::new(self.root.as_ref()));
        std::iter::from_fn(move || {
            loop {
                let (was, is) = old.entries(&mut new);
                let order = match (was, is) {
                    (None, None) => return None,
                    (Some(_), None) => std::cmp::Ordering::Less,
                    (None, Some(_)) => std::cmp::Ordering::Greater,
                    (Some((was, _)), Some((is, _))) => was.cmp(is),
                };
                let was = was.filter(|_| order.is_le()).inspect(|_| old.step());
                let is = is.filter(|_| order.is_ge()).inspect(|_| new.step());
                let key = is.or(was).map(|(key, _)| key)?;
                let (before, after) = (was.map(|(_, value)| value), is.map(|(_, value)| value));
                if before != after {
                    return Some(Difference { key, before, after });
                }
            }
        })
    }
}

/// All entries of a map in order.
#[derive(Debug)]
pub struct Iter<'a, K, V>(Cursor<'a, K, V>);

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.entry()?;
        self.0.step();
        Some(entry)
    }
}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SharedMap<K, V> {
    /// Of several values of a key the last one stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries: BTreeMap<K, V> = entries.into_iter().collect();
        Self { len: entries.len(), root: Node::tree(entries) }
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SharedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.differences(other).next().is_none()
    }
}

impl<K: Ord, V: Eq> Eq for SharedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized> Index<&Q> for SharedMap<K, V> {
    type Output = V;

    /// As with any map, one must know that the key is there.
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the key is in the map")
    }
}

impl<K: Serialize, V: Serialize> Serialize for SharedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for SharedMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A change of a map: a value for a key, or none.
    fn changes(most: usize) -> impl Strategy<Value = Vec<(u16, Option<u8>)>> {
        prop::collection::vec((0..600_u16, prop::option::weighted(0.7, any::<u8>())), 0..most)
    }

    fn change(map: &mut SharedMap<u16, u8>, model: &mut BTreeMap<u16, u8>, changes: &[(u16, Option<u8>)]) {
        for (key, value) in changes {
            match value {
                Some(value) => assert_eq!(map.insert(*key, *value), model.insert(*key, *value)),
                None => assert_eq!(map.remove(key), model.remove(key)),
            }
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_of_the_standard_library_holds(first in changes(2_000), second in changes(50)) {
            let (mut before, mut model_before) = Default::default();
            change(&mut before, &mut model_before, &first);
            let (mut after, mut model_after) = (before.clone(), model_before.clone());
            change(&mut after, &mut model_after, &second);
            prop_assert!(before.iter().eq(model_before.iter()), "a copy that changes leaves the first one alone");
            prop_assert!(after.iter().eq(model_after.iter()));
            prop_assert_eq!(after.len(), model_after.len());
            prop_assert!((0..600).all(|key| after.get(&key) == model_after.get(&key)));
            prop_assert_eq!(before == after, model_before == model_after);
            prop_assert_eq!(&after, &model_after.clone().into_iter().collect());
            let differ = |key: &u16| model_before.get(key) != model_after.get(key);
            let found: Vec<_> = after.differences(&before).map(|d| (*d.key, d.before, d.after)).collect();
            let wanted: Vec<_> = (0..600).filter(differ).collect();
            prop_assert_eq!(found.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), wanted);
            for (key, was, is) in found {
                prop_assert_eq!((was, is), (model_before.get(&key), model_after.get(&key)));
            }
        }
    }

    #[test]
    fn a_change_copies_one_piece_and_shares_the_rest() {
        let before: SharedMap<u32, u32> = (0..10_000).map(|key| (2 * key, 0)).collect();
        let mut after = before.clone();
        assert_eq!(after.own_pieces(&before), 0);
        after.insert(5_000, 1);
        assert_eq!(after.own_pieces(&before), 1);
        after.remove(&5_000);
        after.insert(5_001, 1);
        assert_eq!(after.own_pieces(&before), 1);
        let keys: Vec<_> = after.differences(&before).map(|difference| *difference.key).collect();
        assert_eq!(keys, [5_000, 5_001]);
    }

    #[test]
    fn pieces_that_lose_their_entries_become_one() {
        let mut map: SharedMap<u32, u32> = (0..1_000).map(|key| (key, 0)).collect();
        let before = map.own_pieces(&SharedMap::new());
        for key in (0..1_000).filter(|key| key % 10 != 0) {
            assert_eq!(map.remove(&key), Some(0));
        }
        let after = map.own_pieces(&SharedMap::new());
        assert_eq!(map.len(), 100);
        assert!(after < before / 2, "{after} of {before}");
        for key in (0..1_000).filter(|key| key % 10 == 0) {
            assert_eq!(map.remove(&key), Some(0));
        }
        assert!(map.root.is_none());
    }

    #[test]
    fn a_change_copies_no_more_than_the_way_to_its_piece() {
        let before: SharedMap<u32, Arc<()>> = (0..10_000).map(|key| (key, Arc::default())).collect();
        let mut after = before.clone();
        after.insert(5_000, Arc::default());
        let copied = before.values().filter(|value| Arc::strong_count(value) > 1).count();
        assert!(copied < 32, "{copied} values of 10,000");
    }

    #[test]
    fn it_is_written_and_read_as_a_map() {
        let map = SharedMap::from([("b".to_owned(), 2), ("a".to_owned(), 1)]);
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(text, r#"{"a":1,"b":2}"#);
        assert_eq!(serde_json::from_str::<SharedMap<String, i32>>(&text).unwrap(), map);
        assert_eq!(format!("{map:?}"), r#"{"a": 1, "b": 2}"#);
    }
}
