//! Requests: which ones a rule is for, as path and conditions of a route.

use selvedge_crds::request_match::{
    Caller, HeaderMatch, PathMatch as GivenPath, QueryMatch as GivenQuery, RequestMatch,
};

use super::Context;
use crate::{
    filter::check_token,
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
    let from: Vec<_> = (given.from.iter().enumerate())
        .filter_map(|(at, caller)| translate_caller(cx, object, &format!("{field}.from[{at}]"), caller))
        .collect();
    let methods = (given.methods.iter().enumerate())
        .filter_map(|(at, method)| translate_method(cx, object, &format!("{field}.methods[{at}]"), method))
        .collect();
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
        refuse(cx, object, &field, why);
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

/// A method as requests have it; they are case-sensitive (RFC 9110 §9.1).
fn translate_method(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: &str,
) -> Option<std::sync::Arc<str>> {
    let is_method = !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !is_method {
        let message = format!("{given:?} is no method; write it in upper-case letters, such as GET");
        refuse(cx, object, field, message);
    }
    is_method.then(|| given.into())
}

fn translate_header(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: &HeaderMatch,
) -> Option<FieldMatch> {
    if let Err(why) = check_token(&given.name) {
        refuse(cx, object, &format!("{field}.name"), why);
    }
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
        (None, None, Some(false)) => Ok(ValueMatch::Absent),
        _ => Err((field.to_owned(), "give exactly one of exact, regex and present".to_owned())),
    };
    found.map_err(|(field, why)| refuse(cx, object, &field, why)).ok()
}

/// A caller; one without a namespace is of that of the object.
fn translate_caller(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: &Caller,
) -> Option<CallerMatch> {
    if given.namespace.is_none() && given.service_account.is_none() {
        refuse(cx, object, field, "say who may call: namespace, serviceAccount or both".to_owned());
        return None;
    }
    Some(CallerMatch {
        namespace: Some(given.namespace.as_deref().map_or_else(|| object.namespace.clone(), Into::into)),
        service_account: given.service_account.as_deref().map(Into::into),
    })
}

fn refuse(cx: &mut Context<'_, '_>, object: &ObjectRef, field: &str, why: String) {
    cx.error(object, field, "InvalidMatch", format!("{why}; the match has no effect"));
}
