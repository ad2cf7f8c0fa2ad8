//! Said: what an Ingress says of itself, by its class and its annotations, read once for all of its routes.

use std::sync::Arc;

use selvedge_common::kube::ingress::Ingress;

use super::Context;
use crate::{
    annotations::Annotations,
    class::{self, Selection},
    globals::Globals,
};

/// What an Ingress says beside its rules.
#[derive(Debug, Default)]
pub struct Said {
    /// Whether its class was taken over from ingress-nginx, so that it counts on the ways of that one.
    pub adopted: bool,
    /// Its annotations. What is wrong with them is told once for the Ingress, not for each of its routes.
    pub annotations: Annotations,
    /// What its class says for all of them.
    pub globals: Arc<Globals>,
}

impl Said {
    /// Whether its backends get requests of another Ingress.
    pub(super) fn is_canary(&self) -> bool {
        self.annotations.canary.is_one()
    }
}

impl<'r> Context<'_, 'r> {
    /// What an Ingress of ours says; routes come Ingress by Ingress, so the last one is kept.
    pub(super) fn said(&mut self, ingress: &'r Ingress) -> Arc<Said> {
        if let Some((last, said)) = &self.last_said
            && std::ptr::eq(*last, ingress)
        {
            return said.clone();
        }
        let Selection { adopted, class, .. } = class::select(self.settings, self.reader, ingress);
        let globals = self.globals(adopted, class);
        let annotations = Annotations::counting(ingress, adopted, &globals.usual);
        let said = Arc::new(Said { adopted, annotations, globals });
        self.last_said = Some((ingress, said.clone()));
        said
    }
}
