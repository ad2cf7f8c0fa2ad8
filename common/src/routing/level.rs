//! Routes of a host that have the same priority: the one with the most specific path whose conditions hold answers.

use std::{cmp::Reverse, sync::Arc};

use regex::bytes::Regex;

use super::{choices::Choices, conditions::Asked, paths::PathTable};
use crate::{
    message::pattern,
    model::{PathMatch, Route},
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
    pub(super) fn build(routes: &[&Route], make: &mut impl FnMut(&Route) -> R) -> Self {
        let mut level = Self { paths: PathTable::new(), patterns: Vec::new() };
        for route in routes {
            match &route.path {
                PathMatch::Regex(text) => {
                    if let Some(choices) = level.pattern(text) {
                        choices.push(route, make);
                    }
                }
                PathMatch::Exact(_) | PathMatch::Prefix(_) => level.paths.insert(route, make),
            }
        }
        level.paths.shrink();
        level.patterns.sort_by_key(|pattern| Reverse(pattern.text.len()));
        level
    }

    /// The routes of a pattern; `None` if it is none that can be used.
    fn pattern(&mut self, text: &Arc<str>) -> Option<&mut Choices<R>> {
        let known = self.patterns.iter().position(|pattern| pattern.text == *text);
        let at = match known {
            Some(at) => at,
            None => {
                let regex = pattern::compile_whole(text).ok()?;
                self.patterns.push(Pattern { text: text.clone(), regex, choices: Choices::default() });
                self.patterns.len() - 1
            }
        };
        Some(&mut self.patterns[at].choices)
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
