//! Paths as Ingresses write them.

use std::sync::Arc;

use selvedge_common::{
    message::path,
    model::{PathMatch, matching},
    quote::quote,
};

use super::{near, pattern};

/// The path types that Kubernetes knows.
const PATH_TYPES: [&str; 3] = ["Exact", "Prefix", "ImplementationSpecific"];

/// What is wrong with a path that is not there.
const MISSING: &str = "it is missing: only ImplementationSpecific may leave it out";

/// What is wrong with a path: which field, a reason and a sentence.
#[derive(Debug, PartialEq)]
pub(super) struct PathFault {
    pub field: &'static str,
    pub reason: &'static str,
    pub message: String,
}

/// Reads `path` and `pathType`.
pub(super) fn parse(path: Option<&Arc<str>>, path_type: &str) -> Result<PathMatch, PathFault> {
    let text = path.map_or("", |path| &**path);
    if !PATH_TYPES.contains(&path_type) {
        let message = match path_type {
            "" => "it is missing: use Exact, Prefix or ImplementationSpecific".to_owned(),
            other => format!(
                "{} is none of Exact, Prefix and ImplementationSpecific{}",
                quote(other),
                near::suggest(other, PATH_TYPES.into_iter())
            ),
        };
        return Err(PathFault { field: "pathType", reason: "InvalidPathType", message });
    }
    if text.is_empty() && path_type == "ImplementationSpecific" {
        return Ok(PathMatch::Prefix("/".into()));
    }
    let path = match (path, fault(text)) {
        (Some(path), None) => path,
        (_, fault) => {
            let message = fault.unwrap_or(MISSING).to_owned();
            return Err(PathFault { field: "path", reason: "InvalidPath", message });
        }
    };
    Ok(match path_type {
        "Exact" => PathMatch::Exact(canonical(path)),
        _ => PathMatch::Prefix(canonical(path)),
    })
}

/// Reads `path` on a host whose paths are regular expressions, whatever their type.
///
/// ingress-nginx: even `Exact` ones are.
pub(super) fn parse_regex(path: Option<&str>) -> Result<PathMatch, PathFault> {
    let text = path.filter(|path| !path.is_empty()).unwrap_or("/");
    let text = pattern::escaped(text);
    match matching::check_regex_begin(&text) {
        Ok(()) => Ok(PathMatch::RegexBegin(text.into())),
        Err(why) => {
            let message = format!(
                "the paths of this host are regular expressions (use-regex), and {why}; it answers nothing"
            );
            Err(PathFault { field: "path", reason: "InvalidPath", message })
        }
    }
}

/// Why no request could ever have this path. Requests are matched in canonical form, without empty or dot segments.
fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some(MISSING);
    }
    if !text.starts_with('/') {
        return Some("it must begin with `/`");
    }
    if text.contains("//") {
        return Some("it must not contain `//`");
    }
    let has_dots = |text: &str| text.split('/').any(|segment| matches!(segment, "." | ".."));
    let lower = text.contains('%').then(|| text.to_ascii_lowercase());
    let has_escaped = |escape: &str| lower.as_deref().is_some_and(|lower| lower.contains(escape));
    if has_dots(text) || lower.as_deref().is_some_and(|lower| has_dots(&lower.replace("%2e", "."))) {
        return Some("it must not contain the segments `.` and `..`");
    }
    if has_escaped("%2f") || has_escaped("%5c") || text.contains('\\') {
        return Some("it must not contain a backslash, or an escaped slash or backslash");
    }
    if has_escaped("%00") || text.chars().any(|c| c.is_control() || c == ' ') {
        return Some("it must not contain spaces or control characters");
    }
    if text.contains(['?', '#']) {
        return Some("it must not contain `?` or `#`: query and fragment are not part of a path");
    }
    let is_escape = |rest: &str| {
        let mut bytes = rest.bytes();
        (0..2).all(|_| bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit()))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Some("`%` must be followed by two hexadecimal digits");
    }
    None
}

/// The form in which requests are matched. The path has passed `fault`, so it has one.
fn canonical(text: &Arc<str>) -> Arc<str> {
    let mut canonical = Vec::with_capacity(text.len());
    match path::canonicalize(text.as_bytes(), false, &mut canonical) {
        Ok(()) if canonical != text.as_bytes() => String::from_utf8_lossy(&canonical).into(),
        // Mostly it is written so already.
        _ => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_forms_of_paths() {
        let exact = |text: &str| Ok(PathMatch::Exact(text.into()));
        let prefix = |text: &str| Ok(PathMatch::Prefix(text.into()));
        let path = Err(("path", "InvalidPath"));
        let path_type = Err(("pathType", "InvalidPathType"));
        let table = [
            (Some("/a"), "Exact", exact("/a")),
            (Some("/a/"), "Exact", exact("/a/")),
            (Some("/a"), "Prefix", prefix("/a")),
            (Some("/a/"), "Prefix", prefix("/a/")),
            (Some("/"), "Prefix", prefix("/")),
            (Some("/a"), "ImplementationSpecific", prefix("/a")),
            (Some(""), "ImplementationSpecific", prefix("/")),
            (None, "ImplementationSpecific", prefix("/")),
            (Some("/caf%C3%A9"), "Exact", exact("/caf%C3%A9")),
            (Some("/café"), "Exact", exact("/caf%C3%A9")),
            (Some("/caf%c3%a9"), "Exact", exact("/caf%C3%A9")),
            (Some("/%61%7e%3b{id}"), "Prefix", prefix("/a~%3B%7Bid%7D")),
            (Some("/a;b=c:@!$&'()*+,"), "Exact", exact("/a;b=c:@!$&'()*+,")),
            (Some("/..."), "Exact", exact("/...")),
            (None, "Exact", path.clone()),
            (Some(""), "Prefix", path.clone()),
            (Some("a"), "ImplementationSpecific", path.clone()),
            (Some("/a//b"), "Exact", path.clone()),
            (Some("/a/../b"), "Exact", path.clone()),
            (Some("/a/.%2E"), "Exact", path.clone()),
            (Some("/a/."), "Prefix", path.clone()),
            (Some("/a%2Fb"), "Exact", path.clone()),
            (Some("/a\\b"), "Exact", path.clone()),
            (Some("/a%00"), "Exact", path.clone()),
            (Some("/a b"), "Exact", path.clone()),
            (Some("/a\n"), "Exact", path.clone()),
            (Some("/a?b"), "Prefix", path.clone()),
            (Some("/a#b"), "Prefix", path.clone()),
            (Some("/a%"), "Prefix", path.clone()),
            (Some("/a%4é"), "Prefix", path.clone()),
            (Some("/a"), "", path_type.clone()),
            (Some("/a"), "prefix", path_type.clone()),
            (Some("/a"), "Regex", path_type.clone()),
        ];
        for (text, kind, want) in table {
            let got = parse(text.map(Arc::from).as_ref(), kind).map_err(|fault| (fault.field, fault.reason));
            assert_eq!(got, want, "{text:?} {kind}");
        }
    }
}
