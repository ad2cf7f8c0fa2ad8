//! Settings: what is declared of a key of ingress-nginx's ConfigMap.

use crate::annotations::{Verdict, declared};

/// One key of the ConfigMap.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub form: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What counts without it, as one would write it; empty if that is nothing.
    pub default: &'static str,
    /// A value that somebody might write.
    pub example: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
    /// The annotation that it is the default of, without prefix; empty if it is that of none.
    pub annotation: &'static str,
    /// What counts while it cannot be read; empty if that is its default.
    pub instead: &'static str,
    /// Whether it protects the paths of its classes, so that they answer 503 while it cannot be read.
    pub protects: bool,
}

/// A key of the ConfigMap that does what it says.
pub(super) const fn setting(name: &'static str) -> Setting {
    Setting {
        name,
        form: "",
        doc: "",
        default: "",
        example: "",
        verdict: Verdict::Honoured,
        annotation: "",
        instead: "",
        protects: false,
    }
}

/// A key that counts where an Ingress has no annotation of the same name.
pub(super) const fn usual(name: &'static str) -> Setting {
    setting(name).annotation(name)
}

declared!(Setting, "Setting");

impl Setting {
    pub(super) const fn annotation(self, annotation: &'static str) -> Self {
        Self { annotation, ..self }
    }

    pub(super) const fn instead(self, instead: &'static str) -> Self {
        Self { instead, ..self }
    }
}
