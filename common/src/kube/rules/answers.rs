//! Answers: redirects, direct responses, faults and rewrites of a rule, as filters.

use std::sync::Arc;

use selvedge_crds::{
    action::{
        Fault as GivenFault, Redirect as GivenRedirect, Respond as GivenRespond, Rewrite as GivenRewrite,
        Scheme as GivenScheme,
    },
    route_rule::RequestRule,
};

use super::{Context, shape};
use crate::{
    filter::{
        Abort, AbortWith, Delay, Fault, Filter, PathChange, Redirect, Respond, Rewrite, Share, check_value,
    },
    id::ObjectRef,
    message::{Scheme, authority},
    model::PathMatch,
};

/// The filters of a rule but those for headers; `path` is what the request matched.
pub(super) fn translate(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    (rule, path): (&RequestRule, &PathMatch),
) -> Vec<Filter> {
    let mut filters = Vec::new();
    if let Some(fault) = &rule.fault {
        filters.push(Filter::Fault(translate_fault(fault)));
    }
    if let Some(given) = &rule.redirect {
        let redirect = translate_redirect(cx, object, &format!("{field}.redirect"), (given, path));
        filters.extend(redirect.map(Filter::Redirect));
        return filters;
    }
    if let Some(given) = &rule.respond {
        filters.push(Filter::Respond(translate_respond(cx, object, field, given)));
        return filters;
    }
    if let Some(given) = &rule.rewrite {
        let field = format!("{field}.rewrite");
        let change = (given.path.as_deref(), given.prefix.as_deref());
        let path = translate_path(cx, object, &field, change, path);
        filters.push(Filter::Rewrite(Rewrite { path, host: translate_host(cx, object, &field, given) }));
    }
    filters
}

fn translate_fault(given: &GivenFault) -> Fault {
    let share = |percent: u8| Share::from_percent(percent.into()).unwrap_or(Share::ALL);
    let abort = given.abort.as_ref().map(|abort| Abort {
        share: share(abort.percent),
        with: match abort.grpc_status {
            Some(code) => AbortWith::Grpc(shape::grpc_status(code)),
            None => AbortWith::Http(shape::status(abort.status.unwrap_or(503), 503)),
        },
    });
    let delay = given
        .delay
        .as_ref()
        .map(|delay| Delay { share: share(delay.percent), duration: delay.duration.get() });
    Fault { abort, delay }
}

/// A redirect; `None` for one that would lead to where it came from, for ever.
fn translate_redirect(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    (given, matched): (&GivenRedirect, &PathMatch),
) -> Option<Redirect> {
    let change = (given.path.as_deref(), given.prefix.as_deref());
    let path = translate_path(cx, object, field, change, matched);
    let scheme = given.scheme.map(|scheme| match scheme {
        GivenScheme::Http => Scheme::Http,
        GivenScheme::Https => Scheme::Https,
    });
    let host = given.host.as_deref().filter(|host| {
        let is_host = authority::parse(host.as_bytes()).is_ok_and(|parsed| parsed.port.is_none());
        if !is_host {
            let message = format!("{host:?} is no host, such as api.example.com; the host stays as it is");
            cx.error(object, format!("{field}.host"), "InvalidHost", message);
        }
        is_host
    });
    let host = host.map(Into::into);
    let port = given.port.filter(|port| *port != 0);
    let changes = scheme.is_some() || host.is_some() || port.is_some() || path.is_some();
    if !changes && (given.host.is_some() || given.path.is_some() || given.prefix.is_some()) {
        let message = "nothing is left that the redirect changes; requests get 503".to_owned();
        cx.error(object, field, "InvalidRedirect", message);
    }
    changes.then(|| Redirect { scheme, host, port, path, status: shape::redirect_status(given.status) })
}

fn translate_respond(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: &GivenRespond,
) -> Respond {
    let mut content_type = given.content_type.as_deref();
    if let Some(Err(why)) = content_type.map(check_value) {
        cx.error(object, format!("{field}.respond.contentType"), "InvalidHeader", why);
        content_type = None;
    }
    let status = shape::status(given.status, 500);
    Respond {
        status,
        body: if shape::has_body(status) { given.body.as_str().into() } else { "".into() },
        content_type: content_type.map(Into::into),
    }
}

fn translate_path(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    (full, prefix): (Option<&str>, Option<&str>),
    matched: &PathMatch,
) -> Option<PathChange> {
    let (part, change) = match (full, prefix, matched) {
        (None, None, _) => return None,
        (Some(full), None, _) => ("path", PathChange::full(full)),
        (None, Some(prefix), PathMatch::Prefix(matched)) => ("prefix", PathChange::prefix(matched, prefix)),
        (None, Some(_), _) => {
            ("prefix", Err("a prefix can only be replaced where one is matched; write path instead".into()))
        }
        (Some(_), Some(_), _) => ("path", Err("give at most one of prefix and path".into())),
    };
    change
        .map_err(|why| {
            let message = format!("{why}; the path stays as it is");
            cx.error(object, format!("{field}.{part}"), "InvalidPath", message);
        })
        .ok()
}

fn translate_host(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    given: &GivenRewrite,
) -> Option<Arc<str>> {
    let host = given.host.as_deref()?;
    match Rewrite::check_host(host) {
        Ok(()) => Some(host.into()),
        Err(why) => {
            let message = format!("{host:?} is no host: {why}; the host stays as it is");
            cx.error(object, format!("{field}.host"), "InvalidHost", message);
            None
        }
    }
}
