//! RouteRules: the routes that they make for a Service or a host, and what is said of them as objects.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use selvedge_crds::{
    RouteRule,
    action::{Backend as GivenBackend, Mirror as GivenMirror},
    request_match::RequestMatch,
    route_rule::{RequestRule, RouteTarget},
};

use super::{
    BackendName, Context, Near, Policy, answers, backends, check, conditions, headers, requests, sending,
    shape,
    targets::{self, name, namespace, object_ref},
};
use crate::{
    filter::Filter,
    id::{ObjectRef, RouteId},
    kube::{
        objects::{Kind, ObjectKey},
        reader::{Reader, Unit},
        service::tcp_ports,
        translation::ObjectTranslation,
    },
    model::{BackendRef, BackendTarget, HostMatch, Mirror, Route},
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

/// What the objects beside RouteRules say about hosts.
pub trait Hosts<'r> {
    /// The namespaces that a host belongs to by them; empty if none of them names it.
    fn owners(&self, host: &HostMatch) -> Vec<&'r str>;

    /// Which of the routes that a RouteRule makes for a host are already answered by another object, by their place,
    /// with that object.
    fn taken(&self, rule: &ObjectMeta, host: &HostMatch, routes: &[&Route]) -> Vec<(usize, ObjectRef)>;
}

/// Whether a target of a RouteRule of this namespace is this port.
fn counts(BackendName { service, port, .. }: BackendName<'_>, given: &RouteTarget) -> bool {
    given.service.as_deref() == Some(service) && (given.port.is_none() || given.port == port)
}

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
    let unit = Unit::Attached(ObjectKey::new(Kind::Service, service.namespace, service.service));
    let is_for = |rule: &&Arc<RouteRule>| rule.spec.targets.iter().any(|given| counts(service, given));
    cx.rules_of(&unit).into_iter().filter(is_for).collect()
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
    let mut drafted = Vec::new();
    for rule in rules {
        let near = Near::of(cx, object_ref(Kind::RouteRule, &rule.metadata));
        for (index, given) in rule.spec.rules.iter().enumerate() {
            Draft { rule, index, given, near: &near }.routes(cx, target, &mut drafted);
        }
    }
    // Only here it is seen which RouteRules meet.
    cx.parts.problems.extend(check::duplicates(&drafted, true));
    let ranked = drafted.into_iter().enumerate().map(|(rank, Drafted { route, .. })| Route {
        rank: u32::try_from(rank).unwrap_or(u32::MAX),
        ..route
    });
    ranked.collect()
}

/// A route with the field that it comes from.
pub(super) struct Drafted {
    /// Path of the rule or of one of its matches in the RouteRule.
    pub(super) field: String,
    /// The route.
    pub(super) route: Route,
}

/// Where the requests of a rule go.
struct Sent {
    backends: Vec<BackendRef>,
    /// What policies say of the requests, the nearest first.
    policy: Policy,
    /// The Service whose policies count.
    service: Option<String>,
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
    fn routes(&self, cx: &mut Context<'_, '_>, target: Option<&Rules<'_>>, drafted: &mut Vec<Drafted>) {
        let object = object_ref(Kind::RouteRule, &self.rule.metadata);
        let field = format!("spec.rules[{}]", self.index);
        let everything = [RequestMatch::default()];
        let matches = match self.given.matches.is_empty() {
            true => &everything[..],
            false => &self.given.matches,
        };
        let near = self.near_with_budget();
        let sent = self.backends(cx, &object, &field, (target, &near));
        let Sent { backends, policy, .. } = &sent;
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
                false => policy.filters(&self.limited(sent.service.as_deref())),
            };
            filters.extend(answers::translate(cx, &object, &field, (self.given, &path)));
            filters.extend(changes.iter().cloned());
            Filter::sort(&mut filters);
            let id = self.id(at, matches.len());
            let field = if self.given.matches.is_empty() { field.clone() } else { at_field };
            let route = Route {
                conditions: conditions.into(),
                load_priority: policy.load_priority(),
                priority: shape::priority(self.rule),
                filters,
                timeouts: sending::timeouts(cx.defaults, policy, self.given.timeouts.as_ref()),
                retry: sending::retry(cx.defaults, self.given.retry.as_ref()),
                mirrors: mirrors.clone(),
                ..Route::new(id, object.clone(), path, backends.clone())
            };
            drafted.push(Drafted { field, route });
        }
    }

    /// `namespace/name/rule`, and the number of the match where there are several.
    fn id(&self, at: usize, matches: usize) -> RouteId {
        let metadata = &self.rule.metadata;
        let id = format!("{}/{}/{}", namespace(metadata), name(metadata), self.name());
        RouteId::new(if matches > 1 { format!("{id}/{at}") } else { id })
    }

    /// Its name, or its number where it has none of its own.
    fn name(&self) -> String {
        shape::name(self.rule, self.index).unwrap_or_else(|| self.index.to_string())
    }

    /// The retry budget of a rule makes backends of its own.
    fn near_with_budget(&self) -> Near {
        let Some(budget) = self.given.retry.as_ref().and_then(|retry| retry.budget.clone()) else {
            return self.near.clone();
        };
        let mut near = self.near.clone();
        near.owner.name = format!("{}/{}", near.owner.name, self.name()).into();
        near.policy.put_budget(budget);
        near
    }

    /// What a limit of the rate counts together: the requests to the Service whose policies count, or those of this
    /// RouteRule if its own policy says so.
    fn limited(&self, service: Option<&str>) -> String {
        match service {
            Some(service) if self.near.policy.rate_limit.is_none() => service.to_owned(),
            _ => format!("{}/{}", namespace(&self.rule.metadata), name(&self.rule.metadata)),
        }
    }

    /// Where requests go, and what policies say: those of the RouteRule, then those of the Service that is the target,
    /// or for a host of the only Service that requests are sent to.
    fn backends(
        &self,
        cx: &mut Context<'_, '_>,
        object: &ObjectRef,
        field: &str,
        (target, near): (Option<&Rules<'_>>, &Near),
    ) -> Sent {
        let near_policy = near.policy.clone();
        let policy = match target.map(|target| target.service) {
            Some(BackendName { namespace, service, port }) => {
                near_policy.or(Policy::of_service(cx, namespace, service, port.unwrap_or_default()))
            }
            None => near_policy,
        };
        let service = target.map(|target| target.service.to_string());
        if self.given.redirect.is_some() || self.given.respond.is_some() {
            return Sent { backends: Vec::new(), policy, service };
        }
        if self.given.backends.is_empty() {
            let Some(target) = target else { return Sent { backends: Vec::new(), policy, service } };
            let is_target = |given: &RouteTarget| counts(target.service, given);
            let at = self.rule.spec.targets.iter().position(is_target).unwrap_or_default();
            let field = format!("spec.targets[{at}]");
            let target = backends::refer(cx, object, &field, (target.service, near), "requests get 503");
            return Sent { backends: vec![BackendRef { target, weight: 1 }], policy, service };
        }
        let refer = |(at, given): (usize, &GivenBackend)| {
            let name = self.name_of(given);
            let field = format!("{field}.backends[{at}]");
            let target =
                backends::refer(cx, object, &field, (name, near), "its share of the requests gets 503");
            BackendRef { target, weight: given.weight }
        };
        let backends: Vec<_> = self.given.backends.iter().enumerate().map(refer).collect();
        if backends.iter().all(|backend| backend.weight == 0) {
            let message = "all weights are 0, so no request can be sent; requests get 503".to_owned();
            cx.error(object, format!("{field}.backends"), "NoWeight", message);
        }
        match target {
            Some(_) => Sent { backends, policy, service },
            None => self.sent_for_host(cx, backends, policy),
        }
    }

    /// The same for a host, which has no policies of its own.
    fn sent_for_host(&self, cx: &mut Context<'_, '_>, backends: Vec<BackendRef>, near: Policy) -> Sent {
        let mut targets = backends.iter().map(|backend| &backend.target);
        let is_only = match targets.next() {
            Some(first @ BackendTarget::Backend(_)) => targets.all(|target| target == first),
            _ => false,
        };
        let only = self.given.backends.first().filter(|_| is_only).map(|given| self.name_of(given));
        let resolved = only.and_then(|name| Some((name, backends::port(cx, name).ok()?)));
        let Some((name, port)) = resolved else { return Sent { backends, policy: near, service: None } };
        let policy = near.or(Policy::of_service(cx, name.namespace, name.service, port).of_requests());
        Sent { backends, policy, service: Some(name.to_string()) }
    }

    fn name_of<'n>(&'n self, given: &'n GivenBackend) -> BackendName<'n> {
        BackendName {
            namespace: given.namespace.as_deref().unwrap_or(namespace(&self.rule.metadata)),
            service: &given.service,
            port: given.port,
        }
    }

    fn mirrors(
        &self,
        cx: &mut Context<'_, '_>,
        object: &ObjectRef,
        field: &str,
        near: &Near,
    ) -> Box<[Mirror]> {
        let own = namespace(&self.rule.metadata);
        let refer = |(at, given): (usize, &GivenMirror)| {
            let name = BackendName {
                namespace: given.namespace.as_deref().unwrap_or(own),
                service: &given.service,
                port: given.port,
            };
            let field = format!("{field}.mirror[{at}]");
            let target = backends::refer(cx, object, &field, (name, near), "it gets no copies");
            Mirror { target, percent: given.percent, host: None }
        };
        let mirrors = self.given.mirror.iter().enumerate().map(refer);
        // Where there is nobody to get copies there is nothing to do.
        mirrors.filter(|mirror| matches!(mirror.target, BackendTarget::Backend(_))).collect()
    }
}

/// What is said of a RouteRule as an object: its problems, and conditions for each of its targets. Without `hosts` they
/// are not served here, and nothing is said of them.
pub fn translate<'r>(
    cx: &mut Context<'_, 'r>,
    rule: &RouteRule,
    (ours, hosts): (bool, Option<&dyn Hosts<'r>>),
) -> ObjectTranslation {
    let object = object_ref(Kind::RouteRule, &rule.metadata);
    let near = Near::of(cx, object_ref(Kind::RouteRule, &rule.metadata));
    // Told by the policy itself.
    cx.problems.clear();
    let target = rule.spec.targets.iter().find_map(|target| target_service(cx.reader, rule, target));
    let mut drafted = Vec::new();
    for (index, given) in rule.spec.rules.iter().enumerate() {
        let target = target.as_ref();
        Draft { rule, index, given, near: &near }.routes(cx, target, &mut drafted);
    }
    cx.problems.retain(|problem| problem.object == object);
    cx.problems.extend(check::duplicates(&drafted, false));
    shape::check(cx, &object, rule);
    let (mut targets, mut of_targets) = (Vec::new(), Vec::new());
    for (index, target) in rule.spec.targets.iter().enumerate() {
        if hosts.is_none() && targets::is_host(target) {
            continue;
        }
        let field = format!("spec.targets[{index}]");
        let wrong = check::check_target(cx, (rule, &drafted), &field, (target, hosts));
        targets.push(conditions(targets::print_route_target(target), &cx.problems, wrong.first()));
        of_targets.extend(wrong);
    }
    let mut problems = std::mem::take(&mut cx.problems);
    problems.extend(of_targets);
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
    let mut ports = tcp_ports(found);
    let port = match target.port {
        None => ports.next(),
        // That it is not there is told of the target.
        Some(port) => Some(ports.find(|other| *other == port)?),
    };
    Some(Rules { service: BackendName { namespace, service, port }, is_limited: false })
}
