//! TrafficPolicies as objects: what is wrong with them, and conditions for each of their targets.

use std::collections::BTreeSet;

use selvedge_crds::{
    TrafficPolicy,
    traffic_policy::{PolicyTarget, PolicyTargetKind},
};
use serde_json::{Map, Value};

use super::{
    Context, Policy, conditions, policy_shape,
    targets::{self, namespace, object_ref},
};
use crate::{
    kube::{
        near,
        objects::{Kind, Object},
        service::tcp_ports,
        translation::ObjectTranslation,
    },
    model::Problem,
};

/// What is said of a TrafficPolicy as an object. `kinds` are those that are read here: what is not read cannot be
/// missed.
pub fn translate(
    cx: &mut Context<'_, '_>,
    policy: &TrafficPolicy,
    (ours, kinds): (bool, &[Kind]),
) -> ObjectTranslation {
    Policy::read(cx, policy);
    policy_shape::check(cx, &object_ref(Kind::TrafficPolicy, &policy.metadata), policy);
    let (mut statuses, mut of_targets) = (Vec::new(), Vec::new());
    for (index, target) in policy.spec.targets.iter().enumerate() {
        let wrong = check_target(cx, policy, &format!("spec.targets[{index}]"), (target, kinds));
        statuses.push(conditions(targets::print_policy_target(target), &cx.problems, wrong.as_ref()));
        of_targets.extend(wrong);
    }
    let mut problems = std::mem::take(&mut cx.problems);
    problems.extend(of_targets);
    ObjectTranslation { ours, targets: statuses, problems }
}

/// What is wrong with a target; a warning if the policy counts for it in part only.
fn check_target(
    cx: &Context<'_, '_>,
    policy: &TrafficPolicy,
    field: &str,
    (target, kinds): (&PolicyTarget, &[Kind]),
) -> Option<Problem> {
    let object = object_ref(Kind::TrafficPolicy, &policy.metadata);
    let wrong = |part: &str, reason: &str, message: String| {
        Some(Problem::error(&object, format!("{field}.{part}"), reason, message))
    };
    let kind = match target.kind {
        PolicyTargetKind::Namespace if target.name.is_some() => {
            let message = "kind Namespace means the namespace of this policy and has no name; remove it; the policy \
                           has no effect for the target";
            return wrong("name", "InvalidTarget", message.to_owned());
        }
        PolicyTargetKind::Namespace => return conflict(cx, policy, field, target),
        PolicyTargetKind::Service => Kind::Service,
        PolicyTargetKind::RouteRule => Kind::RouteRule,
        PolicyTargetKind::Ingress => Kind::Ingress,
        PolicyTargetKind::HttpRoute => {
            let message =
                "HTTPRoutes are not read, so the policy has no effect for it; attach it to a Service";
            return wrong("name", "UnsupportedTarget", message.to_owned());
        }
    };
    if target.name.is_none() {
        return wrong("name", "InvalidTarget", "name the object; the target has no effect".to_owned());
    }
    if target.port.is_some() && kind != Kind::Service {
        let message = "port is one of a Service's and needs kind Service; the target has no effect";
        return wrong("port", "InvalidTarget", message.to_owned());
    }
    let missing = if kinds.contains(&kind) { missing(cx, policy, (kind, target)) } else { None };
    match missing {
        Some((part, message)) => wrong(part, "TargetNotFound", format!("{message}; the policy waits for it")),
        None => conflict(cx, policy, field, target),
    }
}

/// What is not there of an object that is a target, or of its port.
fn missing(
    cx: &Context<'_, '_>,
    policy: &TrafficPolicy,
    (kind, target): (Kind, &PolicyTarget),
) -> Option<(&'static str, String)> {
    let own = namespace(&policy.metadata);
    let name = target.name.as_deref().unwrap_or_default();
    let Some(found) = cx.reader.object(kind, own, name) else {
        let hint = near::suggest(name, cx.reader.names(kind, own));
        return Some(("name", format!("there is no {} {name:?} in namespace {own:?}{hint}", kind.name())));
    };
    let (Object::Service(service), Some(port)) = (found, target.port) else { return None };
    let ports: Vec<_> = tcp_ports(service).collect();
    let listed: Vec<_> = ports.iter().map(ToString::to_string).collect();
    (!ports.contains(&port))
        .then(|| ("port", format!("Service {name:?} has no TCP port {port} (it has {})", listed.join(", "))))
}

/// Older policies for the same target say what this one says, too: then those count. An error if nothing is left.
fn conflict(
    cx: &Context<'_, '_>,
    policy: &TrafficPolicy,
    field: &str,
    target: &PolicyTarget,
) -> Option<Problem> {
    let object = object_ref(Kind::TrafficPolicy, &policy.metadata);
    let key = targets::policy_target(namespace(&policy.metadata), target)?;
    let policies = cx.policies_of(&key);
    let older =
        policies.iter().take_while(|other| targets::age(&other.metadata) != targets::age(&policy.metadata));
    let mut left: Vec<_> = fields(policy).into_iter().collect();
    let mut taken = Vec::new();
    for other in older.filter(|other| other.spec.targets.contains(target)) {
        let theirs = fields(other);
        let (lost, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|field| theirs.contains(field));
        left = rest;
        if !lost.is_empty() {
            taken.push(format!(
                "{} says {} of it",
                object_ref(Kind::TrafficPolicy, &other.metadata),
                lost.join(", ")
            ));
        }
    }
    if taken.is_empty() {
        return None;
    }
    let taken = taken.join(" and ");
    let say = |effect: &str| format!("{taken} and goes first, being older or first by name; {effect}");
    Some(match left.is_empty() {
        true => Problem::error(
            &object,
            field,
            "PolicyConflict",
            say("this one has no effect for the target, so remove it"),
        ),
        false => {
            Problem::warning(&object, field, "PolicyConflict", say("what is said here of that has no effect"))
        }
    })
}

/// The fields that a policy gives, each as fine as policies are put together.
fn fields(policy: &TrafficPolicy) -> BTreeSet<String> {
    let given = match serde_json::to_value(&policy.spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let parts = |(name, value): (String, Value)| match (name.as_str(), value) {
        ("targets", _) => Vec::new(),
        // An empty one of these says something, too.
        ("outlier", Value::Object(parts)) if parts.is_empty() => vec![name],
        (
            "circuitBreaking" | "connection" | "outlier" | "retryBudget" | "timeouts" | "zone",
            Value::Object(parts),
        ) => parts.into_iter().map(|(part, _)| format!("{name}.{part}")).collect(),
        _ => vec![name],
    };
    given.into_iter().flat_map(parts).collect()
}
