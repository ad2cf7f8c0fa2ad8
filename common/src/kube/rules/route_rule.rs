//! RouteRules: the routes that they make for a Service or a host, and what is said of them as objects.

use std::sync::Arc;

use selvedge_crds::{
    RouteRule,
    action::{Backend as GivenBackend, Mirror as GivenMirror},
    request_match::RequestMatch,
    route_rule::{RequestRule, RouteTarget},
};

use super::{
    BackendName, Context, Near, Policy, answers, backends, conditions, headers, requests, sending,
    targets::{self, name, namespace, object_ref},
};
use crate::{
    filter::Filter,
    id::{ObjectRef, RouteId},
    kube::{
        near,
        objects::{Kind, Object, ObjectKey},
        reader::{Reader, Unit},
        translation::ObjectTranslation,
    },
    model::{BackendRef, BackendTarget, HostMatch, Mirror, PathMatch, Problem, Route},
};

/// Where requests go that a rule without backends is for: the Service that is its target.
#[derive(Clone, Debug)]
pub struct Rules<'t> {
    /// The Service by name, with the port that counts here.
    pub service: BackendName<'t>,
    /// Whether the route that leads to the rules has asked the limit of the rate of the Service's own policies, which
    /// is not to count a request twice.
    pub is_limited: bool,
}

/// The namespaces that a host belongs to, by the objects that name it beside RouteRules; empty if there are none.
pub type Owners<'o, 'r> = &'o dyn Fn(&HostMatch) -> Vec<&'r str>;

/// The routes of the RouteRules for a port of a Service, the one that comes first in front. Problems of the rules are
/// gathered apart.
pub fn of_service(cx: &mut Context<'_, '_>, target: &Rules<'_>) -> Vec<Route> {
    if !cx.has_rules() {
        return Vec::new();
    }
    let rules = rules_for(cx, target.service);
    routes(cx, &rules, Some(target))
}

/// Whether there is a RouteRule for a port of a Service.
pub fn has_rules_for(cx: &Context<'_, '_>, service: BackendName<'_>) -> bool {
    cx.has_rules() && !rules_for(cx, service).is_empty()
}

fn rules_for<'r>(cx: &Context<'_, 'r>, service: BackendName<'_>) -> Vec<&'r Arc<RouteRule>> {
    let BackendName { namespace, service, port } = service;
    let unit = Unit::Attached(ObjectKey::new(Kind::Service, namespace, service));
    let counts = |given: &RouteTarget| {
        given.service.as_deref() == Some(service) && (given.port.is_none() || given.port == port)
    };
    let rules = cx.rules_of(&unit);
    rules.into_iter().filter(|rule| rule.spec.targets.iter().any(counts)).collect()
}

/// The routes of the RouteRules for a host, the one that comes first in front.
///
/// A host belongs to the namespaces that `owners` names, or if there are none to that of the RouteRule that comes
/// first; RouteRules of others have no effect.
pub fn of_host(cx: &mut Context<'_, '_>, host: &HostMatch, owners: &[&str]) -> Vec<Route> {
    if !cx.has_rules() {
        return Vec::new();
    }
    let rules = cx.rules_of(&Unit::Host(cx.defaults.hosts.clone(), host.clone()));
    let owned: Vec<_> = match owners {
        [] => {
            let oldest = rules.iter().map(|rule| targets::age(&rule.metadata)).min();
            let owner = oldest.map(|(_, _, namespace, _)| namespace);
            rules.into_iter().filter(|rule| Some(namespace(&rule.metadata)) == owner).collect()
        }
        owners => rules.into_iter().filter(|rule| owners.contains(&namespace(&rule.metadata))).collect(),
    };
    routes(cx, &owned, None)
}

fn routes(cx: &mut Context<'_, '_>, rules: &[&Arc<RouteRule>], target: Option<&Rules<'_>>) -> Vec<Route> {
    let mut routes = Vec::new();
    for rule in rules {
        let near = Near::of(cx, Kind::RouteRule, namespace(&rule.metadata), name(&rule.metadata));
        for (index, given) in rule.spec.rules.iter().enumerate() {
            Draft { rule, index, given, near: &near }.routes(cx, target, &mut routes);
        }
    }
    for (rank, route) in routes.iter_mut().enumerate() {
        route.rank = u32::try_from(rank).unwrap_or(u32::MAX);
    }
    routes
}

/// One rule of a RouteRule while it is translated.
struct Draft<'d> {
    rule: &'d RouteRule,
    index: usize,
    given: &'d RequestRule,
    near: &'d Near,
}

impl Draft<'_> {
    /// One route for each match.
    fn routes(&self, cx: &mut Context<'_, '_>, target: Option<&Rules<'_>>, routes: &mut Vec<Route>) {
        let object = object_ref(Kind::RouteRule, &self.rule.metadata);
        let field = format!("spec.rules[{}]", self.index);
        let everything = [RequestMatch::default()];
        let matches = match self.given.matches.is_empty() {
            true => &everything[..],
            false => &self.given.matches,
        };
        let near = self.near_with_budget();
        let (backends, policy) = self.backends(cx, &object, &field, (target, &near));
        let mirrors = self.mirrors(cx, &object, &field, &near);
        let changes = headers::translate(cx, &object, &field, self.given.headers.as_ref());
        for (at, given) in matches.iter().enumerate() {
            let at_field = format!("{field}.matches[{at}]");
            let Some((path, conditions)) = requests::translate(cx, &object, &at_field, given) else {
                continue;
            };
            let is_limited = target.is_some_and(|target| target.is_limited);
            let mut filters = match is_limited && !self.near.policy.limits_rate() {
                true => Vec::new(),
                false => policy.filters(&self.limited(target)),
            };
            filters.extend(answers::translate(cx, &object, &field, (self.given, &path)));
            filters.extend(changes.iter().cloned());
            Filter::sort(&mut filters);
            let id = self.id(at, matches.len());
            routes.push(Route {
                conditions,
                priority: self.rule.spec.priority,
                filters,
                timeouts: sending::timeouts(cx.defaults, &policy, self.given.timeouts.as_ref()),
                retry: sending::retry(cx.defaults, self.given.retry.as_ref()),
                mirrors: mirrors.clone(),
                ..Route::new(id, object.clone(), path, backends.clone())
            });
        }
    }

    /// `namespace/name/rule`, and the number of the match where there are several.
    fn id(&self, at: usize, matches: usize) -> RouteId {
        let metadata = &self.rule.metadata;
        let rule = self.given.name.clone().unwrap_or_else(|| self.index.to_string());
        let id = format!("{}/{}/{rule}", namespace(metadata), name(metadata));
        RouteId::new(if matches > 1 { format!("{id}/{at}") } else { id })
    }

    /// The retry budget of a rule makes backends of its own.
    fn near_with_budget(&self) -> Near {
        let Some(budget) = self.given.retry.as_ref().and_then(|retry| retry.budget.clone()) else {
            return self.near.clone();
        };
        let mut near = self.near.clone();
        let rule = self.given.name.clone().unwrap_or_else(|| self.index.to_string());
        near.owner.name = format!("{}/{rule}", near.owner.name).into();
        near.policy.retry_budget = Some(budget);
        near
    }

    /// What a limit of the rate counts together: the requests to the target, or those of this RouteRule if its own
    /// policy says so.
    fn limited(&self, target: Option<&Rules<'_>>) -> String {
        match target {
            Some(target) if self.near.policy.rate_limit.is_none() => target.service.to_string(),
            _ => format!("{}/{}", namespace(&self.rule.metadata), name(&self.rule.metadata)),
        }
    }

    /// Where requests go, and what policies say: those of the RouteRule, then those of the Service that is the
    /// target.
    fn backends(
        &self,
        cx: &mut Context<'_, '_>,
        object: &ObjectRef,
        field: &str,
        (target, near): (Option<&Rules<'_>>, &Near),
    ) -> (Vec<BackendRef>, Policy) {
        let near_policy = near.policy.clone();
        let policy = match target.map(|target| target.service) {
            Some(BackendName { namespace, service, port }) => {
                near_policy.or(Policy::of_service(cx, namespace, service, port.unwrap_or_default()))
            }
            None => near_policy,
        };
        if self.given.redirect.is_some() || self.given.respond.is_some() {
            return (Vec::new(), policy);
        }
        if self.given.backends.is_empty() {
            let Some(target) = target else {
                tell_no_backends(cx, object, field);
                return (Vec::new(), policy);
            };
            let target = backends::refer(cx, object, field, (target.service, near));
            return (vec![BackendRef { target, weight: 1 }], policy);
        }
        let own = namespace(&self.rule.metadata);
        let refer = |(at, given): (usize, &GivenBackend)| {
            let name = BackendName {
                namespace: given.namespace.as_deref().unwrap_or(own),
                service: &given.service,
                port: given.port,
            };
            let target = backends::refer(cx, object, &format!("{field}.backends[{at}]"), (name, near));
            BackendRef { target, weight: given.weight }
        };
        let backends: Vec<_> = self.given.backends.iter().enumerate().map(refer).collect();
        if backends.iter().all(|backend| backend.weight == 0) {
            let message = "all weights are 0, so no request can be sent; requests get 503".to_owned();
            cx.error(object, format!("{field}.backends"), "NoWeight", message);
        }
        (backends, policy)
    }

    fn mirrors(&self, cx: &mut Context<'_, '_>, object: &ObjectRef, field: &str, near: &Near) -> Vec<Mirror> {
        let own = namespace(&self.rule.metadata);
        let refer = |(at, given): (usize, &GivenMirror)| {
            let name = BackendName {
                namespace: given.namespace.as_deref().unwrap_or(own),
                service: &given.service,
                port: given.port,
            };
            let target = backends::refer(cx, object, &format!("{field}.mirror[{at}]"), (name, near));
            Mirror { target, percent: given.percent }
        };
        let mirrors = self.given.mirror.iter().enumerate().map(refer);
        // Where there is nobody to get copies there is nothing to do.
        mirrors.filter(|mirror| matches!(mirror.target, BackendTarget::Backend(_))).collect()
    }
}

fn tell_no_backends(cx: &mut Context<'_, '_>, object: &ObjectRef, field: &str) {
    let message = "a rule for a host needs backends, redirect or respond; requests get 503".to_owned();
    cx.error(object, format!("{field}.backends"), "NoBackends", message);
}

/// What is said of a RouteRule as an object: its problems, and conditions for each of its targets.
pub fn translate<'r>(
    cx: &mut Context<'_, 'r>,
    rule: &RouteRule,
    (ours, owners): (bool, Owners<'_, 'r>),
) -> ObjectTranslation {
    let object = object_ref(Kind::RouteRule, &rule.metadata);
    let near = Near::of(cx, Kind::RouteRule, namespace(&rule.metadata), name(&rule.metadata));
    // Told by the policy itself.
    cx.problems.clear();
    let target = rule.spec.targets.iter().find_map(|target| target_service(cx.reader, rule, target));
    let mut routes = Vec::new();
    for (index, given) in rule.spec.rules.iter().enumerate() {
        let target = target.as_ref();
        Draft { rule, index, given, near: &near }.routes(cx, target, &mut routes);
    }
    if target.is_some() && targets::is_for_hosts(rule) {
        // What the Service that is a target, too, would answer itself.
        for (index, given) in rule.spec.rules.iter().enumerate() {
            if given.backends.is_empty() && given.redirect.is_none() && given.respond.is_none() {
                tell_no_backends(cx, &object, &format!("spec.rules[{index}]"));
            }
        }
    }
    cx.problems.retain(|problem| problem.object == object);
    duplicates(cx, &object, rule, &routes);
    let mut targets = Vec::new();
    for (index, target) in rule.spec.targets.iter().enumerate() {
        let wrong = check_target(cx, rule, &format!("spec.targets[{index}]"), (target, owners));
        targets.push(conditions(targets::print_route_target(target), &cx.problems, wrong.as_ref()));
        cx.problems.extend(wrong);
    }
    let problems = std::mem::take(&mut cx.problems);
    ObjectTranslation { ours, targets, problems }
}

/// The Service of a target with a port that counts.
fn target_service<'t>(
    reader: &Reader<'_>,
    rule: &'t RouteRule,
    target: &'t RouteTarget,
) -> Option<Rules<'t>> {
    let service = target.service.as_deref()?;
    let namespace = namespace(&rule.metadata);
    let found = reader.service(namespace, service)?;
    let port = target.port.or_else(|| crate::kube::service::tcp_ports(found).next());
    Some(Rules { service: BackendName { namespace, service, port }, is_limited: false })
}

fn check_target<'r>(
    cx: &Context<'_, 'r>,
    rule: &RouteRule,
    field: &str,
    (target, owners): (&RouteTarget, Owners<'_, 'r>),
) -> Option<Problem> {
    let object = object_ref(Kind::RouteRule, &rule.metadata);
    let own = namespace(&rule.metadata);
    let wrong = |part: &str, reason: &str, message: String| {
        Some(Problem::error(&object, format!("{field}{part}"), reason, message))
    };
    match (&target.service, &target.host) {
        (Some(service), _) => {
            let Some(found) = cx.reader.service(own, service) else {
                let hint = near::suggest(service, cx.reader.names(Kind::Service, own));
                let message = format!(
                    "there is no Service {service:?} in namespace {own:?}{hint}; the rules wait for it"
                );
                return wrong(".service", "TargetNotFound", message);
            };
            let port = target.port?;
            let ports: Vec<_> = crate::kube::service::tcp_ports(found).collect();
            if ports.contains(&port) {
                return None;
            }
            let listed: Vec<_> = ports.iter().map(ToString::to_string).collect();
            let message =
                format!("Service {service:?} has no TCP port {port} (it has {})", listed.join(", "));
            wrong(".port", "TargetNotFound", message)
        }
        (None, Some(host)) => {
            let found = match targets::host_of(host) {
                Ok(found) => found,
                Err(why) => return wrong(".host", "InvalidHost", format!("{why}; the rules have no effect")),
            };
            let owner = owner_elsewhere(cx, own, &found, owners)?;
            let message = format!(
                "host {host} belongs to namespace {owner:?}, whose objects named it first; the rules have no effect"
            );
            wrong(".host", "HostNotOwned", message)
        }
        (None, None) => wrong("", "InvalidTarget", "name exactly one of service and host".to_owned()),
    }
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

/// Two matches that are the same: the second one can never hold.
fn duplicates(cx: &mut Context<'_, '_>, object: &ObjectRef, rule: &RouteRule, routes: &[Route]) {
    let mut seen: Vec<(&PathMatch, &crate::model::Conditions, &RouteId)> = Vec::new();
    for route in routes {
        let same = |(path, conditions, _): &&(&PathMatch, &crate::model::Conditions, &RouteId)| {
            **path == route.path && **conditions == route.conditions
        };
        match seen.iter().find(same) {
            Some((_, _, first)) => {
                let message = format!(
                    "{} matches just what {first} matches, which comes first; it has no effect",
                    route.id
                );
                cx.warning(object, field_of(rule, &route.id), "DuplicateMatch", message);
            }
            None => seen.push((&route.path, &route.conditions, &route.id)),
        }
    }
}

/// The field of a RouteRule that a route of it is made of.
pub fn field_of(rule: &RouteRule, route: &RouteId) -> String {
    let part = route.as_str().split('/').nth(2).unwrap_or_default();
    let named = rule.spec.rules.iter().position(|given| given.name.as_deref() == Some(part));
    let index = named.or_else(|| part.parse().ok()).unwrap_or_default();
    format!("spec.rules[{index}]")
}
