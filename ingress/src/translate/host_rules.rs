//! Rules of hosts: the routes of RouteRules that count for a host, together with those of Ingresses.

use std::{cmp::Reverse, collections::BTreeMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use selvedge_common::{
    id::{BackendId, ObjectRef},
    kube::{
        ingress::{Ingress, IngressMetadata},
        objects::{Kind, Object},
        rules::{self, Age},
    },
    model::{BackendTarget, HostMatch, PathMatch, Problem, Route},
};

use super::{Context, RouteDraft, ingress_ref};

/// The routes of a host: those of Ingresses, finished, and those of RouteRules.
///
/// Where two of them look at the same requests the older object's answers, and the owner of the other one is told.
/// Among RouteRules the one of the higher priority comes before the older one.
pub(super) fn routes<'r>(
    cx: &mut Context<'_, 'r>,
    host: &HostMatch,
    mut drafts: BTreeMap<PathMatch, RouteDraft<'r>>,
) -> Vec<Route> {
    let of_rules = match cx.rules().has_rules() {
        true => {
            let owners = cx.owners(host);
            rules::of_host(&mut cx.rules(), host, &owners)
        }
        false => Vec::new(),
    };
    if of_rules.is_empty() {
        return drafts.into_values().flat_map(|draft| draft.finish(cx)).collect();
    }
    let mut routes = settle(cx, host, of_rules, &mut drafts);
    // Those of one object keep their order.
    for draft in drafts.into_values() {
        let age = age(draft.ingress);
        routes.extend(draft.finish(cx).into_iter().map(|route| (age, route)));
    }
    routes.sort_by_key(|(age, _)| *age);
    let ranked = routes.into_iter().enumerate().map(|(rank, (_, route))| {
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        Route { rank, ..route }
    });
    let mut routes: Vec<_> = ranked.collect();
    routes.sort_by(|a, b| asked_before(a).cmp(&asked_before(b)));
    keep_backends(cx, &routes);
    routes
}

/// A route with what tells the age of the object that declares it.
type Aged<'r> = (Age<'r>, Route);

/// Leaves out what another route answers in any case, and tells whose it is.
fn settle<'r>(
    cx: &mut Context<'_, 'r>,
    host: &HostMatch,
    of_rules: Vec<Route>,
    drafts: &mut BTreeMap<PathMatch, RouteDraft<'r>>,
) -> Vec<Aged<'r>> {
    let mut kept: Vec<Aged<'r>> = Vec::new();
    for route in of_rules {
        let found = cx.reader.object(Kind::RouteRule, &route.source.namespace, &route.source.name);
        let Some(Object::RouteRule(rule)) = found else { continue };
        // That one of them has no effect is told with the rules.
        if kept.iter().any(|(_, other)| is_same(other, &route)) {
            continue;
        }
        if let Some(draft) = rival(drafts, &route) {
            if !yields(draft, &rule.metadata) {
                // Told with the rules as well.
                continue;
            }
            tell(cx, draft, host, &route);
            drafts.remove(&route.path);
        }
        kept.push((rules::age(&rule.metadata), route));
    }
    kept
}

/// The route of an Ingress that looks at the same requests.
fn rival<'d, 'r>(
    drafts: &'d BTreeMap<PathMatch, RouteDraft<'r>>,
    route: &Route,
) -> Option<&'d RouteDraft<'r>> {
    drafts.get(&route.path).filter(|_| route.conditions.is_empty() && route.priority == 0)
}

/// Whether the route of an Ingress gives way to one of a RouteRule that looks at the same requests.
fn yields(draft: &RouteDraft<'_>, rule: &ObjectMeta) -> bool {
    draft.is_for_all_else() || rules::age(rule) < age(draft.ingress)
}

/// The routes of a RouteRule, by their place, that an Ingress already answers, with that Ingress.
pub(super) fn taken(
    drafts: &BTreeMap<PathMatch, RouteDraft<'_>>,
    rule: &ObjectMeta,
    routes: &[&Route],
) -> Vec<(usize, ObjectRef)> {
    let winner = |(at, route): (usize, &&Route)| {
        let winner = rival(drafts, route).filter(|draft| !yields(draft, rule))?;
        Some((at, ingress_ref(winner.ingress)))
    };
    routes.iter().enumerate().filter_map(winner).collect()
}

/// Tells the owner of an Ingress that one of its routes gave way.
fn tell(cx: &mut Context<'_, '_>, loser: &RouteDraft<'_>, host: &HostMatch, route: &Route) {
    let field = loser.field.strip_suffix(".backend").unwrap_or(&loser.field);
    let (path, winner) = (route.path.text(), &route.source);
    let message = format!(
        "path {path} of host {host} is already answered by {winner}, which comes first; it has no effect"
    );
    cx.parts.problems.push(Problem::error(&ingress_ref(loser.ingress), field, "PathConflict", message));
}

/// Whether two routes look at the same requests.
fn is_same(a: &Route, b: &Route) -> bool {
    a.priority == b.priority && a.path == b.path && a.conditions == b.conditions
}

/// As objects are ordered everywhere; an Ingress and a RouteRule that nothing else tells apart are equal.
fn age(ingress: &Ingress) -> Age<'_> {
    let IngressMetadata { creation_timestamp, namespace, name, .. } = &ingress.metadata;
    let created = creation_timestamp.as_ref().map(|time| time.0);
    (created.is_none(), created, namespace, name)
}

/// The order in which routes are asked, as far as they can be told apart without a request.
fn asked_before(route: &Route) -> (Reverse<i32>, &PathMatch, bool, u32) {
    (Reverse(route.priority), &route.path, route.conditions.is_empty(), route.rank)
}

/// Lets go of the backends of routes that were left out.
fn keep_backends(cx: &mut Context<'_, '_>, routes: &[Route]) {
    let is_used = |id: &BackendId| {
        let is_it = |target: &BackendTarget| matches!(target, BackendTarget::Backend(used) if used == id);
        routes.iter().any(|route| {
            route.backends.iter().any(|backend| is_it(&backend.target))
                || route.mirrors.iter().any(|mirror| is_it(&mirror.target))
                || route.error_pages.iter().any(|pages| is_it(&pages.target))
                || route.filters.iter().any(|filter| filter.service() == Some(id))
        })
    };
    cx.parts.backends.retain(|id, _| is_used(id));
}
