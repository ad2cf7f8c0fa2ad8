//! The nodes of a shared map: a tree whose copies share each node until one of them changes it.

use std::{borrow::Borrow, collections::BTreeMap, sync::Arc};

/// Most entries of a node. A change copies as many nodes as the tree is deep.
const MOST: usize = 32;
/// Entries of a node that is made at once with others, so that there is room for some more.
const USUAL: usize = 24;
/// Two nodes beside each other become one if they have no more together.
const FEW: usize = 12;

/// Entries in order, or nodes of which each has lower keys than the next. None is empty, but for a moment while
/// something is removed, and all leaves are equally deep.
#[derive(Clone, Debug)]
pub(super) enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<Arc<Node<K, V>>>),
}

/// What an insertion did.
pub(super) struct Inserted<K, V> {
    /// The value before.
    pub(super) before: Option<V>,
    /// What had no room in the node, to be put right behind it.
    pub(super) rest: Option<Node<K, V>>,
}

impl<K: Ord, V> Node<K, V> {
    /// The tree of these entries; `None` if there are none.
    pub(super) fn tree(entries: BTreeMap<K, V>) -> Option<Arc<Self>> {
        let mut level: Vec<_> = chunks(entries).map(|chunk| Arc::new(Self::Leaf(chunk))).collect();
        while level.len() > 1 {
            level = chunks(level).map(|chunk| Arc::new(Self::Inner(chunk))).collect();
        }
        level.pop()
    }

    /// A key that is there, with its value.
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(entries) => {
                    let (key, value) = entries.get(find(entries, key).ok()?)?;
                    return Some((key, value));
                }
                Self::Inner(nodes) => node = nodes.get(node_of(nodes, key))?,
            }
        }
    }

    /// Its lowest key.
    fn first(&self) -> Option<&K> {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(entries) => return entries.first().map(|(key, _)| key),
                Self::Inner(nodes) => node = nodes.first()?,
            }
        }
    }
}

impl<K, V> Node<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(nodes) => nodes.len(),
        }
    }

    /// Adds the addresses of all leaves below a node, or its own.
    pub(super) fn leaves(node: &Arc<Self>, found: &mut Vec<*const Self>) {
        match &**node {
            Self::Leaf(_) => found.push(Arc::as_ptr(node)),
            Self::Inner(nodes) => nodes.iter().for_each(|node| Self::leaves(node, found)),
        }
    }
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: K, value: V) -> Inserted<K, V> {
        match self {
            Self::Leaf(entries) => match find(entries, &key) {
                Ok(at) => {
                    let before = std::mem::replace(&mut entries[at].1, value);
                    Inserted { before: Some(before), rest: None }
                }
                Err(at) => {
                    put(entries, at, (key, value));
                    Inserted { before: None, rest: split(entries).map(Self::Leaf) }
                }
            },
            Self::Inner(nodes) => {
                let at = node_of(nodes, &key);
                let Inserted { before, rest } = Arc::make_mut(&mut nodes[at]).insert(key, value);
                if let Some(rest) = rest {
                    put(nodes, at + 1, Arc::new(rest));
                }
                Inserted { before, rest: split(nodes).map(Self::Inner) }
            }
        }
    }

    /// Removes a key that is there; returns its value. Then the node may be empty.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Leaf(entries) => Some(entries.remove(find(entries, key).ok()?).1),
            Self::Inner(nodes) => {
                let at = node_of(nodes, key);
                let value = Arc::make_mut(nodes.get_mut(at)?).remove(key);
                if nodes[at].len() == 0 {
                    nodes.remove(at);
                } else if !join(nodes, at) && at > 0 {
                    join(nodes, at - 1);
                }
                value
            }
        }
    }
}

/// Where a key is among entries, or would be.
fn find<K: Borrow<Q>, V, Q: Ord + ?Sized>(entries: &[(K, V)], key: &Q) -> Result<usize, usize> {
    entries.binary_search_by(|(known, _)| known.borrow().cmp(key))
}

/// Which of these nodes has a key, if any has.
fn node_of<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized>(nodes: &[Arc<Node<K, V>>], key: &Q) -> usize {
    let is_before = |node: &Arc<Node<K, V>>| node.first().is_some_and(|first| first.borrow() <= key);
    // Lower keys than all are in the first one, too.
    nodes.get(1..).map_or(0, |others| others.partition_point(is_before))
}

/// Puts something in with no more room than it takes: most nodes stay as they are for long.
fn put<T>(list: &mut Vec<T>, at: usize, item: T) {
    list.reserve_exact(1);
    list.insert(at, item);
}

/// The second half of what became too long.
fn split<T>(list: &mut Vec<T>) -> Option<Vec<T>> {
    (list.len() > MOST).then(|| {
        let second = list.split_off(MOST / 2);
        list.shrink_to_fit();
        second
    })
}

/// Makes one node of this one and the next if they have few entries; says whether it did.
fn join<K: Clone, V: Clone>(nodes: &mut Vec<Arc<Node<K, V>>>, at: usize) -> bool {
    let Some([one, next]) = nodes.get(at..at + 2) else { return false };
    if one.len() + next.len() > FEW {
        return false;
    }
    let next = nodes.remove(at + 1);
    match (Arc::make_mut(&mut nodes[at]), &*next) {
        (Node::Leaf(entries), Node::Leaf(more)) => entries.extend_from_slice(more),
        (Node::Inner(nodes), Node::Inner(more)) => nodes.extend_from_slice(more),
        _ => unreachable!("nodes beside each other are equally deep"),
    }
    true
}

fn chunks<T>(items: impl IntoIterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || {
        let chunk: Vec<T> = items.by_ref().take(USUAL).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}
