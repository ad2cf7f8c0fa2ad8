//! A route while it is being decided: annotations write into it, then it is finished.

use std::time::Duration;

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::{
    filter::Filter,
    id::RouteId,
    kube::rules::{self, Policy},
    model::{BackendRef, Balance, PathMatch, Route},
};

use super::{Context, Via, backend, ingress_ref, name, namespace};
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
    /// Longest wait for an answer; `None` leaves it to policies and flags, as everywhere below.
    pub request_timeout: Option<Duration>,
    /// Longest silence within an answer.
    pub backend_idle_timeout: Option<Duration>,
    /// How an endpoint is chosen.
    pub balance: Option<Balance>,
    /// Which way requests go; `None` leaves it to the Service.
    pub via: Option<Via>,
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
            request_timeout: None,
            backend_idle_timeout: None,
            balance: None,
            via: None,
        }
    }

    /// Whether it is for what no path of its host wants, and so comes after each of them.
    pub(super) fn is_for_all_else(&self) -> bool {
        self.part.ends_with("default")
    }

    /// Lets the annotations of its Ingress decide, resolves its backend and makes the route.
    pub(super) fn finish(mut self, cx: &mut Context<'_, '_>) -> Route {
        // What is wrong with annotations is said once for the Ingress, not for each of its routes.
        let (annotations, _) = Annotations::read(self.ingress);
        annotations.apply(&mut self);
        let led = backend::resolve(cx, &self);
        let id = RouteId::new(format!("{}/{}/{}", namespace(self.ingress), name(self.ingress), self.part));
        let backends = vec![BackendRef { target: led.target, weight: 1 }];
        let mut route = Route::new(id, ingress_ref(self.ingress), self.path, backends);
        route.filters = self.filters;
        // Last, so that no other change of fields has a say in them.
        route.filters.extend(led.filters);
        route.rules = led.rules;
        let annotated = Policy::of_times(self.request_timeout, self.backend_idle_timeout);
        rules::finish(&cx.rules(), &annotated.or(led.policy), (&led.limited, &mut route));
        route
    }
}
