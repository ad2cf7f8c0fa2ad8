//! Settings of the router that translation depends on.

use std::{collections::BTreeMap, sync::Arc};

use selvedge_common::{
    id::ListenerName,
    kube::store::ServiceName,
    model::{Backend, Listener, Retry, Timeouts, Tracing},
};

/// What translation must know beside the objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Namespaces whose Services are served (`--namespace`); empty serves all.
    pub namespaces: Vec<String>,
    /// What hosts may end with after the name of a Service and its namespace, in lower case and without dots around
    /// (`--suffix`).
    pub suffixes: Vec<Arc<str>>,
    /// Domain of the Kubernetes cluster, in the same form (`--cluster-domain`).
    pub cluster_domain: Arc<str>,
    /// Pass requests for unknown destinations on instead of refusing them (`--pass-through`).
    pub pass_through: bool,
    /// How long requests may take where objects say nothing else.
    pub timeouts: Timeouts,
    /// When requests are tried again where objects say nothing else.
    pub retry: Retry,
    /// How backends are spoken to where objects say nothing else.
    pub backend: Backend,
    /// Which requests are traced (`--otlp-endpoint`).
    pub tracing: Option<Tracing>,
    /// The Service of the router, if Services are to be switched to it (`--switch-services`, `--router-service`).
    pub switches_to: Option<ServiceName>,
    /// Where clients connect, with the set of routes that translation fills.
    pub listeners: BTreeMap<ListenerName, Listener>,
}

impl Settings {
    /// Whether Services of this namespace are served.
    pub fn serves_namespace(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|served| served == namespace)
    }
}
