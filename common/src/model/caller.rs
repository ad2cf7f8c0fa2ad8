//! Callers: the principal that every way of telling who asks comes down to.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Who sends a request: a Kubernetes ServiceAccount. Printed as `namespace/service_account`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// Namespace of the ServiceAccount.
    pub namespace: Arc<str>,
    /// Name of the ServiceAccount.
    pub service_account: Arc<str>,
}

impl Caller {
    /// The caller with these names.
    pub fn new(namespace: &str, service_account: &str) -> Self {
        Self { namespace: namespace.into(), service_account: service_account.into() }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)
    }
}

#[cfg(test)]
mod tests {
    use super::Caller;

    #[test]
    fn a_caller_prints_as_a_user_would_type_it() {
        assert_eq!(Caller::new("web", "frontend").to_string(), "web/frontend");
    }
}
