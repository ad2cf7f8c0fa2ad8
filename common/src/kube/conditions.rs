//! Conditions: what the status of an object of ours says of each of its targets.

/// What a status says of one target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetStatus {
    /// The target as a person reads it, for example `Service orders`.
    pub target: String,
    /// One of each type.
    pub conditions: Vec<Condition>,
}

/// One condition (Kubernetes `metav1.Condition`) without its times, which whoever writes it knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// What it is about.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub holds: bool,
    /// One word for machines, for example `ServiceNotFound`.
    pub reason: String,
    /// A sentence for people; empty where all is well.
    pub message: String,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionKind {
    /// The object is well formed and in effect for the target.
    Accepted,
    /// Everything that it refers to exists and may be used.
    ResolvedRefs,
}

impl ConditionKind {
    /// As the status spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
        }
    }
}
