//! Backends: what an Ingress refers to becomes a backend of the snapshot, or a reason why not.

use std::borrow::Cow;

use k8s_openapi::api::networking::v1 as networking;
use selvedge_common::{
    id::BackendId,
    kube::{
        service::{self, PortRef, ServiceFault, ServicePart},
        translation::BackendPart,
    },
    model::{BackendTarget, Balance, HashKey, InvalidBackend, Problem},
};

use super::{Context, RouteDraft, ingress_ref};

/// Why a backend does not resolve: the field below `backend`, what it is for the proxy, and for people.
#[derive(Debug)]
pub(super) struct BackendFault {
    pub field: &'static str,
    pub invalid: InvalidBackend,
    pub message: String,
}

impl From<ServiceFault> for BackendFault {
    fn from(fault: ServiceFault) -> Self {
        let ServiceFault { part, invalid, message } = fault;
        let field = match part {
            ServicePart::Name => ".service.name",
            ServicePart::Port => ".service.port",
        };
        Self { field, invalid, message }
    }
}

/// Resolves the backend of a route; what is wrong is told to the owner of the Ingress.
pub(super) fn resolve(cx: &mut Context<'_, '_>, draft: &RouteDraft<'_>) -> BackendTarget {
    match service_of(draft.backend).and_then(|(name, port)| find(cx, draft, name, port)) {
        Ok(id) => BackendTarget::Backend(id),
        Err(fault) => {
            let field = format!("{}{}", draft.field, fault.field);
            let message = format!("{}; requests get 503", fault.message);
            let reason = service::reason(fault.invalid);
            cx.parts.problems.push(Problem::error(&ingress_ref(draft.ingress), field, reason, message));
            BackendTarget::Invalid(fault.invalid)
        }
    }
}

fn service_of(backend: &networking::IngressBackend) -> Result<(&str, PortRef<'_>), BackendFault> {
    let fault =
        |field, invalid, message: &str| Err(BackendFault { field, invalid, message: message.to_owned() });
    let malformed = |field, message| fault(field, InvalidBackend::Malformed, message);
    let service = match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => return malformed("", "it has both service and resource, but must have one"),
        (None, None) => return malformed("", "it has no service"),
        (None, Some(_)) => {
            let message = "resource backends are not supported: use a service";
            return fault(".resource", InvalidBackend::UnsupportedResource, message);
        }
        (Some(service), None) => service,
    };
    if service.name.is_empty() {
        return malformed(".service.name", "the name of the Service is missing");
    }
    let port = service.port.as_ref();
    let name = port.and_then(|port| port.name.as_deref()).filter(|name| !name.is_empty());
    match (name, port.and_then(|port| port.number).filter(|number| *number != 0)) {
        (Some(name), None) => Ok((&service.name, PortRef::Name(name))),
        (None, Some(number)) => Ok((&service.name, PortRef::Number(number))),
        (None, None) => malformed(".service.port", "the port is missing: give its name or its number"),
        (Some(_), Some(_)) => {
            malformed(".service.port", "the port has both a name and a number, but must have one")
        }
    }
}

fn find(
    cx: &mut Context<'_, '_>,
    draft: &RouteDraft<'_>,
    name: &str,
    port: PortRef<'_>,
) -> Result<BackendId, BackendFault> {
    let namespace = super::namespace(draft.ingress);
    let found = service::find(cx.reader, namespace, name, port)?;
    cx.parts.problems.extend(found.problem);
    let id = id(namespace, name, found.port, &draft.balance);
    let mut backend = found.backend;
    backend.balance = draft.balance.clone();
    let settings = &cx.settings.backend;
    backend.connect_timeout = settings.connect_timeout;
    backend.health = settings.health.clone();
    backend.retry_allowance = settings.retry_allowance.clone();
    cx.parts.backends.insert(id.clone(), BackendPart { backend, endpoints: found.endpoints });
    Ok(id)
}

/// The id says everything that makes a backend beside its Service, so that two routes that want the same Service
/// port in different ways never disagree about one backend.
fn id(namespace: &str, name: &str, port: u16, balance: &Balance) -> BackendId {
    let way: Cow<'_, str> = match balance {
        Balance::RoundRobin => "".into(),
        Balance::LeastRequests => "+least-requests".into(),
        Balance::Ewma => "+ewma".into(),
        Balance::Hash(HashKey::Source) => "+hash-source".into(),
        Balance::Hash(HashKey::Header(name)) => format!("+hash-header-{name}").into(),
        Balance::Hash(HashKey::Cookie(name)) => format!("+hash-cookie-{name}").into(),
    };
    BackendId::new(format!("{namespace}/{name}:{port}{way}"))
}
