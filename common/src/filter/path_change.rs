//! A new path for a request, as redirects and rewrites make it; the result is canonical and stays below its prefix.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::path;

/// What becomes of a path. Its texts are canonical: they come from [`PathChange::full`] and [`PathChange::prefix`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathChange {
    /// The whole path is this one (Gateway API `ReplaceFullPath`).
    Full(Arc<str>),
    /// The prefix that was matched is replaced, element by element (Gateway API `ReplacePrefixMatch`): slashes at
    /// the end of both count for nothing, but that a path which is just the prefix becomes the replacement as it is.
    Prefix {
        /// The prefix by which the route matched. Other paths stay as they are.
        matched: Arc<str>,
        /// What comes in its place; `/` takes it away.
        replacement: Arc<str>,
    },
}

/// The new path would not lie below the replacement, or has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Escapes;

impl PathChange {
    /// The whole path becomes this one.
    ///
    /// # Errors
    /// When it is no path: what is wrong with it.
    pub fn full(path: &str) -> Result<Self, String> {
        canonical(path).map(Self::Full)
    }

    /// Another prefix comes in the place of the matched one; an empty text is `/`.
    ///
    /// # Errors
    /// When one of them is no path: what is wrong with it.
    pub fn prefix(matched: &str, replacement: &str) -> Result<Self, String> {
        Ok(Self::Prefix { matched: canonical(matched)?, replacement: canonical(replacement)? })
    }

    /// The new path in canonical form; `None` leaves it as it is.
    pub(super) fn apply(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Escapes> {
        let (raw, below) = match self {
            Self::Full(full) => (full.as_bytes().to_vec(), &b""[..]),
            Self::Prefix { matched, replacement } => {
                let Some(rest) = below(path, without_slash(matched.as_bytes())) else { return Ok(None) };
                let base = without_slash(replacement.as_bytes());
                let raw = match rest {
                    b"" => replacement.as_bytes().to_vec(),
                    rest => [base, rest].concat(),
                };
                (raw, base)
            }
        };
        if path::is_canonical(&raw) {
            return Ok(Some(raw));
        }
        let mut new = Vec::with_capacity(raw.len());
        path::canonicalize(&raw, false, &mut new).map_err(|_| Escapes)?;
        match self::below(&new, below) {
            Some(_) => Ok(Some(new)),
            None => Err(Escapes),
        }
    }
}

/// What follows a prefix without slash at its end, if the path lies below it or is it.
pub(super) fn below<'p>(path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    path.strip_prefix(prefix).filter(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

fn canonical(text: &str) -> Result<Arc<str>, String> {
    let mut out = Vec::new();
    path::canonicalize(text.as_bytes(), false, &mut out).map_err(|error| format!("{text:?}: {error}"))?;
    // Canonical paths are ASCII.
    Ok(String::from_utf8_lossy(&out).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_path(change: Result<PathChange, String>, path: &str) -> Result<Option<String>, Escapes> {
        let new = change.unwrap().apply(path.as_bytes())?;
        Ok(new.map(|new| String::from_utf8(new).unwrap()))
    }

    #[test]
    fn a_prefix_is_replaced_as_gateway_api_says() {
        let rows = [
            // The table of the Gateway API (HTTPPathModifier.replacePrefixMatch).
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            // The root as prefix, deeper ones, and escapes.
            ("/", "/", "/xyz", "/xyz/"),
            ("/a/b", "/", "/xyz", "/xyz/a/b"),
            ("/", "/", "/", "/"),
            ("/foo", "/foo", "/xyz/", "/xyz/"),
            ("/v1/orders/7", "/v1/orders", "/api/orders/v2", "/api/orders/v2/7"),
            ("/a%2Fb/c", "/a%2fb", "/%7bx}", "/%7Bx%7D/c"),
            ("/foo/b%2Fc", "/foo", "/xyz", "/xyz/b%2Fc"),
        ];
        for (path, matched, replacement, wanted) in rows {
            let new = new_path(PathChange::prefix(matched, replacement), path);
            assert_eq!(new, Ok(Some(wanted.to_owned())), "{path} {matched} {replacement}");
        }
    }

    #[test]
    fn paths_that_are_not_below_the_prefix_stay() {
        for path in ["/foobar", "/fo", "/", "/foo%2Fbar", "*"] {
            assert_eq!(new_path(PathChange::prefix("/foo", "/xyz"), path), Ok(None), "{path}");
        }
    }

    #[test]
    fn the_whole_path_is_replaced_by_a_canonical_one() {
        for (full, wanted) in [("/a", "/a"), ("/a/../b", "/b"), ("/%61%2f", "/a%2F"), ("", "/")] {
            assert_eq!(new_path(PathChange::full(full), "/x/y"), Ok(Some(wanted.to_owned())), "{full}");
        }
    }

    #[test]
    fn a_result_outside_of_the_replacement_is_refused() {
        // Neither comes from a canonical path; the filter relies on nobody for this.
        let change = || PathChange::prefix("/foo", "/tenant/a");
        assert_eq!(new_path(change(), "/foo/../b"), Err(Escapes));
        assert_eq!(new_path(change(), "/foo/%2e%2e/b"), Err(Escapes));
        assert_eq!(new_path(change(), "/foo/x/%2F../../../b"), Err(Escapes));
        assert_eq!(new_path(change(), "/foo/%zz"), Err(Escapes));
        assert_eq!(new_path(change(), "/foo/x/../b"), Ok(Some("/tenant/a/b".into())));
    }

    #[test]
    fn what_is_no_path_is_told() {
        for text in ["a", "/a b", "/a?b", "/a#b", "/%zz", "/%00", "/a\r\nb"] {
            assert!(PathChange::full(text).is_err(), "{text:?}");
            assert!(PathChange::prefix("/", text).is_err(), "{text:?}");
        }
        let told = PathChange::full("v1").unwrap_err();
        assert_eq!(told, "\"v1\": the path does not begin with a slash");
    }
}
