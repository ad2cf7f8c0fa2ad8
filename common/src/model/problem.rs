//! Problems: what is wrong with an object, told to its owner.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::ObjectRef;

/// Something in an object that has no effect or another one than its owner may expect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// The object to change.
    pub object: ObjectRef,
    /// Path of the field in the object, for example `spec.rules[0].http.paths[1].backend.service.name`.
    pub field: String,
    /// How bad it is.
    pub severity: Severity,
    /// One word for machines and for the reason of an Event, for example `ServiceNotFound`.
    pub reason: String,
    /// What is wrong and what to do, a sentence for people.
    pub message: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Part of the object has no effect.
    Error,
    /// All of it has effect, though maybe not as expected.
    Warning,
}

impl Problem {
    /// Part of the object has no effect.
    pub fn error(object: &ObjectRef, field: impl Into<String>, reason: &str, message: String) -> Self {
        Self {
            object: object.clone(),
            field: field.into(),
            severity: Severity::Error,
            reason: reason.into(),
            message,
        }
    }

    /// The object has effect, though maybe not as expected.
    pub fn warning(object: &ObjectRef, field: impl Into<String>, reason: &str, message: String) -> Self {
        Self { severity: Severity::Warning, ..Self::error(object, field, reason, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {} ({})", self.object, self.field, self.message, self.reason)
    }
}
