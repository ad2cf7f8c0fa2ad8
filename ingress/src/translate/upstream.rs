//! Upstream: what annotations change in how a backend is spoken to.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1 as core;
use selvedge_common::{
    id::BackendId,
    kube::{near, objects::Kind, rules::BackendName, secret, translation::BackendPart},
    model::{Affinity, Backend, BackendProtocol, BackendTls, Certificate, Discovery, Problem, Trust},
};

use super::{Context, RouteDraft, ingress_ref, name, namespace};
use crate::annotations::form::ObjectName;

/// Key of the certificates of authorities in a Secret.
const AUTHORITIES: &str = "ca.crt";

/// What annotations say of a backend; what they leave out stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamDraft {
    /// What is spoken, and whether over TLS.
    pub protocol: Option<(BackendProtocol, bool)>,
    /// Whether requests go to the address of the Service.
    pub service_address: bool,
    /// Longest time to open a connection.
    pub connect_timeout: Option<Duration>,
    /// Keeps clients where they are.
    pub affinity: Option<Affinity>,
    /// Of TLS, where it is spoken.
    pub tls: TlsDraft,
}

/// What annotations say of TLS to endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsDraft {
    /// Secret with a certificate, and authorities.
    pub secret: Option<ObjectName>,
    /// Whether certificates of endpoints are verified.
    pub verify: bool,
    /// Name that they must be for.
    pub name: Option<Arc<str>>,
    /// Whether it is sent in SNI.
    pub sends_name: bool,
}

/// Changes a backend as annotations ask for. One that differs then has an id of its own, which tells whose annotations
/// they are, so that nobody else's backend is changed.
pub(super) fn adjust(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
    service: BackendName<'_>,
    id: BackendId,
) -> BackendId {
    let Some(part) = cx.parts.backends.get(&id) else { return id };
    let mut changed = part.clone();
    apply(cx, draft, service, &mut changed);
    if cx.parts.backends.get(&id) == Some(&changed) {
        return id;
    }
    let owner = draft.speaker;
    let mut own = format!("{id}+annotations/{}/{}", namespace(owner), name(owner));
    // Cookies are for a path, and so is the backend that sets them.
    if let Some(affinity) = changed.backend.affinity.as_ref().filter(|affinity| &*affinity.path != "/") {
        own += &format!("+{}", affinity.path);
    }
    let own = BackendId::new(own);
    cx.parts.backends.insert(own.clone(), changed);
    own
}

fn apply(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>, service: BackendName<'_>, part: &mut BackendPart) {
    let said = &draft.upstream;
    let Backend { protocol, tls, connect_timeout, affinity, .. } = &mut part.backend;
    if let Some((wanted, over_tls)) = said.protocol {
        *protocol = wanted;
        *tls = over_tls.then(|| tls.take().unwrap_or_default());
    }
    if let Some(time) = said.connect_timeout {
        *connect_timeout = time;
    }
    if said.affinity.is_some() {
        affinity.clone_from(&said.affinity);
    }
    if let Some(tls) = tls
        && said.tls != TlsDraft::default()
    {
        *tls = tls_of(cx, draft, service);
    }
    if said.service_address {
        to_service(cx, draft, service, part);
    }
}

/// Sends requests to the address of the Service.
fn to_service(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
    service: BackendName<'_>,
    part: &mut BackendPart,
) {
    let found = cx.reader.service(service.namespace, service.service);
    let address = found.and_then(|found| found.spec.as_ref()?.cluster_ip.as_deref());
    match (address.filter(|address| !matches!(*address, "" | "None")), service.port) {
        (Some(address), Some(port)) => {
            part.backend.discovery = Discovery::Dns { name: address.into(), port };
            part.endpoints = None;
        }
        _ if part.endpoints.is_none() => {}
        _ => {
            let message = format!("Service {service} has no cluster IP; requests go to its endpoints");
            tell(cx, draft, "service-upstream", "NoClusterAddress", message);
        }
    }
}

/// TLS as annotations say it. Where authorities are missing nobody is believed, and requests fail.
fn tls_of(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>, service: BackendName<'_>) -> BackendTls {
    let said = &draft.upstream.tls;
    let (client_certificate, authorities) = match &said.secret {
        Some(secret) => certificates(cx, draft, secret),
        None => (None, None),
    };
    let usual = || Arc::from(format!("{}.{}.svc", service.service, service.namespace));
    match said.verify {
        true => BackendTls {
            server_name: Some(said.name.clone().unwrap_or_else(usual)),
            trust: Trust::Authorities(authorities.unwrap_or_default()),
            client_certificate,
        },
        false => BackendTls {
            server_name: said.name.clone().filter(|_| said.sends_name),
            trust: Trust::Anyone,
            client_certificate,
        },
    }
}

/// The annotation that names a Secret with a certificate to show and authorities to believe.
const SECRET: &str = "proxy-ssl-secret";

/// What a Secret holds: a certificate to show, and authorities to believe.
fn certificates(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
    name: &ObjectName,
) -> (Option<Arc<Certificate>>, Option<Arc<str>>) {
    let found = match named(cx, draft, name) {
        Ok(found) => found,
        Err(message) => {
            tell(cx, draft, SECRET, "SecretNotFound", message);
            return (None, None);
        }
    };
    let authorities =
        secret::value(found, AUTHORITIES).and_then(|pem| std::str::from_utf8(pem).ok()).map(Into::into);
    let certificate = match secret::check(found) {
        Ok(()) => Some(Arc::new(secret::read(found))),
        Err((part, _, why)) => {
            let message =
                format!("{part} of Secret {:?}: {why}; endpoints are shown no certificate", name.name);
            tell(cx, draft, SECRET, "InvalidCertificate", message);
            None
        }
    };
    if authorities.is_none() && draft.upstream.tls.verify {
        let message = format!(
            "Secret {:?} has no authorities under {AUTHORITIES:?}; no endpoint is believed and requests fail",
            name.name
        );
        tell(cx, draft, SECRET, "CertificateNotFound", message);
    }
    (certificate, authorities)
}

/// A Secret of the namespace of the Ingress.
///
/// # Errors
/// That it is not there, what follows from it and what to do.
fn named<'r>(
    cx: &Context<'_, 'r>,
    draft: &RouteDraft<'_>,
    name: &ObjectName,
) -> Result<&'r core::Secret, String> {
    let follows = match draft.upstream.tls.verify {
        true => "no endpoint is believed and requests fail",
        false => "endpoints are shown no certificate",
    };
    let own = namespace(draft.speaker);
    let namespace = name.namespace.as_deref().unwrap_or(own);
    if namespace != own {
        return Err(format!(
            "Secret {namespace}/{} is in another namespace than the Ingress, which is not read; {follows}; copy it into \
             namespace {own:?}",
            name.name
        ));
    }
    cx.reader.secret(namespace, &name.name).map(|found| &**found).ok_or_else(|| {
        let suggestion = near::suggest(&name.name, cx.reader.names(Kind::Secret, namespace));
        format!(
            "there is no Secret {:?} of type {} in namespace {namespace:?}{suggestion}; {follows}; create it with tls.crt \
             and tls.key for the certificate that endpoints are shown, and {AUTHORITIES} for the authorities that theirs \
             must be signed by",
            name.name,
            secret::SECRET_TYPE
        )
    })
}

/// Tells the owner of an Ingress something of an annotation that routes depend on.
pub(super) fn tell(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
    key: &str,
    reason: &str,
    message: String,
) {
    let field = super::annotation_field(draft.speaker, key);
    cx.parts.problems.push(Problem::error(&ingress_ref(draft.speaker), field, reason, message));
}
