//! What became of an object: for each program that reads it conditions for each target, and what is wrong with it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::limits;

/// Type of the condition that says whether the object counts for a target.
pub const ACCEPTED: &str = "Accepted";
/// Type of the condition that says whether all that the object names was found and may be used.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// Most targets that an entry of a status holds.
pub const MOST_TARGETS: usize = 16;
/// Most characters of a target as text.
pub const LONGEST_TARGET: usize = 512;
/// Most problems that an entry of a status holds.
pub const MOST_PROBLEMS: usize = 16;
/// Most characters of a problem.
pub const LONGEST_PROBLEM: usize = 1024;
/// Most characters of the message of a condition.
pub const LONGEST_MESSAGE: usize = 32_768;

/// What became of an object. The edge and the router can both have a say in one; each writes its own entry and leaves the
/// others alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What each program that the object is for made of it.
    #[schemars(length(max = 8), transform = limits::keyed_by_name)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<ControllerStatus>,
}

/// What one program made of an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControllerStatus {
    /// Name of the program: `selvedge.dev/ingress` is the edge, `selvedge.dev/router` the router.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The generation of the object that this entry speaks of. While it is less than `metadata.generation` the last
    /// change has not been looked at yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// For how many of its targets the object is accepted: `True` for all, `False` for none, otherwise `Partly`.
    #[schemars(transform = limits::accepted)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// What became of it for each target: in the order of `spec.targets`, or of the names of the classes that name
    /// EdgeParameters.
    #[schemars(length(max = 16), transform = limits::keyed_by_target)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetStatus>,
    /// What is wrong with the object and what to do, at most 16 of them, each with the field that it is about.
    #[schemars(length(max = 16), transform = limits::messages)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What became of an object for one of its targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The target as text, such as `service orders`, `service orders:8080`, `host api.example.com` or `class public`.
    #[schemars(length(max = 512))]
    pub target: String,
    /// Conditions `Accepted` (the object counts for this target) and `ResolvedRefs` (all that it names is there
    /// and may be used).
    #[schemars(schema_with = "conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<meta::Condition>,
}

impl Status {
    /// The entry of the program of this name.
    pub fn of(&self, controller: &str) -> Option<&ControllerStatus> {
        self.controllers.iter().find(|entry| entry.name == controller)
    }
}

impl ControllerStatus {
    /// An entry; says itself what is `accepted`, and holds no more than an entry may: the first targets and problems
    /// of too many, and the begin of a problem that is too long.
    pub fn new(
        name: &str,
        observed_generation: Option<i64>,
        mut targets: Vec<TargetStatus>,
        problems: &[String],
    ) -> Self {
        let accepted = targets.iter().filter(|target| target.is_accepted()).count();
        let accepted = match accepted {
            0 => "False",
            all if all == targets.len() => "True",
            _ => "Partly",
        };
        targets.truncate(MOST_TARGETS);
        let problems = problems.iter().take(MOST_PROBLEMS);
        let problems = problems.map(|problem| problem.chars().take(LONGEST_PROBLEM).collect()).collect();
        Self { name: name.into(), observed_generation, accepted: Some(accepted.into()), targets, problems }
    }
}

impl TargetStatus {
    /// Whether its condition `Accepted` is `True`.
    pub fn is_accepted(&self) -> bool {
        self.conditions.iter().any(|condition| condition.type_ == ACCEPTED && condition.status == "True")
    }
}

/// The schema of a list of `metav1.Condition`.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the state.",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "Which aspect: Accepted or ResolvedRefs.",
                    "maxLength": 316,
                },
                "status": {
                    "type": "string",
                    "description": "Whether it holds.",
                    "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The generation of the object that it speaks of.",
                    "minimum": 0,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When its status changed last.",
                },
                "reason": {
                    "type": "string",
                    "description": "Why, as one word for programs.",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "type": "string",
                    "description": "Why, for people.",
                    "maxLength": 32768,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, accepted: bool) -> TargetStatus {
        let status = if accepted { "True" } else { "False" };
        let condition = serde_json::json!({"type": ACCEPTED, "status": status, "reason": ACCEPTED, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        TargetStatus { target: name.into(), conditions: vec![serde_json::from_value(condition).unwrap()] }
    }

    #[test]
    fn accepted_speaks_of_all_targets_together() {
        let cases =
            [(&[true, true][..], "True"), (&[true, false], "Partly"), (&[false], "False"), (&[], "False")];
        for (targets, wanted) in cases {
            let targets = targets.iter().map(|accepted| target("service a", *accepted)).collect();
            let entry = ControllerStatus::new("a", Some(1), targets, &[]);
            assert_eq!(entry.accepted.as_deref(), Some(wanted));
        }
    }

    #[test]
    fn an_entry_holds_no_more_than_the_api_server_takes() {
        let targets = (0..20).map(|number| target(&format!("service s{number}"), true)).collect();
        let entry = ControllerStatus::new("a", None, targets, &vec!["\u{e4}".repeat(2000); 20]);
        assert_eq!((entry.targets.len(), entry.problems.len()), (MOST_TARGETS, MOST_PROBLEMS));
        assert_eq!(entry.problems[0].chars().count(), LONGEST_PROBLEM);
    }
}
