//! Conditions of a target, by what is wrong with it and with its object.

use crate::{
    kube::conditions::{Condition, ConditionKind, TargetStatus},
    model::{Problem, Severity},
};

/// Reasons that say that something named is not there or may not be used.
const REFERENCE_REASONS: [&str; 7] = [
    "ServiceNotFound",
    "PortNotFound",
    "ForbiddenBackend",
    "MalformedBackend",
    "UnsupportedResource",
    "RefNotPermitted",
    "CertificateNotFound",
];

/// The conditions of a target: what is wrong with it, then what is wrong with the object. A warning is told and changes
/// nothing.
pub fn conditions(target: String, problems: &[Problem], wrong: Option<&Problem>) -> TargetStatus {
    let errors = || problems.iter().filter(|problem| problem.severity == Severity::Error);
    let is_reference = |problem: &&Problem| REFERENCE_REASONS.contains(&problem.reason.as_str());
    let own_error = wrong.filter(|problem| problem.severity == Severity::Error);
    let accepted = own_error.or_else(|| errors().find(|problem| !is_reference(problem))).or(wrong);
    let unresolved = errors().find(is_reference);
    let condition = |kind: ConditionKind, problem: Option<&Problem>| {
        let failing = problem.filter(|problem| problem.severity == Severity::Error);
        let message = problem.map(|problem| format!("{}: {}", problem.field, problem.message));
        Condition {
            kind,
            holds: failing.is_none(),
            reason: failing.map_or_else(|| kind.name().to_owned(), |problem| problem.reason.clone()),
            message: message.unwrap_or_default(),
        }
    };
    let conditions = vec![
        condition(ConditionKind::Accepted, accepted),
        condition(ConditionKind::ResolvedRefs, unresolved),
    ];
    TargetStatus { target, conditions }
}
