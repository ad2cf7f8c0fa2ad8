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
    text: Arc<str>,
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
                PathMatch::Regex(text) => by_pattern.push((text, *route)),
                PathMatch::Exact(_) | PathMatch::Prefix(_) => level.paths.insert(route, make),
            }
        }
        // Those of one length keep their order, which is that of their conditions.
        by_pattern.sort_by_key(|(text, _)| Reverse(text.len()));
        for (text, route) in by_pattern {
            if let Some(choices) = level.pattern(text) {
                choices.push(route, make);
            }
        }
        level.paths.shrink();
        level
    }

    /// The routes of a pattern; `None` if it is none that can be used. The same one again is asked where it stands.
    fn pattern(&mut self, text: &Arc<str>) -> Option<&mut Choices<R>> {
        if self.patterns.last().is_none_or(|last| last.text != *text) {
            let known = self.patterns.iter().find(|pattern| pattern.text == *text);
            let regex = match known {
                Some(known) => known.regex.clone(),
                None => pattern::compile_whole(text).ok()?,
            };
            self.patterns.push(Pattern { text: text.clone(), regex, choices: Choices::default() });
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
