//! A sorted map whose copies share what is the same in both, so that a change costs what it touches.

use std::{borrow::Borrow, collections::BTreeMap, fmt, ops::Index, slice, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most entries of a piece. A copy of a map costs a step for each piece, a change one for each entry of a piece.
const MOST: usize = 64;
/// Entries of a piece that is made at once with others, so that there is room for some more.
const USUAL: usize = 48;
/// Two pieces beside each other become one if they have no more together.
const FEW: usize = 24;

/// A sorted map in pieces that copies share until one of them changes the piece.
///
/// Reading is like that of a `BTreeMap`. A copy of ten thousand entries costs some two hundred steps, a change of such
/// a copy as many again, and [`differences`](Self::differences) looks only into pieces that are not shared.
#[derive(Clone)]
pub struct SharedMap<K, V> {
    /// None is empty; their entries are in order, within one and from one to the next.
    pieces: Vec<Piece<K, V>>,
    len: usize,
}

type Piece<K, V> = Arc<Vec<(K, V)>>;

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
        Self { pieces: Vec::new(), len: 0 }
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
        Iter { pieces: self.pieces.iter(), piece: [].iter() }
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
        let is_shared = |piece: &&Piece<K, V>| other.pieces.iter().any(|known| Arc::ptr_eq(known, piece));
        self.pieces.len() - self.pieces.iter().filter(is_shared).count()
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let piece = &self.pieces[self.piece_of(key)?];
        let at = piece.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        Some(&piece[at].1)
    }

    /// Whether there is a value of this key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The piece that a key is in if it is anywhere; `None` if there are no pieces.
    fn piece_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let first = |piece: &Piece<K, V>| piece.first().is_some_and(|(first, _)| first.borrow() <= key);
        let after = self.pieces.partition_point(first);
        (!self.pieces.is_empty()).then(|| after.saturating_sub(1))
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(index) = self.piece_of(&key) else {
            self.pieces.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        };
        let piece = Arc::make_mut(&mut self.pieces[index]);
        match piece.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => Some(std::mem::replace(&mut piece[at].1, value)),
            Err(at) => {
                piece.insert(at, (key, value));
                self.len += 1;
                if piece.len() > MOST {
                    let second = piece.split_off(MOST / 2);
                    piece.shrink_to_fit();
                    self.pieces.insert(index + 1, Arc::new(second));
                }
                None
            }
        }
    }

    /// Removes a key; returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.piece_of(key)?;
        let at = self.pieces[index].binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        let piece = Arc::make_mut(&mut self.pieces[index]);
        let (_, value) = piece.remove(at);
        self.len -= 1;
        if piece.is_empty() {
            self.pieces.remove(index);
        } else if !self.join(index) && index > 0 {
            self.join(index - 1);
        }
        Some(value)
    }

    /// Makes one piece of this one and the next if they have few entries; says whether it did.
    fn join(&mut self, index: usize) -> bool {
        let Some([piece, next]) = self.pieces.get(index..index + 2) else { return false };
        if piece.len() + next.len() > FEW {
            return false;
        }
        let next = self.pieces.remove(index + 1);
        Arc::make_mut(&mut self.pieces[index]).extend(next.iter().cloned());
        true
    }
}

impl<K: Ord, V: PartialEq> SharedMap<K, V> {
    /// The keys whose value is another one than in `before`, in order. Pieces that both share are passed over.
    pub fn differences<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Difference<'a, K, V>> {
        let (mut old, mut new) = (Cursor::new(before), Cursor::new(self));
        std::iter::from_fn(move || {
            loop {
                if old.skip_shared(&mut new) {
                    continue;
                }
                let (was, is) = (old.peek(), new.peek());
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

/// A place in a map.
struct Cursor<'a, K, V> {
    pieces: &'a [Piece<K, V>],
    /// Within the first of these pieces.
    at: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn new(map: &'a SharedMap<K, V>) -> Self {
        Self { pieces: &map.pieces, at: 0 }
    }

    fn peek(&self) -> Option<(&'a K, &'a V)> {
        let (key, value) = self.pieces.first()?.get(self.at)?;
        Some((key, value))
    }

    fn step(&mut self) {
        self.at += 1;
        if self.pieces.first().is_some_and(|piece| self.at >= piece.len()) {
            (self.pieces, self.at) = (&self.pieces[1..], 0);
        }
    }

    /// Goes behind a piece that both are at the beginning of.
    fn skip_shared(&mut self, other: &mut Self) -> bool {
        match (self.pieces, other.pieces) {
            ([one, rest @ ..], [same, others @ ..])
                if (self.at, other.at) == (0, 0) && Arc::ptr_eq(one, same) =>
            {
                (self.pieces, other.pieces) = (rest, others);
                true
            }
            _ => false,
        }
    }
}

/// All entries of a map in order.
#[derive(Debug)]
pub struct Iter<'a, K, V> {
    pieces: slice::Iter<'a, Piece<K, V>>,
    piece: slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.piece.next() {
                return Some((key, value));
            }
            self.piece = self.pieces.next()?.iter();
        }
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
        let len = entries.len();
        let mut entries = entries.into_iter().peekable();
        let mut pieces = Vec::with_capacity(len.div_ceil(USUAL));
        while entries.peek().is_some() {
            pieces.push(Arc::new(entries.by_ref().take(USUAL).collect()));
        }
        Self { pieces, len }
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
        let before = map.pieces.len();
        for key in (0..1_000).filter(|key| key % 10 != 0) {
            assert_eq!(map.remove(&key), Some(0));
        }
        assert_eq!(map.len(), 100);
        assert!(map.pieces.len() < before / 2, "{} of {before}", map.pieces.len());
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
