//! Extras: what annotations add to a route from other objects and places: header fields of answers, and copies.

use std::sync::Arc;

use selvedge_common::{
    filter::{Field, FieldChanges, Filter, ResponseHeaders, check_value},
    id::BackendId,
    kube::{service::external_name, translation::BackendPart},
    model::{BackendTarget, BackendTls, Discovery, Mirror, Trust},
};

use super::{
    Context, RouteDraft, name, namespace,
    protection::{Lost, service_of},
    upstream::tell,
};

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorDraft {
    /// Name or address.
    pub name: Arc<str>,
    /// Port.
    pub port: u16,
    /// Whether over TLS.
    pub secure: bool,
    /// `Host` of copies.
    pub shown: Arc<str>,
}

/// The header fields of answers that a ConfigMap holds.
///
/// # Errors
/// The ConfigMap is not there or has a field that cannot or must not be set, which ingress-nginx answers with 503: its
/// fields may be what keeps browsers safe.
pub(super) fn custom_headers(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
) -> Result<Option<Filter>, Lost> {
    const KEY: &str = "custom-headers";
    let Some(wanted) = &draft.custom_headers else { return Ok(None) };
    let own = namespace(draft.speaker);
    let namespace = wanted.namespace.as_deref().unwrap_or(own);
    let map = match namespace == own {
        true => cx.reader.config_map(namespace, &wanted.name).ok_or("is not there"),
        false => Err("is in another namespace than the Ingress, which is not read"),
    };
    let data = match map {
        Ok(map) => map.data.clone().unwrap_or_default(),
        Err(why) => {
            let message = format!("ConfigMap {namespace}/{} {why}; the paths answer 503", wanted.name);
            tell(cx, draft, KEY, "ConfigMapNotFound", message);
            return Err(Lost);
        }
    };
    let mut set = Vec::new();
    let mut lost = false;
    for (field, value) in data {
        match check_custom(draft, &field, &value) {
            Ok(()) => set.push(Field { name: field.into(), value: value.into() }),
            Err((reason, why)) => {
                let message =
                    format!("ConfigMap {namespace}/{}: {field:?}: {why}; the paths answer 503", wanted.name);
                tell(cx, draft, KEY, reason, message);
                lost = true;
            }
        }
    }
    if lost {
        return Err(Lost);
    }
    let changes = FieldChanges { set, ..FieldChanges::default() };
    Ok((!changes.set.is_empty()).then_some(Filter::ResponseHeaders(ResponseHeaders { changes })))
}

/// Checks a field that an Ingress sets in answers.
///
/// # Errors
/// When it cannot or must not be set: the reason, and what is wrong with it.
fn check_custom(draft: &RouteDraft<'_>, name: &str, value: &str) -> Result<(), (&'static str, String)> {
    let sound = ResponseHeaders::check_name(name).and_then(|()| check_value(value));
    sound.map_err(|why| ("InvalidHeader", why))?;
    let allowed = draft.said.globals.custom_fields.as_ref();
    match allowed.is_none_or(|names| names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))) {
        true => Ok(()),
        false => {
            let why = "global-allowed-response-headers of the ConfigMap of all Ingresses does not name it";
            Err(("HeaderNotAllowed", why.to_owned()))
        }
    }
}

/// Where copies of the requests go, if anywhere.
pub(super) fn mirror(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>) -> Option<Mirror> {
    let MirrorDraft { name: host, port, secure, shown } = draft.mirror.as_ref()?;
    let to = |id| Mirror { target: BackendTarget::Backend(id), percent: 100, host: Some(shown.clone()) };
    if let Some(id) = service_of(cx, host, *port).filter(|_| !secure) {
        return Some(to(id));
    }
    if external_name::check(host).is_err() {
        let message = format!("{host} is, or leads to, the proxy's own machine; no request is copied");
        tell(cx, draft, "mirror-target", "ForbiddenBackend", message);
        return None;
    }
    let mut backend = cx.defaults.backend.clone();
    backend.discovery = Discovery::Dns { name: host.clone(), port: *port };
    let tls =
        || BackendTls { server_name: Some(host.clone()), trust: Trust::Anyone, client_certificate: None };
    backend.tls = secure.then(tls);
    let scheme = if *secure { "https" } else { "http" };
    let owner = draft.speaker;
    let id = BackendId::new(format!("{}/{}+mirror/{scheme}/{host}:{port}", namespace(owner), name(owner)));
    cx.parts.backends.insert(id.clone(), BackendPart { backend, endpoints: None });
    Some(to(id))
}
