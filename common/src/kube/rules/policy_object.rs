//! TrafficPolicies as objects: what is wrong with them, and conditions for each of their targets.

use selvedge_crds::{
    TrafficPolicy,
    traffic_policy::{PolicyTarget, PolicyTargetKind},
};

use super::{
    Context, Policy, conditions,
    targets::{self, namespace, object_ref},
};
use crate::{
    kube::{near, objects::Kind, translation::ObjectTranslation},
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
    let mut statuses = Vec::new();
    for (index, target) in policy.spec.targets.iter().enumerate() {
        let wrong = check_target(cx, policy, &format!("spec.targets[{index}]"), (target, kinds));
        statuses.push(conditions(targets::print_policy_target(target), &cx.problems, wrong.as_ref()));
        cx.problems.extend(wrong);
    }
    let problems = std::mem::take(&mut cx.problems);
    ObjectTranslation { ours, targets: statuses, problems }
}

fn check_target(
    cx: &Context<'_, '_>,
    policy: &TrafficPolicy,
    field: &str,
    (target, kinds): (&PolicyTarget, &[Kind]),
) -> Option<Problem> {
    let object = object_ref(Kind::TrafficPolicy, &policy.metadata);
    let own = namespace(&policy.metadata);
    let wrong = |reason: &str, message: String| {
        Some(Problem::error(&object, format!("{field}.name"), reason, message))
    };
    let kind = match target.kind {
        PolicyTargetKind::Namespace => return conflict(cx, policy, field, target),
        PolicyTargetKind::Service => Kind::Service,
        PolicyTargetKind::RouteRule => Kind::RouteRule,
        PolicyTargetKind::Ingress => Kind::Ingress,
        PolicyTargetKind::HttpRoute => {
            let message =
                "HTTPRoutes are not read, so the policy has no effect for it; attach it to a Service";
            return wrong("UnsupportedTarget", message.to_owned());
        }
    };
    let Some(name) = target.name.as_deref() else {
        return wrong("InvalidTarget", "name the object".to_owned());
    };
    if kinds.contains(&kind) && cx.reader.object(kind, own, name).is_none() {
        let hint = near::suggest(name, cx.reader.names(kind, own));
        let message = format!("there is no {} {name:?} in namespace {own:?}{hint}", kind.name());
        return wrong("TargetNotFound", format!("{message}; the policy waits for it"));
    }
    conflict(cx, policy, field, target)
}

/// An older policy for the same target says what this one says, too: then that one counts.
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
    for other in older.filter(|other| other.spec.targets.contains(target)) {
        let fields = both_say(policy, other);
        if !fields.is_empty() {
            let message = format!(
                "{} is older and says {} for the same target, so what this one says of it has no effect",
                object_ref(Kind::TrafficPolicy, &other.metadata),
                fields.join(", ")
            );
            return Some(Problem::warning(&object, field, "PolicyConflict", message));
        }
    }
    None
}

/// The fields that both policies give.
fn both_say(one: &TrafficPolicy, other: &TrafficPolicy) -> Vec<String> {
    let given = |policy: &TrafficPolicy| match serde_json::to_value(&policy.spec) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let other = given(other);
    given(one)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name != "targets" && other.contains_key(name))
        .collect()
}
