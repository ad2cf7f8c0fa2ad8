//! TLS: which Secret a host's certificate is in.

use std::sync::Arc;

use selvedge_common::{
    id::{CertificateId, ObjectRef},
    kube::{
        ingress::{Ingress, IngressTls},
        objects::Kind,
        secret::{self, SECRET_TYPE},
    },
    model::{HostMatch, Problem},
};

use super::{Context, host, ingress_ref, namespace, near, rules, tls};

/// Who names a Secret, and what happens if it is not there.
struct Referrer {
    object: ObjectRef,
    field: String,
    instead: &'static str,
}

/// The certificate of a host: that of the first Ingress whose Secret exists. Another Secret for the same host, and
/// what is wrong with any, is told.
pub(super) fn certificate(
    cx: &mut Context<'_, '_>,
    ingresses: &[&Arc<Ingress>],
    host: &HostMatch,
) -> Option<CertificateId> {
    let mut chosen: Option<(CertificateId, ObjectRef)> = None;
    for ingress in ingresses {
        for (index, entry) in tls(ingress).iter().enumerate().filter(|(_, entry)| names(ingress, entry, host))
        {
            let Some(name) = entry.secret_name.as_deref().filter(|name| !name.is_empty()) else { continue };
            let same = |(id, _): &(CertificateId, ObjectRef)| {
                id.as_str().split_once('/') == Some((namespace(ingress), name))
            };
            if chosen.as_ref().is_some_and(same) {
                continue;
            }
            let field = format!("spec.tls[{index}].secretName");
            let referrer = Referrer {
                object: ingress_ref(ingress),
                field: field.clone(),
                instead: "the default certificate is used unless another Ingress has one for the host",
            };
            let Some(id) = load(cx, namespace(ingress), name, referrer) else { continue };
            match &chosen {
                Some((first, by)) => {
                    let message = format!("host {host} already has the certificate {first} by {by}");
                    let problem =
                        Problem::error(&ingress_ref(ingress), field, "CertificateConflict", message);
                    cx.parts.problems.push(problem);
                }
                None => chosen = Some((id, ingress_ref(ingress))),
            }
        }
    }
    let (id, _) = chosen?;
    // Only now: a Secret that lost is none of the snapshot's.
    add(cx, &id);
    Some(id)
}

/// The certificate that the settings name for clients whose SNI matches no host.
pub(super) fn default_certificate(cx: &mut Context<'_, '_>) -> Option<CertificateId> {
    let name = cx.settings.default_certificate.as_ref()?;
    let object = ObjectRef::new(Kind::Secret.name(), &name.namespace, &name.name);
    let referrer =
        Referrer { object, field: "metadata.name".into(), instead: "a self-signed certificate is used" };
    let id = load(cx, &name.namespace, &name.name, referrer)?;
    add(cx, &id);
    Some(id)
}

/// Whether some Ingress offers TLS for a host by just this name, with whatever certificate.
pub(super) fn is_offered(ingresses: &[&Arc<Ingress>], host: &HostMatch) -> bool {
    ingresses.iter().any(|ingress| tls(ingress).iter().any(|entry| names(ingress, entry, host)))
}

/// Whether some Ingress offers TLS for a host, by its name or by a wildcard.
pub(super) fn covers(cx: &Context<'_, '_>, ingresses: &[&Arc<Ingress>], host: &HostMatch) -> bool {
    if is_offered(ingresses, host) {
        return true;
    }
    let HostMatch::Exact(name) = host else { return false };
    let suffix = name.split_once('.').map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| cx.reader.has_tls(&HostMatch::Wildcard(suffix.into())))
}

/// What is wrong with entries under `spec.tls` that no host speaks for.
pub(super) fn useless_entries(ingress: &Ingress) -> impl Iterator<Item = Problem> {
    let object = ingress_ref(ingress);
    let named = rules(ingress).iter().any(|rule| !host::is_of_rule(rule, &HostMatch::Any));
    let entries = tls(ingress).iter().enumerate();
    let without = entries.filter(move |(_, entry)| entry.hosts.is_empty() && !named);
    without.map(move |(index, _)| {
        let message =
            "it names no host and no rule does; name hosts, or set a default certificate".to_owned();
        Problem::error(&object, format!("spec.tls[{index}].hosts"), "NoTlsHosts", message)
    })
}

/// Whether an entry is for a host. One without hosts is for all hosts that the rules of its Ingress name.
fn names(ingress: &Ingress, entry: &IngressTls, host: &HostMatch) -> bool {
    let mut listed = entry.hosts.iter().peekable();
    match listed.peek() {
        Some(_) => listed.any(|text| host::is(text, host)),
        None => *host != HostMatch::Any && rules(ingress).iter().any(|rule| host::is_of_rule(rule, host)),
    }
}

/// Looks at a Secret and tells what is wrong with it; `None` if it does not exist.
fn load(cx: &mut Context<'_, '_>, namespace: &str, name: &str, referrer: Referrer) -> Option<CertificateId> {
    let Some(secret) = cx.reader.secret(namespace, name) else {
        let suggestion = near::suggest(name, cx.reader.names(Kind::Secret, namespace));
        let message = format!(
            "there is no Secret {name:?} of type {SECRET_TYPE} in namespace {namespace:?}{suggestion}; {}",
            referrer.instead
        );
        cx.parts.problems.push(Problem::error(&referrer.object, referrer.field, "SecretNotFound", message));
        return None;
    };
    if let Err((field, reason, message)) = secret::check(secret) {
        let object = ObjectRef::new(Kind::Secret.name(), namespace, name);
        let message = format!("{message}; the last good certificate stays in use, if there was one");
        cx.parts.problems.push(Problem::error(&object, field, reason, message));
    }
    Some(CertificateId::new(format!("{namespace}/{name}")))
}

fn add(cx: &mut Context<'_, '_>, id: &CertificateId) {
    let Some((namespace, name)) = id.as_str().split_once('/') else { return };
    if let Some(secret) = cx.reader.secret(namespace, name) {
        cx.parts.certificates.insert(id.clone(), secret::read(secret));
    }
}
