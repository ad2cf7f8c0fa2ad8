//! Services as backends: which port is meant, how it is spoken to and where its endpoints come from.

pub mod external_name;
mod port;

use k8s_openapi::api::core::v1 as core;
pub use port::{find_port, tcp_ports};

use super::{endpoints::EndpointSource, near, objects::Kind, reader::Reader, switch};
use crate::model::{Backend, InvalidBackend, Problem};

/// How an object names a port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRef<'a> {
    /// By its number.
    Number(i32),
    /// By its name.
    Name(&'a str),
}

/// A port of a Service that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundPort {
    /// Number of the Service port.
    pub port: u16,
    /// How it is spoken to, by its `appProtocol`; all else is as the model has it by default.
    pub backend: Backend,
    /// Where its endpoints come from; `None` for an external name.
    pub endpoints: Option<EndpointSource>,
    /// What is odd about the port, for the owner of the Service.
    pub problem: Option<Problem>,
}

/// Why a Service does not resolve to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFault {
    /// Which part of the reference is at fault.
    pub part: ServicePart,
    /// What it is for the proxy.
    pub invalid: InvalidBackend,
    /// For people; a clause without a full stop.
    pub message: String,
}

/// A part of a reference to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServicePart {
    /// The name of the Service.
    Name,
    /// The port of the Service.
    Port,
}

/// Finds a port of a Service by the names of both.
///
/// # Errors
/// There is no such Service or port, or its external name is none that may be used.
pub fn find(
    reader: &Reader<'_>,
    namespace: &str,
    name: &str,
    port: PortRef<'_>,
) -> Result<FoundPort, ServiceFault> {
    let Some(service) = reader.service(namespace, name) else {
        let suggestion = near::suggest(name, reader.names(Kind::Service, namespace));
        let message = format!("there is no Service {name:?} in namespace {namespace:?}{suggestion}");
        return Err(ServiceFault {
            part: ServicePart::Name,
            invalid: InvalidBackend::ServiceNotFound,
            message,
        });
    };
    let found = find_port(service, port)?;
    match switch::twin(reader, namespace, name) {
        Some(twin) => with_twin(found, twin),
        None => Ok(found),
    }
}

/// A port of a Service that has a twin: its endpoints are those of both. An external name leads callers to the router,
/// and the router would come to itself by it, so everything is as the twin says.
fn with_twin(mut found: FoundPort, twin: &core::Service) -> Result<FoundPort, ServiceFault> {
    let of_twin = find_port(twin, PortRef::Number(found.port.into()));
    let Some(source) = &mut found.endpoints else { return of_twin };
    source.twin = of_twin.ok().and_then(|found| found.endpoints).map(Box::new);
    Ok(found)
}

/// The reason that problems give for an invalid backend.
pub fn reason(invalid: InvalidBackend) -> &'static str {
    match invalid {
        InvalidBackend::ServiceNotFound => "ServiceNotFound",
        InvalidBackend::PortNotFound => "PortNotFound",
        InvalidBackend::UnsupportedResource => "UnsupportedResource",
        InvalidBackend::Forbidden => "ForbiddenBackend",
        InvalidBackend::Malformed => "MalformedBackend",
        InvalidBackend::Unprotected => "UnreadableProtection",
    }
}

/// Namespace and name of a Service.
fn names(service: &core::Service) -> (&str, &str) {
    let metadata = &service.metadata;
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}
