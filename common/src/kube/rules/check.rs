//! Check: whether the targets of a RouteRule are there, and whether a match can ever hold.

use std::collections::HashMap;

use selvedge_crds::{
    RouteRule,
    route_rule::{RequestRule, RouteTarget},
};

use super::{
    Context,
    route_rule::{Drafted, Owners},
    targets::{self, namespace, object_ref},
};
use crate::{
    id::{ObjectRef, RouteId},
    kube::{
        host, near,
        objects::{Kind, Object},
        reader::Unit,
        service::tcp_ports,
    },
    model::{Conditions, HostMatch, PathMatch, Problem},
};

/// What is wrong with a target; `None` if the rules count for it.
pub(super) fn check_target<'r>(
    cx: &Context<'_, 'r>,
    rule: &RouteRule,
    field: &str,
    (target, owners): (&RouteTarget, Option<Owners<'_, 'r>>),
) -> Option<Problem> {
    let object = object_ref(Kind::RouteRule, &rule.metadata);
    let wrong = |part: &str, reason: &str, message: String| {
        Some(Problem::error(&object, format!("{field}{part}"), reason, message))
    };
    match (&target.service, &target.host) {
        (Some(_), Some(_)) => {
            let message = "name exactly one of service and host; the service counts";
            wrong("", "InvalidTarget", message.to_owned())
        }
        (Some(service), None) => {
            let (part, message) = check_service(cx, namespace(&rule.metadata), (service, target.port))?;
            wrong(part, "TargetNotFound", message)
        }
        (None, Some(_)) if target.port.is_some() => {
            let message = "port is one of a Service's and needs service; it has no effect";
            wrong(".port", "InvalidTarget", message.to_owned())
        }
        (None, Some(host)) => match check_host(cx, namespace(&rule.metadata), (host, owners)) {
            Some((reason, message)) => wrong(".host", reason, message),
            None => no_backends(rule),
        },
        (None, None) => {
            let message = "name exactly one of service and host; it has no effect";
            wrong("", "InvalidTarget", message.to_owned())
        }
    }
}

/// A rule that does not say where requests for a host go, which has no endpoints of its own.
fn no_backends(rule: &RouteRule) -> Option<Problem> {
    let says_nothing = |given: &RequestRule| {
        given.backends.is_empty() && given.redirect.is_none() && given.respond.is_none()
    };
    let index = rule.spec.rules.iter().position(says_nothing)?;
    let object = object_ref(Kind::RouteRule, &rule.metadata);
    let message = "a rule for a host needs backends, redirect or respond; requests for the host get 503";
    Some(Problem::error(&object, format!("spec.rules[{index}].backends"), "NoBackends", message.to_owned()))
}

/// What is wrong with a Service as target, with the part that is at fault.
fn check_service(
    cx: &Context<'_, '_>,
    own: &str,
    (service, port): (&str, Option<u16>),
) -> Option<(&'static str, String)> {
    let Some(found) = cx.reader.service(own, service) else {
        let hint = near::suggest(service, cx.reader.names(Kind::Service, own));
        let message =
            format!("there is no Service {service:?} in namespace {own:?}{hint}; the rules wait for it");
        return Some((".service", message));
    };
    let ports: Vec<_> = tcp_ports(found).collect();
    let listed: Vec<_> = ports.iter().map(ToString::to_string).collect();
    match port {
        Some(port) if ports.contains(&port) => None,
        None if !ports.is_empty() => None,
        Some(port) if !ports.is_empty() => {
            let message =
                format!("Service {service:?} has no TCP port {port} (it has {})", listed.join(", "));
            Some((".port", format!("{message}; the rules wait for it")))
        }
        _ => {
            let message = format!("Service {service:?} has no TCP port");
            Some((".service", format!("{message}; the rules wait for one")))
        }
    }
}

/// What is wrong with a host as target, with the reason.
fn check_host<'r>(
    cx: &Context<'_, 'r>,
    own: &str,
    (text, owners): (&str, Option<Owners<'_, 'r>>),
) -> Option<(&'static str, String)> {
    let host = match host::parse(text) {
        Ok(host) => host,
        Err(why) => {
            let message = format!("{text:?} is no host: {why}; the rules have no effect for it");
            return Some(("InvalidTarget", message));
        }
    };
    let owner = owner_elsewhere(cx, own, &host, owners?)?;
    let message = format!(
        "host {text} belongs to namespace {owner:?}, whose objects named it first; the rules have no effect"
    );
    Some(("HostNotOwned", message))
}

/// The namespace that a host belongs to, if it is not this one.
fn owner_elsewhere<'r>(
    cx: &Context<'_, 'r>,
    own: &str,
    host: &HostMatch,
    owners: Owners<'_, 'r>,
) -> Option<&'r str> {
    let mut owners = owners(host);
    if owners.is_empty() {
        let unit = Unit::Host(cx.defaults.hosts.clone(), host.clone());
        let rules = cx.reader.declaring(&unit).filter(|object| matches!(object, Object::RouteRule(_)));
        let first = rules.map(|object| targets::age(object.metadata())).min();
        owners.extend(first.map(|(_, _, namespace, _)| namespace));
    }
    (!owners.contains(&own)).then(|| owners.first().copied()).flatten()
}

/// Matches that are the same within one RouteRule, or with `apart` in different ones: of those only the first can hold.
pub(super) fn duplicates(drafted: &[Drafted], apart: bool) -> Vec<Problem> {
    let mut seen: HashMap<(&PathMatch, &Conditions), (&RouteId, &ObjectRef)> = HashMap::new();
    let mut problems = Vec::new();
    for Drafted { field, route } in drafted {
        let known = seen.entry((&route.path, &route.conditions)).or_insert((&route.id, &route.source));
        let (first, source) = *known;
        if *first == route.id || (*source != route.source) != apart {
            continue;
        }
        let message = format!("{first} matches just the same and comes first, so this match has no effect");
        problems.push(Problem::warning(&route.source, field, "DuplicateMatch", message));
    }
    problems
}
