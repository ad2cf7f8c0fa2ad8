//! TLS to endpoints, as a TrafficPolicy says it, with the authorities and certificates that it names.

use std::sync::Arc;

use selvedge_crds::{TrafficPolicy, connection::TlsMode, reference::SecretOrConfigMap};

use super::{
    Context,
    targets::{namespace, object_ref},
};
use crate::{
    id::ObjectRef,
    kube::{objects::Kind, secret},
    model::{BackendTls, Certificate, Trust},
};

/// Key of the certificates of authorities, in Secrets and ConfigMaps.
const AUTHORITIES: &str = "ca.crt";

/// What a policy says of TLS: `None` nothing, `Some(None)` plain text.
///
/// Where certificates are missing nothing is believed instead of everything: TLS then fails, and the policy says why.
pub(super) fn read(cx: &mut Context<'_, '_>, policy: &TrafficPolicy) -> Option<Option<BackendTls>> {
    let given = policy.spec.tls.as_ref()?;
    if given.mode == Some(TlsMode::Plain) {
        return Some(None);
    }
    let object = object_ref(Kind::TrafficPolicy, &policy.metadata);
    let trust = match (&given.ca, given.insecure_skip_verify) {
        (_, Some(true)) => Trust::Anyone,
        (Some(ca), _) => Trust::Authorities(authorities(cx, &object, ca)),
        (None, _) => Trust::System,
    };
    let client_certificate = given.client_certificate.as_ref();
    let client_certificate =
        client_certificate.and_then(|given| client_certificate_of(cx, policy, &object, &given.secret));
    let server_name = given.server_name.as_deref().map(Into::into);
    Some(Some(BackendTls { server_name, trust, client_certificate }))
}

/// The certificates of authorities as PEM; empty where there are none, so that nobody is believed.
fn authorities(cx: &mut Context<'_, '_>, object: &ObjectRef, given: &SecretOrConfigMap) -> Arc<str> {
    let namespace = &object.namespace;
    let found = match (&given.secret, &given.config_map) {
        (Some(name), _) => {
            let data =
                cx.reader.secret(namespace, name).and_then(|secret| secret::value(secret, AUTHORITIES));
            let text = data.and_then(|data| String::from_utf8(data.to_vec()).ok());
            // Others are not asked for, as they may be anything.
            let from =
                || format!("Secret {namespace}/{name} of type kubernetes.io/tls (no other type is read)");
            text.ok_or_else(|| ("secret", from()))
        }
        (None, Some(name)) => {
            let map = cx.reader.config_map(namespace, name);
            let text = map.and_then(|map| map.data.as_ref()?.get(AUTHORITIES).cloned());
            text.ok_or_else(|| ("configMap", format!("ConfigMap {namespace}/{name}")))
        }
        (None, None) => Err(("secret", "the Secret".to_owned())),
    };
    match found {
        Ok(pem) => pem.into(),
        Err((part, from)) => {
            let message = format!(
                "{from} with key {AUTHORITIES:?}, the certificates of authorities as PEM, is not there; no endpoint is \
                 believed and requests fail"
            );
            cx.error(object, format!("spec.tls.ca.{part}"), "CertificateNotFound", message);
            "".into()
        }
    }
}

fn client_certificate_of(
    cx: &mut Context<'_, '_>,
    policy: &TrafficPolicy,
    object: &ObjectRef,
    name: &str,
) -> Option<Arc<Certificate>> {
    let namespace = namespace(&policy.metadata);
    let found = match cx.reader.secret(namespace, name) {
        Some(secret) => match secret::check(secret) {
            Ok(()) => Ok(secret::read(secret)),
            Err((_, _, why)) => Err(format!("Secret {name:?} cannot be used: {why}")),
        },
        None => Err(format!("there is no Secret {name:?} in namespace {namespace:?}")),
    };
    match found {
        Ok(certificate) => Some(Arc::new(certificate)),
        Err(why) => {
            let message = format!("{why}; endpoints are shown no certificate");
            cx.error(object, "spec.tls.clientCertificate.secret", "CertificateNotFound", message);
            None
        }
    }
}
