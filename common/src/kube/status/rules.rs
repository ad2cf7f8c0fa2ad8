//! Our entry in the status of kinds of ours: conditions for each target, and what is wrong.

use std::collections::BTreeSet;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1 as meta, jiff::Timestamp};
use selvedge_crds::{
    ControllerStatus,
    status::{LONGEST_MESSAGE, LONGEST_TARGET, TargetStatus as GivenTarget},
};
use serde_json::json;

use super::{Due, KnownStatus, StatusInput, Write};
use crate::kube::{
    conditions::{Condition, TargetStatus},
    objects::Object,
    translation::StatusChange,
};

/// What we say of an object of ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The generation of the object that was translated.
    pub generation: Option<i64>,
    /// What became of it for each target.
    pub targets: Vec<TargetStatus>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// What the writer must know of an object whose status has entries by the names of their controllers; `None` for other
/// kinds.
pub fn seen(object: &Object, change: StatusChange, controller: &str) -> Option<StatusInput> {
    let status = match object {
        Object::RouteRule(rule) => rule.status.as_ref(),
        Object::TrafficPolicy(policy) => policy.status.as_ref(),
        Object::EdgeParameters(parameters) => parameters.status.as_ref(),
        _ => return None,
    };
    let current = status.and_then(|status| status.of(controller)).cloned();
    let StatusChange { key, ours, targets, problems } = change;
    let generation = object.about().generation;
    let wanted = ours.then_some(Verdict { generation, targets, problems });
    Some(StatusInput::Seen { key, known: KnownStatus::Rule { wanted, current } })
}

/// What is to be done about the entry of this controller at this time.
pub(super) fn due(
    wanted: Option<&Verdict>,
    current: Option<&ControllerStatus>,
    (controller, now): (&str, Timestamp),
) -> Due {
    let shall = wanted.map(|verdict| entry(verdict, current, (controller, now)));
    if shall.as_ref().map(sorted) == current.map(sorted) {
        return if shall.is_some() { Due::Nothing } else { Due::Forget };
    }
    // What is left out is withdrawn.
    let status = shall.as_ref().map(|entry| json!({"controllers": [entry]}));
    let then = wanted.map(|verdict| KnownStatus::Rule { wanted: Some(verdict.clone()), current: shall });
    Due::Write(Box::new(Write { status, then }))
}

/// The entry that says this. A condition whose status stays keeps its time.
fn entry(
    verdict: &Verdict,
    current: Option<&ControllerStatus>,
    (controller, now): (&str, Timestamp),
) -> ControllerStatus {
    let mut names = BTreeSet::new();
    let mut targets = Vec::new();
    for target in &verdict.targets {
        let name: String = target.target.chars().take(LONGEST_TARGET).collect();
        // The API server tells them apart by their names. An object from before it checked may name one twice.
        if !names.insert(name.clone()) {
            continue;
        }
        let before = current.and_then(|entry| entry.targets.iter().find(|before| before.target == name));
        let before = before.map(|before| &before.conditions[..]).unwrap_or_default();
        let conditions = target.conditions.iter();
        let conditions =
            conditions.map(|condition| dated(condition, verdict.generation, (before, now))).collect();
        targets.push(GivenTarget { target: name, conditions });
    }
    ControllerStatus::new(controller, verdict.generation, targets, &verdict.problems)
}

/// The condition with the time at which its status changed last.
fn dated(
    condition: &Condition,
    generation: Option<i64>,
    (before, now): (&[meta::Condition], Timestamp),
) -> meta::Condition {
    let type_ = condition.kind.name();
    let status = if condition.holds { "True" } else { "False" };
    let same = before.iter().find(|before| before.type_ == type_ && before.status == status);
    meta::Condition {
        type_: type_.into(),
        status: status.into(),
        reason: condition.reason.clone(),
        message: condition.message.chars().take(LONGEST_MESSAGE).collect(),
        observed_generation: generation,
        last_transition_time: same.map_or(meta::Time(now), |same| same.last_transition_time.clone()),
    }
}

/// The same in an order of its own: that of lists with keys says nothing.
fn sorted(entry: &ControllerStatus) -> ControllerStatus {
    let mut entry = entry.clone();
    entry.targets.sort_by(|a, b| a.target.cmp(&b.target));
    for target in &mut entry.targets {
        target.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::conditions::ConditionKind;

    const ROUTER: &str = "selvedge.dev/router";

    fn verdict(generation: i64, holds: bool) -> Verdict {
        let condition = |kind, holds| Condition {
            kind,
            holds,
            reason: if holds { "Accepted" } else { "TargetNotFound" }.into(),
            message: String::new(),
        };
        let conditions =
            vec![condition(ConditionKind::Accepted, holds), condition(ConditionKind::ResolvedRefs, true)];
        let target = TargetStatus { target: "service orders".into(), conditions };
        Verdict { generation: Some(generation), targets: vec![target], problems: Vec::new() }
    }

    fn at(second: i64) -> (&'static str, Timestamp) {
        (ROUTER, Timestamp::from_second(second).unwrap())
    }

    fn times(entry: &ControllerStatus) -> Vec<i64> {
        let conditions = entry.targets.iter().flat_map(|target| &target.conditions);
        conditions.map(|condition| condition.last_transition_time.0.as_second()).collect()
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let first = entry(&verdict(1, false), None, at(10));
        assert_eq!((first.accepted.as_deref(), times(&first)), (Some("False"), vec![10, 10]));
        let second = entry(&verdict(2, false), Some(&first), at(20));
        assert_eq!((second.observed_generation, times(&second)), (Some(2), vec![10, 10]));
        let third = entry(&verdict(2, true), Some(&second), at(30));
        assert_eq!((third.accepted.as_deref(), times(&third)), (Some("True"), vec![30, 10]));
    }

    #[test]
    fn what_says_the_same_is_not_written_whatever_its_order() {
        let mut current = entry(&verdict(1, true), None, at(10));
        let due_for = |verdict: Option<&Verdict>, current: &ControllerStatus| {
            matches!(due(verdict, Some(current), at(20)), Due::Write(_))
        };
        assert!(!due_for(Some(&verdict(1, true)), &current));
        current.targets[0].conditions.reverse();
        assert!(!due_for(Some(&verdict(1, true)), &current));
        assert!(due_for(Some(&verdict(2, true)), &current));
        assert!(due_for(Some(&Verdict { problems: vec!["new".into()], ..verdict(1, true) }), &current));
        assert!(due_for(None, &current));
        assert!(matches!(due(None, None, at(20)), Due::Forget));
    }

    #[test]
    fn a_target_that_is_there_twice_has_one_entry() {
        let mut twice = verdict(1, true);
        twice.targets.extend(twice.targets.clone());
        assert_eq!(entry(&twice, None, at(10)).targets.len(), 1);
    }
}
