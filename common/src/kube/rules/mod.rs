//! Rules: what RouteRules and TrafficPolicies say about a Service or a host, as routes of the model.

mod answers;
mod backends;
mod check;
mod conditions;
mod headers;
mod policy;
mod policy_object;
mod policy_shape;
mod requests;
mod route_rule;
mod sending;
mod shape;
mod targets;
mod tls;

pub use backends::{BackendName, Way, make, resolve};
pub use conditions::conditions;
pub use headers::header_changes;
pub use policy::{Near, Policy};
pub use policy_object::translate as translate_policy;
pub use requests::CALLER_UNKNOWN;
pub use route_rule::{Hosts, Rules, has_rules_for, of_host, of_service, translate as translate_route_rule};
pub use targets::{
    Age, age, attached_units, host_of, is_for_hosts, is_for_hosts_only, is_for_ingresses,
    is_for_ingresses_only,
};

use super::{objects::Kind, reader::Reader, translation::Parts};
use crate::{
    id::{ObjectRef, RouteSetId},
    model::{Backend, Problem, Retry, Route, Shared, Timeouts},
};

/// What a program says about routes and backends where no object says anything else.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// How long requests may take.
    pub timeouts: Shared<Timeouts>,
    /// When requests are tried again.
    pub retry: Shared<Retry>,
    /// How backends are spoken to.
    pub backend: Backend,
    /// The set that routes for hosts are in.
    pub hosts: RouteSetId,
    /// Whether callers are known here, so that `from` can hold.
    pub identifies: bool,
}

/// Where rules are translated: what is read, and what is gathered.
pub struct Context<'c, 'r> {
    /// What no object says.
    pub defaults: &'c Defaults,
    /// Where objects are read.
    pub reader: &'c Reader<'r>,
    /// What routes refer to. Problems of RouteRules are not put here but in [`problems`](Self::problems).
    pub parts: &'c mut Parts,
    /// What is wrong with the RouteRules and TrafficPolicies looked at: told once for the object, not for each of its
    /// routes.
    pub problems: Vec<Problem>,
}

impl<'c, 'r> Context<'c, 'r> {
    /// A place to translate with nothing gathered.
    pub fn new(defaults: &'c Defaults, reader: &'c Reader<'r>, parts: &'c mut Parts) -> Self {
        Self { defaults, reader, parts, problems: Vec::new() }
    }

    /// Whether there are rules or policies at all; nearly always there is nothing else to ask.
    pub fn has_rules(&self) -> bool {
        self.reader.has_any(Kind::RouteRule)
    }

    fn error(&mut self, object: &ObjectRef, field: impl Into<String>, reason: &str, message: String) {
        self.problems.push(Problem::error(object, field, reason, message));
    }

    fn warning(&mut self, object: &ObjectRef, field: impl Into<String>, reason: &str, message: String) {
        self.problems.push(Problem::warning(object, field, reason, message));
    }
}

/// Says to a route that no rule made what the policies of its Service say; `of` names it in limits of the rate.
pub fn finish(cx: &Context<'_, '_>, policy: &Policy, (of, route): (&str, &mut Route)) {
    route.timeouts = sending::timeouts(cx.defaults, policy, None);
    route.retry = sending::retry(cx.defaults, None);
    route.load_priority = policy.load_priority();
    route.filters.extend(policy.filters(of));
    crate::filter::Filter::sort(&mut route.filters);
}
