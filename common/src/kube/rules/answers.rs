//! Answers: redirects, direct responses, faults and rewrites of a rule, as filters.

use std::sync::Arc;

use selvedge_crds::{
    action::{
        Fault as GivenFault, Redirect as GivenRedirect, Respond as GivenRespond, Rewrite as GivenRewrite,
        Scheme as GivenScheme,
    },
    route_rule::RequestRule,
};

use super::Context;
use crate::{
    filter::{
        Abort, AbortWith, Delay, Fault, Filter, PathChange, Redirect, Respond, Rewrite, Share, check_value,
    },
    id::ObjectRef,
    message::Scheme,
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
        let change = (given.path.as_deref(), given.prefix.as_deref());
        let path = translate_path(cx, object, &format!("{field}.redirect"), change, path);
        filters.push(Filter::Redirect(translate_redirect(given, path)));
    }
    if let Some(given) = &rule.respond {
        filters.push(Filter::Respond(translate_respond(cx, object, field, given)));
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
            Some(code) => AbortWith::Grpc(code),
            None => AbortWith::Http(abort.status.unwrap_or(503)),
        },
    });
    let delay = given
        .delay
        .as_ref()
        .map(|delay| Delay { share: share(delay.percent), duration: delay.duration.get() });
    Fault { abort, delay }
}

fn translate_redirect(given: &GivenRedirect, path: Option<PathChange>) -> Redirect {
    let scheme = given.scheme.map(|scheme| match scheme {
        GivenScheme::Http => Scheme::Http,
        GivenScheme::Https => Scheme::Https,
    });
    let host = given.host.as_deref().map(Into::into);
    Redirect { scheme, host, port: given.port, path, status: given.status }
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
    Respond {
        status: given.status,
        body: given.body.as_str().into(),
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
