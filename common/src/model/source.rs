//! Sources: what is known of whoever sends requests from an address.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Caller;

/// What sends requests: its principal, and the workload that it is part of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Principal, for rules and limits.
    pub caller: Arc<Caller>,
    /// `namespace/workload`, for metrics and the graph of services: what the replicas of one program have in common,
    /// for example the Deployment of a pod.
    pub workload: Arc<str>,
}

impl Source {
    /// The source of which nothing but its principal is known; that stands for its workload, too.
    pub fn of_caller(caller: Arc<Caller>) -> Self {
        let workload = caller.to_string().into();
        Self { caller, workload }
    }
}
