//! Ways in which one object names another.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(transform = limits::name)]
    pub secret: String,
}

/// A Secret or a ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.secret) != has(self.configMap)",
    "name exactly one of secret and configMap",
))]
pub struct SecretOrConfigMap {
    /// Name of the Secret, which is of type kubernetes.io/tls, as no others are read. A ConfigMap does as well: what
    /// authorities sign with is not in it.
    #[schemars(transform = limits::name)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Name of the ConfigMap.
    #[schemars(transform = limits::name)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<String>,
}
