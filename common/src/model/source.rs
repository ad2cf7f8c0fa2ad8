//! Sources: what is known of whoever sends requests from an address.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Caller;

/// What sends requests: its principal, and the workload that it is part of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Principal, for rules and limits.
    pub caller: Arc<Caller>,
    /// The principal as text, `namespace/service_account`, made once for all requests.
    pub name: Arc<str>,
    /// `namespace/workload`, for metrics and the graph of services: what the replicas of one program have in common,
    /// for example the Deployment of a pod.
    pub workload: Arc<str>,
}

impl Source {
    /// The source with this principal that is part of a workload.
    pub fn new(caller: Caller, workload: &str) -> Self {
        let name = caller.to_string().into();
        Self { caller: Arc::new(caller), name, workload: workload.into() }
    }

    /// The source of which nothing but its principal is known; that stands for its workload, too.
    pub fn of_caller(caller: Arc<Caller>) -> Self {
        let name: Arc<str> = caller.to_string().into();
        Self { caller, workload: name.clone(), name }
    }
}
