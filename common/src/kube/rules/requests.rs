//! Requests: which ones a rule is for, as path and conditions of a route.

use selvedge_crds::request_match::{
    Caller, HeaderMatch, PathMatch as GivenPath, QueryMatch as GivenQuery, RequestMatch,
};

use super::Context;
use crate::{
    id::ObjectRef,
    message::path,
    model::{CallerMatch, Conditions, FieldMatch, PathMatch, QueryMatch, ValueMatch, matching::check_regex},
};

/// The reason of a problem: callers are not known here, so `from` holds for nobody.
pub const CALLER_UNKNOWN: &str = "CallerUnknown";

/// Path and conditions of one match; `None`, with what is wrong told, if it can match nothing as it is written.
pub(super) fn translate(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: &RequestMatch,
) -> Option<(PathMatch, Conditions)> {
    let before = cx.problems.len();
    let path = translate_path(cx, object, &format!("{field}.path"), given.path.as_ref());
    let headers = (given.headers.iter().enumerate())
        .filter_map(|(at, header)| translate_header(cx, object, &format!("{field}.headers[{at}]"), header))
        .collect();
    let query = (given.query.iter().enumerate())
        .filter_map(|(at, query)| translate_query(cx, object, &format!("{field}.query[{at}]"), query))
        .collect();
    let from: Vec<_> = given.from.iter().map(translate_caller).collect();
    let methods = given.methods.iter().map(|method| method.as_str().into()).collect();
    let is_whole = cx.problems.len() == before;
    if !from.is_empty() && !cx.defaults.identifies {
        let message = "who calls is not known at the edge, so this match holds for nobody there; it holds in the router";
        cx.warning(object, format!("{field}.from"), CALLER_UNKNOWN, message.to_owned());
    }
    // A part that is left out would make the match wider than its author wants.
    is_whole.then_some((path, Conditions { methods, headers, query, from }))
}

fn translate_path(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: Option<&GivenPath>,
) -> PathMatch {
    let everything = PathMatch::Prefix("/".into());
    let Some(given) = given else { return everything };
    let found = match (&given.exact, &given.prefix, &given.regex) {
        (Some(exact), None, None) => canonical(exact, "exact").map(PathMatch::Exact),
        (None, Some(prefix), None) => canonical(prefix, "prefix").map(PathMatch::Prefix),
        (None, None, Some(regex)) => {
            check_regex(regex).map(|()| PathMatch::Regex(regex.as_str().into())).map_err(|why| ("regex", why))
        }
        _ => Err(("", "give exactly one of exact, prefix and regex".to_owned())),
    };
    found.unwrap_or_else(|(part, why)| {
        let field = if part.is_empty() { field.to_owned() } else { format!("{field}.{part}") };
        cx.error(object, field, "InvalidMatch", format!("{why}; the match has no effect"));
        everything
    })
}

/// Requests are matched by their canonical path, so a path that is not can never match.
fn canonical(text: &str, part: &'static str) -> Result<std::sync::Arc<str>, (&'static str, String)> {
    let mut out = Vec::new();
    match path::canonicalize(text.as_bytes(), false, &mut out) {
        Ok(_) if out == text.as_bytes() => Ok(text.into()),
        Ok(_) => {
            let wanted = String::from_utf8_lossy(&out).into_owned();
            Err((part, format!("{text:?} is never the path of a request; write {wanted:?}")))
        }
        Err(error) => Err((part, format!("{text:?} is no path: {error}"))),
    }
}

fn translate_header(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: &HeaderMatch,
) -> Option<FieldMatch> {
    let value = translate_value(cx, object, field, (&given.exact, &given.regex, given.present))?;
    Some(FieldMatch { name: given.name.as_str().into(), value })
}

fn translate_query(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: &GivenQuery,
) -> Option<QueryMatch> {
    let value = translate_value(cx, object, field, (&given.exact, &given.regex, given.present))?;
    Some(QueryMatch { name: given.name.as_str().into(), value })
}

fn translate_value(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: (&Option<String>, &Option<String>, Option<bool>),
) -> Option<ValueMatch> {
    let found = match given {
        (Some(exact), None, None) => Ok(ValueMatch::Exact(exact.as_str().into())),
        (None, Some(regex), None) => match check_regex(regex) {
            Ok(()) => Ok(ValueMatch::Regex(regex.as_str().into())),
            Err(why) => Err((format!("{field}.regex"), why)),
        },
        (None, None, Some(true)) => Ok(ValueMatch::Present),
        _ => Err((field.to_owned(), "give exactly one of exact, regex and present: true".to_owned())),
    };
    found
        .map_err(|(field, why)| {
            cx.error(object, field, "InvalidMatch", format!("{why}; the match has no effect"));
        })
        .ok()
}

fn translate_caller(given: &Caller) -> CallerMatch {
    CallerMatch {
        namespace: given.namespace.as_deref().map(Into::into),
        service_account: given.service_account.as_deref().map(Into::into),
    }
}
