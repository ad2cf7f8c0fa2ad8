//! Ports of Services: found by name or number, with the protocol that they speak.

use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::util::intstr::IntOrString};

use super::{
    FoundPort, PortRef, ServiceFault, ServicePart,
    external_name::{self, NameFault},
    names,
};
use crate::{
    id::ObjectRef,
    kube::{endpoints::EndpointSource, near, objects::Kind, store::ServiceName},
    model::{Backend, BackendProtocol, BackendTls, Discovery, InvalidBackend, Problem},
};

/// The TCP ports that a Service declares, in its order; numbers that are no ports are left out.
pub fn tcp_ports(service: &core::Service) -> impl Iterator<Item = u16> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    ports.iter().filter(|port| is_tcp(port)).filter_map(|port| valid_port(port.port))
}

/// Finds a port of a Service.
///
/// # Errors
/// There is no such TCP port, or the external name is none that may be used.
pub fn find_port(service: &core::Service, wanted: PortRef<'_>) -> Result<FoundPort, ServiceFault> {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        let name = spec.and_then(|spec| spec.external_name.as_deref()).unwrap_or_default();
        return find_external(service, name, ports, wanted);
    }
    let (index, declared, port) = declared_port(service, ports, wanted)?;
    let (backend, problem) = speak(service, index, declared);
    let (namespace, name) = names(service);
    let endpoints = EndpointSource {
        service: ServiceName::new(namespace, name),
        port_name: declared.name.as_deref().unwrap_or_default().into(),
        default_port: target_port(declared).unwrap_or(port),
        twin: None,
    };
    Ok(FoundPort { port, backend, endpoints: Some(endpoints), problem })
}

/// A Service of type ExternalName need not declare ports: then the number is used as it is.
fn find_external(
    service: &core::Service,
    name: &str,
    ports: &[core::ServicePort],
    wanted: PortRef<'_>,
) -> Result<FoundPort, ServiceFault> {
    let (mut found, connect) = match wanted {
        PortRef::Number(number) if ports.is_empty() => {
            let port = valid_port(number).ok_or_else(|| not_found(format!("{number} is not a port")))?;
            (FoundPort { port, backend: Backend::default(), endpoints: None, problem: None }, port)
        }
        wanted => {
            let (index, declared, port) = declared_port(service, ports, wanted)?;
            let (backend, problem) = speak(service, index, declared);
            (FoundPort { port, backend, endpoints: None, problem }, target_port(declared).unwrap_or(port))
        }
    };
    let text = match external_name::check(name) {
        Ok(()) => name,
        Err(fault) => return Err(external_fault(service, name, &fault)),
    };
    if let Some(tls) = &mut found.backend.tls {
        tls.server_name = Some(text.trim_end_matches('.').into());
    }
    found.backend.discovery = Discovery::Dns { name: text.into(), port: connect };
    Ok(found)
}

fn external_fault(service: &core::Service, name: &str, fault: &NameFault) -> ServiceFault {
    let (_, service) = names(service);
    let (invalid, why) = match fault {
        NameFault::Forbidden => {
            (InvalidBackend::Forbidden, "leads to the proxy's own machine or link, which is forbidden")
        }
        NameFault::Malformed => (InvalidBackend::Malformed, "is not a name"),
    };
    let message = format!("spec.externalName {name:?} of Service {service:?} {why}");
    ServiceFault { part: ServicePart::Name, invalid, message }
}

fn declared_port<'a>(
    service: &core::Service,
    ports: &'a [core::ServicePort],
    wanted: PortRef<'_>,
) -> Result<(usize, &'a core::ServicePort, u16), ServiceFault> {
    let fits = |port: &core::ServicePort| match wanted {
        PortRef::Number(number) => port.port == number,
        PortRef::Name(name) => port.name.as_deref() == Some(name),
    };
    let found = ports.iter().enumerate().filter(|(_, port)| fits(port));
    let tcp = found.clone().find(|(_, port)| is_tcp(port));
    if let Some((index, declared)) = tcp
        && let Some(port) = valid_port(declared.port)
    {
        return Ok((index, declared, port));
    }
    let other = found.clone().next().map(|(_, port)| port);
    Err(not_found(missing(service, ports, wanted, other)))
}

/// Why a port was not found, for people.
fn missing(
    service: &core::Service,
    ports: &[core::ServicePort],
    wanted: PortRef<'_>,
    other: Option<&core::ServicePort>,
) -> String {
    let (_, service) = names(service);
    if let Some(other) = other {
        let protocol = other.protocol.as_deref().unwrap_or("TCP");
        return format!("port {} of Service {service:?} is {protocol}, not a TCP port", other.port);
    }
    match wanted {
        PortRef::Number(number) => {
            let by_target = ports.iter().find(|port| target_port(port).map(i32::from) == Some(number));
            let hint = match by_target {
                Some(port) => format!(" (did you mean {}, whose target port it is?)", port.port),
                None => listed(ports),
            };
            format!("Service {service:?} has no port {number}{hint}")
        }
        PortRef::Name(name) => {
            let known = ports.iter().filter_map(|port| port.name.as_deref());
            let hint = match near::suggest(name, known) {
                hint if hint.is_empty() => listed(ports),
                hint => hint,
            };
            format!("Service {service:?} has no port named {name:?}{hint}")
        }
    }
}

fn listed(ports: &[core::ServicePort]) -> String {
    let print = |port: &core::ServicePort| match port.name.as_deref() {
        Some(name) if !name.is_empty() => format!("{} named {name}", port.port),
        _ => port.port.to_string(),
    };
    match ports {
        [] => " (it has none)".to_owned(),
        ports => format!(" (it has {})", ports.iter().take(8).map(print).collect::<Vec<_>>().join(", ")),
    }
}

fn not_found(message: String) -> ServiceFault {
    ServiceFault { part: ServicePart::Port, invalid: InvalidBackend::PortNotFound, message }
}

/// What a port speaks, by its `appProtocol`.
fn speak(service: &core::Service, index: usize, port: &core::ServicePort) -> (Backend, Option<Problem>) {
    let tls = Some(BackendTls::default());
    let backend = Backend::default();
    let known = match port.app_protocol.as_deref() {
        None | Some("" | "http" | "kubernetes.io/ws") => backend,
        Some("kubernetes.io/h2c" | "grpc") => Backend { protocol: BackendProtocol::Http2, ..backend },
        Some("https" | "kubernetes.io/wss") => Backend { tls, ..backend },
        Some(other) => return (backend, Some(unknown_protocol(service, index, other))),
    };
    (known, None)
}

fn unknown_protocol(service: &core::Service, index: usize, protocol: &str) -> Problem {
    const KNOWN: [&str; 6] =
        ["http", "https", "grpc", "kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"];
    let (namespace, name) = names(service);
    // The common part would make every name with the prefix near to every other one without it.
    let by_end = KNOWN.into_iter().find(|known| known.strip_prefix("kubernetes.io/") == Some(protocol));
    let hint = match by_end {
        Some(known) => format!(" (did you mean {known:?}?)"),
        None => near::suggest(protocol, KNOWN.into_iter()),
    };
    Problem::warning(
        &ObjectRef::new(Kind::Service.name(), namespace, name),
        format!("spec.ports[{index}].appProtocol"),
        "UnknownAppProtocol",
        format!("{protocol:?} is not known{hint}; HTTP/1.1 is spoken"),
    )
}

fn target_port(port: &core::ServicePort) -> Option<u16> {
    match &port.target_port {
        Some(IntOrString::Int(number)) => valid_port(*number),
        _ => None,
    }
}

fn valid_port(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0)
}

fn is_tcp(port: &core::ServicePort) -> bool {
    matches!(port.protocol.as_deref(), None | Some("" | "TCP"))
}
