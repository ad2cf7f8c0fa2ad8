//! A place in a shared map, from which one goes on entry by entry, or past a whole node.

use std::{slice, sync::Arc};

use super::node::Node;

/// A place in a map.
#[derive(Debug)]
pub(super) struct Cursor<'a, K, V> {
    /// What is still to come: of each node on the way down, the lowest one last.
    rest: Vec<Rest<'a, K, V>>,
}

/// What is still to come of a node.
#[derive(Debug)]
enum Rest<'a, K, V> {
    Entries(&'a [(K, V)]),
    Nodes(&'a [Arc<Node<K, V>>]),
}

/// What comes next.
enum Next<'a, K, V> {
    Entry(&'a K, &'a V),
    Node(&'a Arc<Node<K, V>>),
}

type Entry<'a, K, V> = (&'a K, &'a V);

/// The entry at a place; `None` at the end.
type At<'a, K, V> = Option<Entry<'a, K, V>>;

impl<'a, K, V> Cursor<'a, K, V> {
    /// The beginning of a map.
    pub(super) fn new(root: Option<&'a Arc<Node<K, V>>>) -> Self {
        Self { rest: root.map(|root| Rest::Nodes(slice::from_ref(root))).into_iter().collect() }
    }

    /// The entry at this place; `None` at the end.
    pub(super) fn entry(&mut self) -> At<'a, K, V> {
        loop {
            match self.next()? {
                Next::Entry(key, value) => return Some((key, value)),
                Next::Node(node) => self.enter(node),
            }
        }
    }

    /// The entries at both places, after going past all nodes there that both share.
    pub(super) fn entries(&mut self, other: &mut Self) -> (At<'a, K, V>, At<'a, K, V>) {
        while let (Some(Next::Node(one)), Some(Next::Node(another))) = (self.next(), other.next()) {
            if Arc::ptr_eq(one, another) {
                self.step();
                other.step();
                continue;
            }
            // The higher one first, so that both come to nodes that may be the same.
            let (is_leaf, is_other_leaf) = (is_leaf(one), is_leaf(another));
            if !is_leaf || is_other_leaf {
                self.enter(one);
            }
            if is_leaf || !is_other_leaf {
                other.enter(another);
            }
        }
        (self.entry(), other.entry())
    }

    /// Goes past what is at this place.
    pub(super) fn step(&mut self) {
        match self.rest.last_mut() {
            Some(Rest::Entries(entries)) => *entries = entries.get(1..).unwrap_or_default(),
            Some(Rest::Nodes(nodes)) => *nodes = nodes.get(1..).unwrap_or_default(),
            None => {}
        }
    }

    fn next(&mut self) -> Option<Next<'a, K, V>> {
        loop {
            match self.rest.last()? {
                Rest::Entries([(key, value), ..]) => return Some(Next::Entry(key, value)),
                Rest::Nodes([node, ..]) => return Some(Next::Node(node)),
                Rest::Entries([]) | Rest::Nodes([]) => drop(self.rest.pop()),
            }
        }
    }

    /// Goes into the node at this place.
    fn enter(&mut self, node: &'a Node<K, V>) {
        self.step();
        self.rest.push(match node {
            Node::Leaf(entries) => Rest::Entries(entries),
            Node::Inner(nodes) => Rest::Nodes(nodes),
        });
    }
}

fn is_leaf<K, V>(node: &Node<K, V>) -> bool {
    matches!(node, Node::Leaf(_))
}
