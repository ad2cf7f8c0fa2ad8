//! A route while it is being decided: annotations write into it, then it is finished.

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::{
    filter::Filter,
    id::RouteId,
    model::{BackendRef, Balance, PathMatch, Route, Timeouts},
};

use super::{Context, backend, ingress_ref, name, namespace};
use crate::annotations::Annotations;

/// A route of an Ingress before it is finished.
#[derive(Debug)]
pub struct RouteDraft<'a> {
    /// The Ingress that declares it.
    pub ingress: &'a networking::Ingress,
    /// Which part of the Ingress declares it: `0/1` is the second path of the first rule.
    pub part: String,
    /// Which paths it answers.
    pub path: PathMatch,
    /// Where requests go, as the Ingress says it.
    pub backend: &'a networking::IngressBackend,
    /// Path of `backend` in the Ingress.
    pub field: String,
    /// Whether some Ingress offers TLS for the host.
    pub host_has_tls: bool,
    /// Decisions about the request, in any order.
    pub filters: Vec<Filter>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How an endpoint is chosen.
    pub balance: Balance,
}

impl<'a> RouteDraft<'a> {
    /// A route with nothing but defaults; `field` is the path of `backend` in the Ingress.
    pub(super) fn new(
        ingress: &'a networking::Ingress,
        part: String,
        path: PathMatch,
        (field, backend): (String, &'a networking::IngressBackend),
    ) -> Self {
        Self {
            ingress,
            part,
            path,
            backend,
            field,
            host_has_tls: false,
            filters: Vec::new(),
            timeouts: Timeouts::default(),
            balance: Balance::default(),
        }
    }

    /// Lets the annotations of its Ingress decide, resolves its backend and makes the route.
    pub(super) fn finish(mut self, cx: &mut Context<'_, '_>) -> Route {
        // What is wrong with annotations is said once for the Ingress, not for each of its routes.
        let (annotations, _) = Annotations::read(self.ingress);
        self.timeouts = cx.settings.timeouts.clone();
        annotations.apply(&mut self);
        Filter::sort(&mut self.filters);
        let target = backend::resolve(cx, &self);
        let id = RouteId::new(format!("{}/{}/{}", namespace(self.ingress), name(self.ingress), self.part));
        let backends = vec![BackendRef { target, weight: 1 }];
        Route {
            filters: self.filters,
            timeouts: self.timeouts,
            retry: cx.settings.retry.clone(),
            ..Route::new(id, ingress_ref(self.ingress), self.path, backends)
        }
    }
}
