//! Matching: what of a request a route looks at.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
}
