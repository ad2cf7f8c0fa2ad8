//! A route while it is being decided: annotations write into it, then it is finished.

use std::{sync::Arc, time::Duration};

use selvedge_common::{
    filter::{Filter, Networks},
    id::RouteId,
    kube::{
        ingress::{Ingress, IngressBackend},
        rules::{self, Policy},
    },
    model::{BackendRef, BackendTarget, Balance, ClientFields, InvalidBackend, PathMatch, Retry, Route},
};

use super::{
    AskDraft, Context, ErrorDraft, MirrorDraft, PasswordDraft, Via, backend, canary,
    canary::CanaryDraft,
    error_service, extras, globals, ingress_ref, name, namespace,
    protection::{self, Lost},
    said::Said,
    tls,
    traces::{self, TracingDraft},
    upstream::UpstreamDraft,
};
use crate::annotations::form::ObjectName;

/// A route of an Ingress before it is finished.
#[derive(Clone, Debug)]
pub struct RouteDraft<'a> {
    /// The Ingress that declares it.
    pub ingress: &'a Ingress,
    /// The Ingress whose annotations count: the same one but for canaries.
    pub speaker: &'a Ingress,
    /// What that one says.
    pub said: Arc<Said>,
    /// Which part of the Ingress declares it: `0/1` is the second path of the first rule.
    pub part: String,
    /// Which paths it answers.
    pub path: PathMatch,
    /// The path as the Ingress writes it.
    pub written: Arc<str>,
    /// Where requests go, as the Ingress says it.
    pub backend: &'a IngressBackend,
    /// Path of `backend` in the Ingress.
    pub field: String,
    /// Whether the class of the Ingress was taken over from ingress-nginx, so that its ways count.
    pub adopted: bool,
    /// Whether some Ingress offers TLS for the host.
    pub host_has_tls: bool,
    /// A backend that gets some of its requests.
    pub canary: Option<CanaryDraft<'a>>,
    /// What answers instead of anything else.
    pub elsewhere: Option<Filter>,
    /// Decisions about the request, in any order.
    pub filters: Vec<Filter>,
    /// Longest wait for an answer; `None` leaves it to policies and flags, as everywhere below.
    pub request_timeout: Option<Duration>,
    /// Longest wait for the answer to one try.
    pub try_timeout: Option<Duration>,
    /// Time after which nothing is tried again.
    pub all_tries_timeout: Option<Duration>,
    /// Longest silence within an answer.
    pub backend_idle_timeout: Option<Duration>,
    /// When requests are tried again.
    pub retry: Option<Retry>,
    /// How an endpoint is chosen.
    pub balance: Option<Balance>,
    /// How the backend is spoken to.
    pub upstream: UpstreamDraft,
    /// Which way requests go; `None` leaves it to the Service.
    pub via: Option<Via>,
    /// ConfigMap with header fields of answers.
    pub custom_headers: Option<ObjectName>,
    /// Who gets copies.
    pub mirror: Option<MirrorDraft>,
    /// Passwords that are asked for.
    pub passwords: Option<PasswordDraft>,
    /// Who is asked whether a request may pass.
    pub asks: Option<AskDraft>,
    /// Whether one of several protections is enough.
    pub satisfies_any: bool,
    /// Who is not asked.
    pub spared: Networks,
    /// Who answers instead of an error.
    pub errors: Option<ErrorDraft>,
    /// Whether its requests are left out of the access log.
    pub unlogged: bool,
    /// How its requests are traced.
    pub tracing: TracingDraft,
    /// Whether what shall protect it cannot be kept up, so that nothing may pass.
    pub unprotected: bool,
}

impl<'a> RouteDraft<'a> {
    /// A route with nothing but defaults; `field` is the path of `backend` in the Ingress.
    pub(super) fn new(
        (ingress, said): (&'a Ingress, Arc<Said>),
        part: String,
        (path, written): (PathMatch, Arc<str>),
        (field, backend): (String, &'a IngressBackend),
    ) -> Self {
        Self {
            ingress,
            speaker: ingress,
            adopted: said.adopted,
            host_has_tls: said.adopted && !tls(ingress).is_empty(),
            said,
            part,
            path,
            written,
            backend,
            field,
            canary: None,
            elsewhere: None,
            filters: Vec::new(),
            request_timeout: None,
            try_timeout: None,
            all_tries_timeout: None,
            backend_idle_timeout: None,
            retry: None,
            balance: None,
            upstream: UpstreamDraft::default(),
            via: None,
            custom_headers: None,
            mirror: None,
            passwords: None,
            asks: None,
            satisfies_any: false,
            spared: Networks::default(),
            errors: None,
            unlogged: false,
            tracing: TracingDraft::default(),
            unprotected: false,
        }
    }

    /// The Ingress whose annotations count, by namespace and name.
    pub(crate) fn speaker_name(&self) -> String {
        format!("{}/{}", namespace(self.speaker), name(self.speaker))
    }

    /// The Service that it leads to, and namespace and name of its Ingress.
    pub(crate) fn names(&self) -> [&str; 3] {
        let service = self.backend.service.as_ref().map_or("", |service| &*service.name);
        [service, namespace(self.ingress), name(self.ingress)]
    }

    /// The port of that Service as the Ingress writes it, by name or number.
    pub(super) fn port(&self) -> String {
        let port = self.backend.service.as_ref().and_then(|service| service.port.as_ref());
        let port = port.and_then(|port| {
            let name = port.name.as_deref().map(str::to_owned);
            name.or(port.number.map(|number| number.to_string()))
        });
        port.unwrap_or_default()
    }

    /// The path as the Ingress writes it.
    pub(crate) fn written_path(&self) -> &str {
        &self.written
    }

    /// The path that cookies are for. A regular expression is none that a client would understand.
    pub(crate) fn cookie_path(&self) -> Arc<str> {
        match &self.path {
            PathMatch::RegexBegin(_) => "/".into(),
            _ => self.written.clone(),
        }
    }

    /// Whether it is for what no path of its host wants, and so comes after each of them.
    pub(super) fn is_for_all_else(&self) -> bool {
        self.part.ends_with("default")
    }

    /// Lets the annotations of its Ingress decide, resolves its backend and makes the route, or several where a canary
    /// gets some of its requests.
    pub(super) fn finish(mut self, cx: &mut Context<'_, '_>) -> Vec<Route> {
        if let Some(filter) = self.elsewhere.take() {
            let mut route = Route::new(self.id(), ingress_ref(self.ingress), self.path, Vec::new());
            let strict = self.said.globals.strict_transport.clone().map(Filter::StrictTransport);
            route.filters.extend(strict);
            route.filters.push(filter);
            return vec![route];
        }
        let said = self.said.clone();
        said.annotations.apply(&mut self);
        globals::add(&mut self);
        match extras::custom_headers(cx, &self) {
            Ok(filter) => self.filters.extend(filter),
            Err(Lost) => self.unprotected = true,
        }
        match protection::filters(cx, &self) {
            Ok(filters) => self.filters.extend(filters),
            Err(Lost) => self.unprotected = true,
        }
        let canary = self.canary.take().filter(|_| !self.unprotected);
        let main = self.route(cx);
        match canary {
            None => vec![main],
            Some(canary) => {
                let other = self.of_canary(&canary).route(cx);
                canary::routes(cx, main, (&canary, other))
            }
        }
    }

    /// The same for the backend of a canary.
    fn of_canary(&self, canary: &CanaryDraft<'a>) -> Self {
        let annotations = &canary.said.annotations;
        let mut draft = self.clone();
        (draft.ingress, draft.backend) = (canary.ingress, canary.backend);
        (draft.part, draft.field) = (canary.part.clone(), canary.field.clone());
        draft.balance = annotations.balance.chosen().or(draft.balance);
        // One that goes through the router could not share a route with one that does not.
        draft.via = Some(Via::Direct);
        draft
    }

    fn id(&self) -> RouteId {
        RouteId::new(format!("{}/{}/{}", namespace(self.ingress), name(self.ingress), self.part))
    }

    fn route(&self, cx: &mut Context<'_, '_>) -> Route {
        let led = backend::resolve(cx, self);
        let backends = vec![BackendRef { target: led.target, weight: 1 }];
        let mut route = Route::new(self.id(), ingress_ref(self.ingress), self.path.clone(), backends);
        route.filters.clone_from(&self.filters);
        // Last, so that no other change of fields has a say in them.
        route.filters.extend(led.filters);
        route.rules = led.rules.map(Box::new);
        route.unlogged = self.unlogged;
        route.tracing = traces::of_route(cx, self);
        if self.adopted {
            route.client_fields = ClientFields::IngressNginx;
        }
        let annotated = Policy::of_times(self.request_timeout, self.backend_idle_timeout);
        rules::finish(&cx.rules(), &annotated.or(led.policy), (&led.limited, &mut route));
        if let Some(retry) = &self.retry {
            let body_bytes = cx.defaults.retry.body_bytes;
            let within = self.all_tries_timeout.unwrap_or_default();
            route.retry = Retry { body_bytes, within, ..retry.clone() }.into();
        }
        self.limit_tries(cx, &mut route);
        if self.unprotected {
            close(&mut route);
        } else {
            route.mirrors = extras::mirror(cx, self).into_iter().collect();
            route.error_pages = error_service::pages(cx, self);
        }
        route
    }

    /// ingress-nginx: each try has the whole time, and all of them as much as they take.
    fn limit_tries(&self, cx: &Context<'_, '_>, route: &mut Route) {
        let usual = cx.defaults.timeouts.request;
        let Some(each) = self.try_timeout.or(self.adopted.then_some(usual)) else { return };
        let again = if route.retry.on.timeout { route.retry.attempts } else { 0 };
        let all = each.saturating_mul(again.saturating_add(1));
        let all = self.all_tries_timeout.map_or(all, |limit| all.min(limit.saturating_add(each)));
        if self.request_timeout.is_none() && route.timeouts.request == usual {
            route.timeouts.request = all;
        }
        route.timeouts.backend = Some(each).filter(|each| *each < route.timeouts.request);
    }
}

/// Lets nothing through to a backend.
pub(super) fn close(route: &mut Route) {
    let weight = 1;
    route.backends = vec![BackendRef { target: BackendTarget::Invalid(InvalidBackend::Unprotected), weight }];
    route.rules = None;
    route.mirrors = Box::default();
    route.error_pages = None;
}
