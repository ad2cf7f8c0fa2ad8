//! Backends: Services that rules send requests to, with what policies say about them.

use std::{borrow::Cow, fmt};

use selvedge_crds::route_grant::GrantKind;

use super::{Context, Near, Policy};
use crate::{
    id::{BackendId, ObjectRef},
    kube::{
        objects::{Kind, Object},
        service::{self, FoundPort, PortRef, ServiceFault, ServicePart},
        translation::BackendPart,
    },
    model::{BackendProtocol, BackendTarget, Balance, HashKey, InvalidBackend},
};

/// A Service as a rule names it.
#[derive(Clone, Copy, Debug)]
pub struct BackendName<'n> {
    /// Its namespace.
    pub namespace: &'n str,
    /// Its name.
    pub service: &'n str,
    /// The number of its port; `None` where it must have one only.
    pub port: Option<u16>,
}

impl fmt::Display for BackendName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)
    }
}

/// In which way a port of a Service is wanted, beside what it and its policies say. What differs from them makes a
/// backend of its own, whose id tells the difference, so that nobody else's is changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way<'w> {
    /// What is nearer than the policies of the Service.
    pub near: Option<&'w Near>,
    /// How an endpoint is chosen, whatever policies say.
    pub balance: Option<&'w Balance>,
    /// What is spoken, whatever the port says.
    pub protocol: Option<BackendProtocol>,
}

/// Resolves a Service to a backend with all that its policies and those of `near` say.
///
/// # Errors
/// There is no such Service or port, or its external name may not be used.
pub fn resolve(
    cx: &mut Context<'_, '_>,
    name: BackendName<'_>,
    near: Option<&Near>,
) -> Result<(BackendId, Policy), ServiceFault> {
    let port = port(cx, name)?;
    let found = service::find(cx.reader, name.namespace, name.service, PortRef::Number(port.into()))?;
    Ok(make(cx, (name, found), Way { near, ..Way::default() }))
}

/// The port that is meant: the one that is named, or the only one.
///
/// # Errors
/// None is named and there is not just one.
pub(super) fn port(cx: &Context<'_, '_>, name: BackendName<'_>) -> Result<u16, ServiceFault> {
    name.port.map_or_else(|| only_port(cx, name), Ok)
}

/// Makes the backend of a port that was found, and gives what policies say of it, the nearest first.
pub fn make(
    cx: &mut Context<'_, '_>,
    (name, mut found): (BackendName<'_>, FoundPort),
    way: Way<'_>,
) -> (BackendId, Policy) {
    cx.parts.problems.extend(found.problem.take());
    let port = found.port;
    let mut policy = Policy::of_service(cx, name.namespace, name.service, port);
    let mut suffix = String::new();
    if let Some(near) = way.near.filter(|near| !near.policy.is_empty()) {
        policy = near.policy.clone().or(policy);
        suffix = near.suffix();
    }
    let mut backend = cx.defaults.backend.clone();
    backend.protocol = found.backend.protocol;
    backend.tls = found.backend.tls;
    backend.discovery = found.backend.discovery;
    policy.apply(&mut backend);
    if policy.tls.is_some()
        && let Some(tls) = &mut backend.tls
        && tls.server_name.is_none()
    {
        tls.server_name = Some(format!("{}.{}.svc", name.service, name.namespace).into());
    }
    if let Some(balance) = way.balance.filter(|balance| **balance != backend.balance) {
        suffix += &print_balance(balance);
        backend.balance.clone_from(balance);
    }
    if let Some(protocol) = way.protocol.filter(|protocol| *protocol != backend.protocol) {
        suffix += print_protocol(protocol);
        backend.protocol = protocol;
    }
    let id = BackendId::new(format!("{}/{}:{port}{suffix}", name.namespace, name.service));
    cx.parts.backends.insert(id.clone(), BackendPart { backend, endpoints: found.endpoints });
    (id, policy)
}

fn print_balance(balance: &Balance) -> Cow<'static, str> {
    match balance {
        Balance::RoundRobin => "+round-robin".into(),
        Balance::LeastRequests => "+least-requests".into(),
        Balance::Ewma => "+ewma".into(),
        Balance::Hash(HashKey::Source) => "+hash-source".into(),
        Balance::Hash(HashKey::Header(name)) => format!("+hash-header-{name}").into(),
        Balance::Hash(HashKey::Cookie(name)) => format!("+hash-cookie-{name}").into(),
        Balance::Hash(HashKey::Text(text)) => format!("+hash-{}", text.text()).into(),
    }
}

fn print_protocol(protocol: BackendProtocol) -> &'static str {
    match protocol {
        BackendProtocol::Http1 => "+http1",
        BackendProtocol::Http2 => "+http2",
    }
}

/// Resolves a Service that an object names; what is wrong is told to its owner, with what follows from it.
pub(super) fn refer(
    cx: &mut Context<'_, '_>,
    object: &ObjectRef,
    field: &str,
    (name, near): (BackendName<'_>, &Near),
    follows: &str,
) -> BackendTarget {
    let granted = &*object.namespace == name.namespace || is_granted(cx, object, name);
    let found = match granted {
        true => resolve(cx, name, Some(near)).map(|(id, _)| id),
        false => Err(ServiceFault {
            part: ServicePart::Name,
            invalid: InvalidBackend::Forbidden,
            message: format!(
                "Service {name} is in another namespace and no RouteGrant there lets RouteRules of namespace {:?} \
                 use it",
                object.namespace
            ),
        }),
    };
    match found {
        Ok(id) => BackendTarget::Backend(id),
        Err(ServiceFault { part, invalid, message }) => {
            let part = match part {
                ServicePart::Name => "service",
                ServicePart::Port => "port",
            };
            let reason = match (invalid, granted) {
                (InvalidBackend::Forbidden, false) => "RefNotPermitted",
                (invalid, _) => service::reason(invalid),
            };
            cx.error(object, format!("{field}.{part}"), reason, format!("{message}; {follows}"));
            BackendTarget::Invalid(invalid)
        }
    }
}

fn is_granted(cx: &Context<'_, '_>, object: &ObjectRef, name: BackendName<'_>) -> bool {
    let kind = match &*object.kind {
        "Ingress" => GrantKind::Ingress,
        "TrafficPolicy" => GrantKind::TrafficPolicy,
        _ => GrantKind::RouteRule,
    };
    cx.reader.all(Kind::RouteGrant, name.namespace).any(|grant| match grant {
        Object::RouteGrant(grant) => grant.spec.allows(kind, &object.namespace, name.service),
        _ => false,
    })
}

fn only_port(cx: &Context<'_, '_>, name: BackendName<'_>) -> Result<u16, ServiceFault> {
    let Some(service) = cx.reader.service(name.namespace, name.service) else {
        // It tells that there is no such Service.
        let missing = service::find(cx.reader, name.namespace, name.service, PortRef::Number(1));
        return missing.map(|found| found.port);
    };
    let ports: Vec<_> = service::tcp_ports(service).collect();
    match ports[..] {
        [port] => Ok(port),
        _ => {
            let listed: Vec<_> = ports.iter().map(ToString::to_string).collect();
            let message = match ports.is_empty() {
                true => format!("Service {name} has no TCP port"),
                false => format!("Service {name} has several ports, so name one of {}", listed.join(", ")),
            };
            Err(ServiceFault { part: ServicePart::Port, invalid: InvalidBackend::PortNotFound, message })
        }
    }
}
