//! The paths of one host, compiled to a tree of path elements.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use super::{choices::Choices, conditions::Asked};
use crate::model::{PathMatch, Route, Shared};

/// The routes of one host by path.
///
/// A tree with one node for each path element, kept in a vector so that neither building nor dropping one
/// recurses, however deep a rule's path is. One walk reads each byte of the request's path at most once, and
/// stops at the first element that no rule knows, so its cost depends on the path and not on the number of
/// rules; where conditions do not hold it goes back up to shorter prefixes. Each node hashes with a seed of its own: nobody can write rules that all fall into one bucket.
#[derive(Debug)]
pub(super) struct PathTable<R> {
    /// The first one is the root, which stands before the path's first slash.
    nodes: Vec<Node<R>>,
}

#[derive(Debug)]
struct Node<R> {
    parent: u32,
    children: Children,
    /// `None` for nodes that are only passed.
    rules: Option<Box<Rules<R>>>,
}

/// Rules that end at a node.
#[derive(Debug)]
struct Rules<R> {
    exact: Choices<R>,
    /// `Prefix` rules that are written without a slash at their end.
    bare: Choices<R>,
    /// `Prefix` rules that are written with a slash at their end.
    slashed: Choices<R>,
}

/// Where the walk along the path of a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    node: usize,
    /// All of the path was walked.
    is_whole: bool,
}

/// The elements below a node with the numbers of their nodes. Most nodes have one or none and need no map,
/// which halves the memory of a table with many small hosts.
#[derive(Debug)]
enum Children {
    None,
    One(Box<[u8]>, u32),
    Many(Box<ManyChildren>),
}

/// Apart from the node, as few have so many.
type ManyChildren = HashMap<Box<[u8]>, u32, RandomState>;

/// Where in its node a rule is kept.
type Slot<R> = fn(&mut Rules<R>) -> &mut Choices<R>;

impl<R> PathTable<R> {
    /// A table without rules.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new(0)] }
    }

    /// Adds a rule; of several with the same path and type the first one is asked first.
    ///
    /// An empty prefix is `/`. Any other path that does not begin with a slash can match nothing and is left
    /// out, as are patterns, which are no matter of a tree.
    pub(super) fn insert(&mut self, route: &Shared<Route>, make: &mut impl FnMut(&Shared<Route>) -> R) {
        let (text, slot): (&[u8], Slot<R>) = match &route.path {
            PathMatch::Exact(text) => (text.as_bytes(), |rules| &mut rules.exact),
            PathMatch::Prefix(text) => match text.as_bytes() {
                [] => (b"", |rules| &mut rules.slashed),
                [bare @ .., b'/'] => (bare, |rules| &mut rules.slashed),
                bare => (bare, |rules| &mut rules.bare),
            },
            PathMatch::Regex(_) | PathMatch::RegexBegin(_) => return,
        };
        let is_exact = matches!(route.path, PathMatch::Exact(_));
        if text.first().map_or(is_exact, |first| *first != b'/') {
            return;
        }
        slot(self.node_at(text).rules.get_or_insert_default()).push(route, make);
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
                    self.nodes.push(Node::new(u32::try_from(at).expect("it has a number already")));
                    new
                }
            };
        }
        &mut self.nodes[at]
    }

    /// Walks along a canonical path as far as rules know it; `None` if it is none.
    pub(super) fn walk(&self, path: &[u8]) -> Option<End> {
        if path.first() != Some(&b'/') {
            return None;
        }
        let mut node = 0;
        for element in elements(path) {
            match self.nodes[node].children.get(element) {
                Some(child) => node = child as usize,
                None => return Some(End { node, is_whole: false }),
            }
        }
        Some(End { node, is_whole: true })
    }

    /// The `Exact` rule for the path whose walk ended here.
    pub(super) fn exact(&self, end: End, asked: &Asked<'_>) -> Option<&Arc<R>> {
        self.nodes[end.node].rules.as_ref().filter(|_| end.is_whole)?.exact.find(asked)
    }

    /// The longest `Prefix` rule for the path whose walk ended here.
    pub(super) fn prefix(&self, end: End, asked: &Asked<'_>) -> Option<&Arc<R>> {
        let End { mut node, mut is_whole } = end;
        loop {
            let rules = self.nodes[node].rules.as_ref();
            if let Some(found) = rules.and_then(|rules| rules.prefix(is_whole, asked)) {
                return Some(found);
            }
            if node == 0 {
                return None;
            }
            (node, is_whole) = (self.nodes[node].parent as usize, false);
        }
    }
}

impl<R> Node<R> {
    fn new(parent: u32) -> Self {
        Self { parent, children: Children::None, rules: None }
    }
}

impl<R> Rules<R> {
    /// Where both forms of a prefix are written, the one without a slash answers just its own path first, and the one
    /// with a slash, which is longer, everything below.
    fn prefix(&self, is_whole: bool, asked: &Asked<'_>) -> Option<&Arc<R>> {
        let (first, second) =
            if is_whole { (&self.bare, &self.slashed) } else { (&self.slashed, &self.bare) };
        first.find(asked).or_else(|| second.find(asked))
    }
}

impl<R> Default for Rules<R> {
    fn default() -> Self {
        Self { exact: Choices::default(), bare: Choices::default(), slashed: Choices::default() }
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
            Self::One(name, other) => {
                Self::Many(Box::new([(name, other), (element, child)].into_iter().collect()))
            }
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
