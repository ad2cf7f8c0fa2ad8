//! Canary: which of the requests of a route go to the backend of another Ingress.

use std::{collections::BTreeMap, sync::Arc};

use selvedge_common::{
    id::RouteId,
    kube::{
        endpoints,
        ingress::{Ingress, IngressBackend},
    },
    model::{
        BackendRef, BackendTarget, Conditions, FieldMatch, HostMatch, PathMatch, Problem, Route, ValueMatch,
    },
};

use super::{Context, RouteDraft, ingress_ref, pattern, said::Said};
use crate::annotations::Canary;

/// A backend that gets some of the requests of a route.
#[derive(Clone, Debug)]
pub struct CanaryDraft<'a> {
    /// The Ingress that declares it.
    pub ingress: &'a Ingress,
    /// What that says.
    pub said: Arc<Said>,
    /// Which part of it declares it.
    pub part: String,
    /// Where its requests go.
    pub backend: &'a IngressBackend,
    /// Path of `backend` in the Ingress.
    pub field: String,
}

/// Who decides about a request, with what leads it there.
struct Choice {
    name: &'static str,
    condition: FieldMatch,
    is_canary: bool,
}

/// Adds a canary to the route of its path; its owner is told if it has none, or has another one already.
pub(super) fn add<'a>(
    cx: &mut Context<'_, '_>,
    drafts: &mut BTreeMap<PathMatch, RouteDraft<'a>>,
    path: &PathMatch,
    (canary, field, host): (CanaryDraft<'a>, String, &HostMatch),
) {
    let text = path.text();
    let (reason, message) = match drafts.get_mut(path) {
        None => {
            let message = format!(
                "no other Ingress has path {text} of host {host} with this pathType; it gets no requests"
            );
            ("CanaryWithoutMain", message)
        }
        Some(main) => match &main.canary {
            None => {
                main.canary = Some(canary);
                return;
            }
            Some(first) => {
                let first = ingress_ref(first.ingress);
                (
                    "CanaryConflict",
                    format!("path {text} of host {host} has the canary {first} already; it gets no requests"),
                )
            }
        },
    };
    cx.parts.problems.push(Problem::error(&ingress_ref(canary.ingress), field, reason, message));
}

/// The routes of a path with a canary: by field, by cookie, and by weight what is left.
///
/// ingress-nginx: a canary without endpoints gets nothing, and where the main backend has none the answer is 503.
pub(super) fn routes(
    cx: &Context<'_, '_>,
    main: Route,
    (canary, other): (&CanaryDraft<'_>, Route),
) -> Vec<Route> {
    let can_answer = |route: &Route| route.backends.iter().any(|backend| has_endpoints(cx, &backend.target));
    if !can_answer(&main) || !can_answer(&other) {
        return vec![main];
    }
    let said = &canary.said.annotations.canary;
    let choices = choices(said);
    let mut routes = Vec::new();
    for Choice { name, condition, is_canary } in choices {
        let mut route = if is_canary { other.clone() } else { main.clone() };
        route.id = RouteId::new(format!("{}/{name}", route.id));
        route.conditions = Conditions { headers: vec![condition], ..Conditions::default() }.into();
        routes.push(route);
    }
    let (share, rest) = said.shares();
    let mut last = main;
    if share > 0 {
        let weighed = |backends: Vec<BackendRef>, weight| {
            backends.into_iter().map(move |to| BackendRef { weight, ..to })
        };
        last.backends = weighed(last.backends, rest).chain(weighed(other.backends, share)).collect();
    }
    routes.push(last);
    for (rank, route) in (0..).zip(&mut routes) {
        route.rank = rank;
    }
    routes
}

fn has_endpoints(cx: &Context<'_, '_>, target: &BackendTarget) -> bool {
    let BackendTarget::Backend(id) = target else { return false };
    let part = cx.parts.backends.get(id);
    // Those by name are not known here.
    let source = part.and_then(|part| part.endpoints.as_ref());
    source.is_none_or(|source| !endpoints::endpoints(cx.reader, source).0.is_empty())
}

/// What decides before the weight, in this order.
fn choices(said: &Canary) -> Vec<Choice> {
    let exact = |text: &str| ValueMatch::Exact(text.into());
    let mut choices = Vec::new();
    if let Some(header) = &said.header {
        // ingress-nginx: an underscore stands for a dash.
        let name: Arc<str> = header.0.replace('_', "-").into();
        let field = |value| FieldMatch { name: name.clone(), value };
        let value = said.header_value.as_ref().map(|value| exact(&value.0));
        let by_pattern =
            said.header_pattern.as_ref().map(|text| ValueMatch::Regex(pattern::anywhere(&text.0).into()));
        match value.or(by_pattern) {
            Some(value) => choices.push(Choice { name: "header", condition: field(value), is_canary: true }),
            None => choices.extend(both("header", |word| field(exact(word)))),
        }
    }
    if let Some(cookie) = &said.cookie {
        let value = |word: &str| ValueMatch::Regex(pattern::cookie(&cookie.0, word).into());
        choices.extend(both("cookie", |word| FieldMatch { name: "cookie".into(), value: value(word) }));
    }
    choices
}

fn both(name: &'static str, condition: impl Fn(&str) -> FieldMatch) -> [Choice; 2] {
    [
        Choice { name, condition: condition("always"), is_canary: true },
        Choice { name, condition: condition("never"), is_canary: false },
    ]
}
