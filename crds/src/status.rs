//! What became of an object: conditions for each of its targets, and what is wrong with it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::limits;

/// Type of the condition that says whether the object counts for a target.
pub const ACCEPTED: &str = "Accepted";
/// Type of the condition that says whether all that the object names was found and may be used.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// Most problems that a status holds.
pub const MOST_PROBLEMS: usize = 16;

/// What became of a RouteRule or TrafficPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The generation of the object that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// For how many of its targets the object is accepted: `True` for all, `False` for none, otherwise `Partly`.
    #[schemars(length(max = 16))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// What became of it for each target, in the order of `spec.targets`.
    #[schemars(length(max = 16), transform = limits::keyed_by_target)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetStatus>,
    /// What is wrong with the object and what to do, at most 16 of them.
    #[schemars(length(max = 16), transform = limits::messages)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What became of an object for one of its targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The target as text, such as `service orders`, `service orders:8080` or `host api.example.com`.
    #[schemars(length(max = 512))]
    pub target: String,
    /// Conditions `Accepted` (the object counts for this target) and `ResolvedRefs` (all that it names is there
    /// and may be used).
    #[schemars(schema_with = "conditions")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<meta::Condition>,
}

impl Status {
    /// A status; says itself what is `accepted` and keeps the first problems when there are too many.
    pub fn new(
        observed_generation: Option<i64>,
        targets: Vec<TargetStatus>,
        mut problems: Vec<String>,
    ) -> Self {
        let accepted = targets.iter().filter(|target| target.is_accepted()).count();
        let accepted = match accepted {
            0 => "False",
            all if all == targets.len() => "True",
            _ => "Partly",
        };
        problems.truncate(MOST_PROBLEMS);
        Self { observed_generation, accepted: Some(accepted.into()), targets, problems }
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
