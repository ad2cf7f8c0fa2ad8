//! Matching: what of a request a route looks at.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rare::Usual;
use crate::message::pattern;

/// How the path of a request is compared. Paths are in the canonical form of
/// [`message::path`](crate::message::path), so one comparison is enough.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(Arc<str>),
    /// Element by element on `/`, case-sensitive; `/foo` matches `/foo`, `/foo/` and `/foo/bar`, not `/foobar`.
    /// The text is as the user wrote it: a trailing slash counts only where both forms exist; then `/foo`
    /// answers `/foo` and `/foo/` everything below.
    Prefix(Arc<str>),
    /// A regular expression that the whole path must match; one that [`check_regex`] refuses matches nothing.
    Regex(Arc<str>),
    /// A regular expression that is looked for with a `^` before it, whatever its case; what follows in the path does
    /// not matter. One that [`check_regex_begin`] refuses matches nothing. Of two with texts of the same length, the
    /// greater text in the order of bytes is tried first (ingress-nginx).
    RegexBegin(Arc<str>),
}

impl PathMatch {
    /// The path, prefix or pattern as it was written.
    pub fn text(&self) -> &Arc<str> {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Regex(text) | Self::RegexBegin(text) => text,
        }
    }
}

/// What a request must be beside its host and path. Every part that is not empty must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Its method is one of these, case-sensitive (RFC 9110 §9.1). `GET` does not include `HEAD`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Arc<str>>,
    /// All of these header fields hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<FieldMatch>,
    /// All of these query parameters hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryMatch>,
    /// One of these is who calls; a caller that is not known is none of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<CallerMatch>,
}

impl Usual for Conditions {
    fn usual() -> &'static Self {
        static NONE: Conditions =
            Conditions { methods: Vec::new(), headers: Vec::new(), query: Vec::new(), from: Vec::new() };
        &NONE
    }
}

impl Conditions {
    /// Whether every request fulfils them.
    pub fn is_empty(&self) -> bool {
        let Self { methods, headers, query, from } = self;
        methods.is_empty() && headers.is_empty() && query.is_empty() && from.is_empty()
    }
}

/// A condition on a header field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FieldMatch {
    /// Name of the field, whatever its case.
    pub name: Arc<str>,
    /// What its value must be. Several fields of the name are one, their values joined by `,` without a space in
    /// their order (RFC 9110 §5.3); those of `Cookie` are joined by `; `.
    pub value: ValueMatch,
}

/// A condition on a parameter of the query, read as `application/x-www-form-urlencoded`: names and values are
/// compared after their escapes are decoded and `+` is a space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryMatch {
    /// Name of the parameter, case-sensitive.
    pub name: Arc<str>,
    /// What its value must be. Of several parameters of the name the first one counts; one without `=` is empty.
    pub value: ValueMatch,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ValueMatch {
    /// This text, case-sensitive.
    Exact(Arc<str>),
    /// A regular expression that the whole value must match; one that [`check_regex`] refuses matches nothing.
    Regex(Arc<str>),
    /// Anything, also nothing, as long as it is there.
    Present,
    /// It is not there at all; one that is there and empty does not fit.
    Absent,
}

/// Who calls; a part that is not given is anyone. One without parts is every caller that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct CallerMatch {
    /// Namespace of the caller's ServiceAccount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Name of the caller's ServiceAccount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Arc<str>>,
}

/// Whether a regular expression can be used in a [`PathMatch`] or [`ValueMatch`].
///
/// # Errors
/// When it does not compile, is longer than 1024 bytes or would take more than 64 KiB; the text tells the user
/// what to do.
pub fn check_regex(pattern: &str) -> Result<(), String> {
    pattern::compile_whole(pattern).map(|_| ()).map_err(|error| error.to_string())
}

/// Whether a regular expression can be used in a [`PathMatch::RegexBegin`].
///
/// # Errors
/// As [`check_regex`].
pub fn check_regex_begin(pattern: &str) -> Result<(), String> {
    pattern::compile_begin(pattern).map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_written_as_they_are_read() {
        let text = r#"{"methods":["GET"],"headers":[{"name":"x-client","value":{"regex":"ios|android"}}],"query":[{"name":"beta","value":{"exact":"1"}},{"name":"debug","value":"present"},{"name":"raw","value":"absent"}],"from":[{"namespace":"web"}]}"#;
        let conditions: Conditions = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&conditions).unwrap(), text);
        assert_eq!(serde_json::to_string(&Conditions::default()).unwrap(), "{}");
        assert!(Conditions::default().is_empty() && !conditions.is_empty());
    }

    #[test]
    fn a_refused_pattern_is_told_in_words() {
        assert_eq!(check_regex("ios|android"), Ok(()));
        assert_eq!(
            check_regex("(ios"),
            Err("the regular expression does not compile: unclosed group".to_owned())
        );
    }
}
