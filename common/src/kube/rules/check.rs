//! Check: whether the targets of a RouteRule are there, and whether a match can ever hold.

use std::collections::HashMap;

use selvedge_crds::{
    RouteRule,
    route_rule::{RequestRule, RouteTarget},
};

use super::{
    Context,
    route_rule::{Drafted, Hosts},
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

/// What is wrong with a target; nothing if the rules count for it.
pub(super) fn check_target<'r>(
    cx: &Context<'_, 'r>,
    (rule, drafted): (&RouteRule, &[Drafted]),
    field: &str,
    (target, hosts): (&RouteTarget, Option<&dyn Hosts<'r>>),
) -> Vec<Problem> {
    let object = object_ref(Kind::RouteRule, &rule.metadata);
    let wrong = |part: &str, reason: &str, message: String| {
        vec![Problem::error(&object, format!("{field}{part}"), reason, message)]
    };
    match (&target.service, &target.host) {
        (Some(_), Some(_)) => {
            let message = "name exactly one of service and host; the service counts";
            wrong("", "InvalidTarget", message.to_owned())
        }
        (Some(service), None) => match check_service(cx, namespace(&rule.metadata), (service, target.port)) {
            Some((part, message)) => wrong(part, "TargetNotFound", message),
            None => Vec::new(),
        },
        (None, Some(_)) if target.port.is_some() => {
            let message = "port is one of a Service's and needs service; it has no effect";
            wrong(".port", "InvalidTarget", message.to_owned())
        }
        (None, Some(host)) => match check_host(cx, namespace(&rule.metadata), (host, hosts)) {
            Err((reason, message)) => wrong(".host", reason, message),
            Ok(host) => {
                let taken = hosts.map(|hosts| taken((rule, drafted), &host, hosts)).unwrap_or_default();
                no_backends(rule).into_iter().chain(taken).collect()
            }
        },
        (None, None) => {
            let message = "name exactly one of service and host; it has no effect";
            wrong("", "InvalidTarget", message.to_owned())
        }
    }
}

/// The matches that another object already answers at a host.
fn taken((rule, drafted): (&RouteRule, &[Drafted]), host: &HostMatch, hosts: &dyn Hosts<'_>) -> Vec<Problem> {
    let routes: Vec<_> = drafted.iter().map(|drafted| &drafted.route).collect();
    let taken = hosts.taken(&rule.metadata, host, &routes).into_iter().map(|(at, winner)| {
        let Drafted { field, route } = &drafted[at];
        let path = route.path.text();
        let message = format!(
            "path {path} of host {host} is already answered by {winner}, which comes first; it has no effect"
        );
        Problem::error(&route.source, field, "PathConflict", message)
    });
    taken.collect()
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

/// The host that a target names.
///
/// # Errors
/// What is wrong with it, with the reason.
fn check_host<'r>(
    cx: &Context<'_, 'r>,
    own: &str,
    (text, hosts): (&str, Option<&dyn Hosts<'r>>),
) -> Result<HostMatch, (&'static str, String)> {
    let host = host::parse(text).map_err(|why| {
        ("InvalidTarget", format!("{text:?} is no host: {why}; the rules have no effect for it"))
    })?;
    match hosts.and_then(|hosts| owner_elsewhere(cx, own, &host, hosts)) {
        None => Ok(host),
        Some(owner) => {
            let message = format!(
                "host {text} belongs to namespace {owner:?}, whose objects named it first; the rules have no effect"
            );
            Err(("HostNotOwned", message))
        }
    }
}

/// The namespace that a host belongs to, if it is not this one.
fn owner_elsewhere<'r>(
    cx: &Context<'_, 'r>,
    own: &str,
    host: &HostMatch,
    hosts: &dyn Hosts<'r>,
) -> Option<&'r str> {
    let mut owners = hosts.owners(host);
    if owners.is_empty() {
        let unit = Unit::Host(cx.defaults.hosts.clone(), host.clone());
        let rules = cx.reader.declaring(&unit).filter_map(|object| match object {
            Object::RouteRule(rule) => Some(targets::age(&rule.metadata)),
            _ => None,
        });
        let first = rules.min();
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
