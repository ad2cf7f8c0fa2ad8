//! Routes of a host that have the same priority: the one with the most specific path whose conditions hold answers.

use std::{cmp::Reverse, sync::Arc};

use regex::bytes::Regex;

use super::{choices::Choices, conditions::Asked, paths::PathTable};
use crate::{
    message::pattern,
    model::{PathMatch, Route, Shared},
};

/// Routes of one priority, by path.
#[derive(Debug)]
pub(super) struct Level<R> {
    paths: PathTable<R>,
    /// The longest pattern first.
    patterns: Vec<Pattern<R>>,
}

/// Routes whose path is the same regular expression.
#[derive(Debug)]
struct Pattern<R> {
    path: PathMatch,
    regex: Regex,
    choices: Choices<R>,
}

impl<R> Level<R> {
    /// Compiles routes; of those with the same path the first one is asked first.
    pub(super) fn build(routes: &[&Shared<Route>], make: &mut impl FnMut(&Shared<Route>) -> R) -> Self {
        let mut level = Self { paths: PathTable::new(), patterns: Vec::new() };
        let mut by_pattern = Vec::new();
        for route in routes {
            match &route.path {
                PathMatch::Regex(_) | PathMatch::RegexBegin(_) => by_pattern.push(*route),
                PathMatch::Exact(_) | PathMatch::Prefix(_) => level.paths.insert(route, make),
            }
        }
        // Those of one length keep their order, which is that of their conditions, but for those whose order is that of
        // their texts.
        by_pattern.sort_by_key(|route| {
            let text = route.path.text();
            let by_text = matches!(route.path, PathMatch::RegexBegin(_)).then_some(&**text);
            (Reverse(text.len()), Reverse(by_text))
        });
        for route in by_pattern {
            if let Some(choices) = level.pattern(&route.path) {
                choices.push(route, make);
            }
        }
        level.paths.shrink();
        level
    }

    /// The routes of a pattern; `None` if it is none that can be used. The same one again is asked where it stands.
    fn pattern(&mut self, path: &PathMatch) -> Option<&mut Choices<R>> {
        if self.patterns.last().is_none_or(|last| last.path != *path) {
            let known = self.patterns.iter().find(|pattern| pattern.path == *path);
            let regex = match (known, path) {
                (Some(known), _) => known.regex.clone(),
                (None, PathMatch::RegexBegin(text)) => pattern::compile_begin(text).ok()?,
                (None, path) => pattern::compile_whole(path.text()).ok()?,
            };
            self.patterns.push(Pattern { path: path.clone(), regex, choices: Choices::default() });
        }
        self.patterns.last_mut().map(|pattern| &mut pattern.choices)
    }

    /// The route for a request with this canonical path: `Exact` first, then patterns, then the longest `Prefix`.
    pub(super) fn find(&self, path: &[u8], asked: &Asked<'_>) -> Option<&Arc<R>> {
        let end = self.paths.walk(path)?;
        let by_pattern = || {
            let mut matching = self.patterns.iter().filter(|pattern| pattern.regex.is_match(path));
            matching.find_map(|pattern| pattern.choices.find(asked))
        };
        self.paths.exact(end, asked).or_else(by_pattern).or_else(|| self.paths.prefix(end, asked))
    }
}
