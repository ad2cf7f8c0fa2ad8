//! Patterns: regular expressions that users write, compiled so that none of them can cost much.

use std::{fmt, sync::Arc};

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// Most memory that a compiled pattern may take, in bytes.
const MAX_COMPILED_BYTES: usize = 64 << 10;
/// Most memory that each thread may take for what it learns about a pattern while searching, in bytes.
const MAX_CACHE_BYTES: usize = 256 << 10;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It is longer than [`MAX_PATTERN_BYTES`].
    #[error("the regular expression is longer than {MAX_PATTERN_BYTES} bytes; shorten it or split it up")]
    TooLong,
    /// It breaks a rule of the syntax, which this text names.
    #[error("the regular expression does not compile: {0}")]
    Syntax(String),
    /// It would become too large, mostly by repetitions such as `{1000}` within each other.
    #[error("the regular expression grows too large when compiled; repeat less in it or split it up")]
    TooLarge,
}

/// Compiles a pattern that a whole text must match, not only a part of it.
///
/// Time to match is linear in the length of the text, whatever the pattern. It works on bytes: classes such as
/// `\w` and `(?i)` concern ASCII, other characters can stand in it as themselves but not in a class.
///
/// # Errors
/// When it breaks a rule of the syntax, is too long or becomes too large.
pub fn compile_whole(pattern: &str) -> Result<Regex, PatternError> {
    // On its own first: `a)|(b` must not become valid by what is put around it.
    build(pattern, false)?;
    build(&format!("^(?:{pattern})$"), false)
}

/// Compiles a pattern that is looked for with a `^` before it and whatever its case. Nothing is put around it: of
/// `/a|/b` only the first half must stand at the begin (ingress-nginx).
///
/// # Errors
/// As [`compile_whole`].
pub fn compile_begin(pattern: &str) -> Result<Regex, PatternError> {
    build(pattern, true)?;
    build(&format!("^{pattern}"), true)
}

/// A pattern that is looked for in a text, anywhere and whatever its case. Its groups can be asked for.
///
/// It is compiled once; two are equal, and printed and serialised, by their text.
#[derive(Clone)]
pub struct SearchPattern {
    text: Arc<str>,
    regex: Regex,
}

impl SearchPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// As [`compile_whole`].
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        Ok(Self { text: pattern.into(), regex: build(pattern, true)? })
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The pattern compiled.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }
}

impl PartialEq for SearchPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SearchPattern {}

impl fmt::Debug for SearchPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for SearchPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for SearchPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

fn build(pattern: &str, ignores_case: bool) -> Result<Regex, PatternError> {
    if pattern.len() > MAX_PATTERN_BYTES + "^(?:)$".len() {
        return Err(PatternError::TooLong);
    }
    let mut builder = RegexBuilder::new(pattern);
    builder
        .unicode(false)
        .case_insensitive(ignores_case)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_CACHE_BYTES);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
        error => {
            // The last line tells what is wrong, those before it draw where.
            let text = error.to_string();
            let reason = text.rsplit("error: ").next().unwrap_or_default();
            PatternError::Syntax(reason.trim().replace('\n', " "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_texts_only() {
        let rows = [
            ("ios|android", "ios", true),
            ("ios|android", "android", true),
            ("ios|android", "ios2", false),
            ("ios|android", "an ios", false),
            ("a|ab", "ab", true),
            ("^a$", "a", true),
            ("", "", true),
            ("", "a", false),
            (".*", "", true),
            ("(?i)abc", "aBC", true),
            ("(?m)a$", "a\nb", false),
            (r"\d+", "17", true),
            ("zürich", "zürich", true),
            ("z.+rich", "zürich", true),
        ];
        for (pattern, text, matches) in rows {
            let regex = compile_whole(pattern).unwrap();
            assert_eq!(regex.is_match(text.as_bytes()), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_begin_is_matched_without_case_and_without_a_group_around_it() {
        let rows = [
            ("/foo", "/foo", true),
            ("/foo", "/FOObar", true),
            ("/foo", "/x/foo", false),
            ("/foo$", "/foo", true),
            ("/foo$", "/foo/", false),
            ("/foo/[a-c]+", "/foo/B", true),
            ("/a|/b", "/ax", true),
            ("/a|/b", "/q/b", true),
            ("/a|/b", "/q/a", false),
            (r"/a\/b\.c", "/a/b.c", true),
            ("", "/x", true),
        ];
        for (pattern, text, matches) in rows {
            assert_eq!(
                compile_begin(pattern).unwrap().is_match(text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
        assert!(compile_begin("a)|(b").is_err() && compile_begin("(?<!a)b").is_err());
    }

    #[test]
    fn a_search_finds_its_groups_anywhere() {
        let pattern = SearchPattern::new("/api(/|$)(.*)").unwrap();
        let found = pattern.regex().captures(b"/x/API/y").unwrap();
        assert_eq!(&found[2], b"y");
        let text = serde_json::to_string(&pattern).unwrap();
        assert_eq!(text, r#""/api(/|$)(.*)""#);
        assert_eq!(serde_json::from_str::<SearchPattern>(&text).unwrap(), pattern);
        assert!(serde_json::from_str::<SearchPattern>(r#""(""#).is_err());
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason() {
        let syntax = |reason: &str| PatternError::Syntax(reason.into());
        let rows = [
            ("a(b", syntax("unclosed group")),
            ("a)|(b", syntax("unopened group")),
            ("a)(?:b", syntax("unopened group")),
            ("*", syntax("repetition operator missing expression")),
            (r"(a)\1", syntax("backreferences are not supported")),
            ("(?=a)b", syntax("look-around, including look-ahead and look-behind, is not supported")),
            (r"\pL", syntax("Unicode not allowed here")),
            ("((a{100}){100}){100}", PatternError::TooLarge),
            ("[a-z]{60000}", PatternError::TooLarge),
        ];
        for (pattern, error) in rows {
            assert_eq!(compile_whole(pattern).err(), Some(error), "{pattern}");
        }
        assert_eq!(compile_whole(&"a".repeat(MAX_PATTERN_BYTES)).err(), None);
        assert_eq!(compile_whole(&"a".repeat(MAX_PATTERN_BYTES + 1)).err(), Some(PatternError::TooLong));
    }
}
