//! The paths of one host, compiled to a tree of path elements.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use crate::model::PathMatch;

/// The routes of one host by path.
///
/// A tree with one node for each path element, kept in a vector so that neither building nor dropping one
/// recurses, however deep a rule's path is. One walk reads each byte of the request's path at most once, and
/// stops at the first element that no rule knows, so its cost depends on the path and not on the number of
/// rules. Each node hashes with a seed of its own: nobody can write rules that all fall into one bucket.
#[derive(Debug)]
pub(super) struct PathTable<R> {
    /// The first one is the root, which stands before the path's first slash.
    nodes: Vec<Node<R>>,
}

#[derive(Debug)]
struct Node<R> {
    children: Children,
    /// `Exact` rule that ends here.
    exact: Option<Arc<R>>,
    /// `Prefix` rule that ends here, written without a slash at its end.
    bare: Option<Arc<R>>,
    /// `Prefix` rule that ends here, written with a slash at its end.
    slashed: Option<Arc<R>>,
}

/// The elements below a node with the numbers of their nodes. Most nodes have one or none and need no map,
/// which halves the memory of a table with many small hosts.
#[derive(Debug)]
enum Children {
    None,
    One(Box<[u8]>, u32),
    Many(HashMap<Box<[u8]>, u32, RandomState>),
}

/// Where in its node a rule is kept.
type Slot<R> = fn(&mut Node<R>) -> &mut Option<Arc<R>>;

impl<R> PathTable<R> {
    /// A table without rules.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new()] }
    }

    /// Adds a rule. Of several with the same path and type the first one stays.
    ///
    /// An empty prefix is `/`. Any other path that does not begin with a slash can match nothing and is left
    /// out.
    pub(super) fn insert(&mut self, path: &PathMatch, make: impl FnOnce() -> R) {
        let (text, slot): (&[u8], Slot<R>) = match path {
            PathMatch::Exact(text) => (text.as_bytes(), |node| &mut node.exact),
            PathMatch::Prefix(text) => match text.as_bytes() {
                [] => (b"", |node| &mut node.slashed),
                [bare @ .., b'/'] => (bare, |node| &mut node.slashed),
                bare => (bare, |node| &mut node.bare),
            },
            PathMatch::Regex(_) => return,
        };
        let is_exact = matches!(path, PathMatch::Exact(_));
        if text.first().map_or(is_exact, |first| *first != b'/') {
            return;
        }
        slot(self.node_at(text)).get_or_insert_with(|| Arc::new(make()));
    }

    /// Gives back room that was kept for further rules.
    pub(super) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
    }

    /// The node of this path, made if it is not there.
    fn node_at(&mut self, path: &[u8]) -> &mut Node<R> {
        let mut at = 0;
        for element in elements(path) {
            at = match self.nodes[at].children.get(element) {
                Some(child) => child as usize,
                None => {
                    let new = self.nodes.len();
                    let name = u32::try_from(new).expect("a rule set has fewer than 2^32 path elements");
                    self.nodes[at].children.insert(element.into(), name);
                    self.nodes.push(Node::new());
                    new
                }
            };
        }
        &mut self.nodes[at]
    }

    /// The rule for a canonical path: `Exact` first, then the longest `Prefix`.
    pub(super) fn find(&self, path: &[u8]) -> Option<&Arc<R>> {
        if path.first() != Some(&b'/') {
            return None;
        }
        let mut node = &self.nodes[0];
        let mut longest = None;
        for element in elements(path) {
            longest = node.below().or(longest);
            match node.children.get(element) {
                Some(child) => node = &self.nodes[child as usize],
                None => return longest,
            }
        }
        node.exact.as_ref().or(node.whole()).or(longest)
    }
}

impl<R> Node<R> {
    fn new() -> Self {
        Self { children: Children::None, exact: None, bare: None, slashed: None }
    }

    /// The prefix that answers just this path.
    fn whole(&self) -> Option<&Arc<R>> {
        self.bare.as_ref().or(self.slashed.as_ref())
    }

    /// The prefix that answers everything below: where both forms are written, the longer one.
    fn below(&self) -> Option<&Arc<R>> {
        self.slashed.as_ref().or(self.bare.as_ref())
    }
}

impl Children {
    fn get(&self, element: &[u8]) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(name, child) => (**name == *element).then_some(*child),
            Self::Many(children) => children.get(element).copied(),
        }
    }

    /// Adds an element that is not there.
    fn insert(&mut self, element: Box<[u8]>, child: u32) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(element, child),
            Self::One(name, other) => Self::Many([(name, other), (element, child)].into_iter().collect()),
            Self::Many(mut children) => {
                children.insert(element, child);
                Self::Many(children)
            }
        };
    }
}

/// The elements of a path that is empty or begins with a slash: `/a/` has `a` and an empty one.
fn elements(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let after = rest.get(1..)?;
        let end = memchr::memchr(b'/', after).unwrap_or(after.len());
        let (element, next) = after.split_at(end);
        rest = next;
        Some(element)
    })
}
