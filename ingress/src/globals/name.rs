//! Names of ConfigMaps, as flags write them.

use std::{fmt, str::FromStr};

use crate::settings::SecretName;

/// A ConfigMap by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ConfigMapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ConfigMapName {
    type Err = String;

    /// Reads `namespace/name`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let SecretName { namespace, name } = text.parse()?;
        Ok(Self { namespace, name })
    }
}
