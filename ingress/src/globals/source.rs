//! Sources: the objects that settings are written in, for whoever has to be told of them.

use selvedge_common::id::ObjectRef;

use super::parameters;

/// Where settings are written.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In the ConfigMap of ingress-nginx, by their own keys.
    ConfigMap(&'a ObjectRef),
    /// In EdgeParameters, by the fields that mean them.
    Parameters(&'a ObjectRef),
}

impl<'a> Source<'a> {
    /// The object.
    pub(super) fn object(self) -> &'a ObjectRef {
        match self {
            Self::ConfigMap(object) | Self::Parameters(object) => object,
        }
    }

    /// The field of it that a setting is in.
    pub(super) fn field(self, setting: &str) -> String {
        match self {
            Self::ConfigMap(_) => field(setting),
            Self::Parameters(_) => format!("spec.{}", parameters::field(setting).unwrap_or(setting)),
        }
    }

    /// Whether it was written for another program, so that its owner has to be told what becomes of each setting here.
    /// What a field of ours does, its description says.
    pub(super) fn is_foreign(self) -> bool {
        matches!(self, Self::ConfigMap(_))
    }
}

/// The field of a ConfigMap that a key is.
pub(crate) fn field(name: &str) -> String {
    format!("data[{name}]")
}
