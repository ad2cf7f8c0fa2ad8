//! Certificates of clients: what a host asks of all who come, by the oldest of its Ingresses that says it.

use std::sync::Arc;

use selvedge_common::{
    filter::Filter,
    kube::{ingress::Ingress, secret},
    model::{ClientVerification, HostMatch, Problem, VirtualHost},
};

use super::{Context, annotation_field, draft::close, ingress_ref, namespace, rule::rules_of};

/// Key of the certificates of authorities in a Secret.
const AUTHORITIES: &str = "ca.crt";
const KEY: &str = "auth-tls-secret";

/// Asks the clients of a host for certificates, where one of its Ingresses says so. Where what is needed for that is
/// missing nobody comes in.
pub(super) fn ask<'r>(
    cx: &mut Context<'_, 'r>,
    (ingresses, host): (&[&'r Arc<Ingress>], &HostMatch),
    virtual_host: &mut VirtualHost,
) {
    let named = ingresses.iter().copied().filter(|ingress| rules_of(ingress, host).next().is_some());
    let Some(first) = named.into_iter().find(|ingress| {
        let said = cx.said(ingress);
        !said.is_canary() && said.annotations.client_certificates.secret.is_some()
    }) else {
        return;
    };
    let said = cx.said(first);
    let said = &said.annotations.client_certificates;
    let Some(filter) = said.filter() else { return };
    let Some(authorities) = authorities(cx, first) else {
        virtual_host.routes.iter_mut().for_each(|route| close(route));
        return;
    };
    let depth = said.depth.map_or(1, |depth| u8::try_from(depth.0).unwrap_or(u8::MAX));
    virtual_host.client_verification = Some(Arc::new(ClientVerification { authorities, depth }));
    for route in &mut virtual_host.routes {
        route.filters.push(Filter::ClientCertificate(filter.clone()));
        Filter::sort(&mut route.filters);
    }
}

/// The authorities that a Secret holds; that there are none is told.
fn authorities<'r>(cx: &mut Context<'_, 'r>, ingress: &'r Ingress) -> Option<Arc<str>> {
    let said = cx.said(ingress);
    let wanted = said.annotations.client_certificates.secret.as_ref()?;
    let own = namespace(ingress);
    let place = wanted.namespace.as_deref().unwrap_or(own);
    let secret =
        Some(place).filter(|place| *place == own).and_then(|place| cx.reader.secret(place, &wanted.name));
    let pem = secret
        .and_then(|secret| secret::value(secret, AUTHORITIES))
        .and_then(|pem| std::str::from_utf8(pem).ok());
    if pem.is_none() {
        let message = format!(
            "Secret {place}/{} with key {AUTHORITIES:?} is not there, or in another namespace than the Ingress; all paths of \
             the host answer 503",
            wanted.name
        );
        let field = annotation_field(ingress, KEY);
        cx.parts.problems.push(Problem::error(&ingress_ref(ingress), field, "UnreadableProtection", message));
    }
    pem.map(Into::into)
}
