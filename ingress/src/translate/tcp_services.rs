//! TCP services: ports that ConfigMaps of ingress-nginx give to Services, each a listener of its own.

use std::{collections::BTreeMap, net::SocketAddr};

use selvedge_common::{
    id::{BackendId, ListenerName, ObjectRef},
    kube::{
        objects::Kind,
        rules::{self, BackendName, Way},
        service::{self, PortRef, ServiceFault},
    },
    model::{
        BackendRef, BackendTarget, InvalidBackend, Listener, ListenerProtocol, Problem, ProxyProtocolVersion,
        TcpRoute,
    },
    quote::quote,
};

use super::Context;
use crate::globals::{ConfigMapName, field};

/// The listener that others are made like.
const MODEL: &str = "http";

/// A Service that a port leads to.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    namespace: &'a str,
    service: &'a str,
    port: PortRef<'a>,
    /// Whether clients begin with a header of the PROXY protocol.
    takes_header: bool,
    /// Whether the Service gets one.
    sends_header: bool,
}

/// Adds a listener for each port of the ConfigMap for TCP, and tells of those for UDP. What is wrong with an entry is
/// told on the ConfigMap, and never concerns another one.
pub(super) fn add(cx: &mut Context<'_, '_>, listeners: &mut BTreeMap<ListenerName, Listener>) {
    refuse_udp(cx);
    let Some(wanted) = &cx.settings.tcp_services else { return };
    let Some(map) = cx.reader.config_map(&wanted.namespace, &wanted.name) else { return };
    let Some(model) = listeners.get(&ListenerName::new(MODEL)).cloned() else { return };
    let object = reference(wanted);
    let ports = |(name, listener): (&ListenerName, &Listener)| (listener.address.port(), name.to_string());
    let mut taken: BTreeMap<u16, String> = listeners.iter().map(ports).collect();
    for (key, value) in map.data.iter().flatten() {
        match listener(cx, (key, value), (&model, &taken)) {
            Ok((port, made)) => {
                let name = format!("tcp/{port}");
                taken.insert(port, name.clone());
                listeners.insert(ListenerName::new(name), made);
            }
            Err((reason, message)) => {
                cx.parts.problems.push(Problem::error(&object, field(key), reason, message));
            }
        }
    }
}

fn reference(name: &ConfigMapName) -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap.name(), &name.namespace, &name.name)
}

/// UDP has no connections to carry; a Service can be reached over it without a proxy.
fn refuse_udp(cx: &mut Context<'_, '_>) {
    let Some(wanted) = &cx.settings.udp_services else { return };
    let Some(map) = cx.reader.config_map(&wanted.namespace, &wanted.name) else { return };
    let object = reference(wanted);
    for (key, value) in map.data.iter().flatten() {
        let message = format!(
            "refused: UDP is not carried; give the Service of {} the type LoadBalancer or NodePort instead",
            quote(value)
        );
        cx.parts.problems.push(Problem::error(&object, field(key), "UdpNotSupported", message));
    }
}

/// The listener for an entry, with its port; the error is a reason and a clause for people.
fn listener(
    cx: &mut Context<'_, '_>,
    (key, value): (&str, &str),
    (model, taken): (&Listener, &BTreeMap<u16, String>),
) -> Result<(u16, Listener), (&'static str, String)> {
    let invalid = |message: String| ("InvalidTcpService", format!("{message}; it has no effect"));
    let port = number(key).ok_or_else(|| invalid(format!("{} is not a port from 1 to 65535", quote(key))))?;
    let asked = read(value).map_err(invalid)?;
    if let Some(holder) = taken.get(&port) {
        let message =
            format!("port {port} belongs to listener {holder}; choose another one; it has no effect");
        return Err(("TcpPortConflict", message));
    }
    let target = target(cx, &asked)?;
    let mut made = model.clone();
    made.address = SocketAddr::new(model.address.ip(), port);
    made.public_port = port;
    made.proxy_protocol = asked.takes_header;
    let backends = vec![BackendRef { target, weight: 1 }];
    made.protocol = ListenerProtocol::Tcp(TcpRoute { backends, connect_retries: cx.defaults.retry.attempts });
    cx.globals(true, None).listener.apply(&mut made);
    Ok((port, made))
}

/// Where the connections of an entry go. One whose Service is not there is no listener, so that nobody waits there.
fn target(cx: &mut Context<'_, '_>, asked: &Asked<'_>) -> Result<BackendTarget, (&'static str, String)> {
    let found = service::find(cx.reader, asked.namespace, asked.service, asked.port);
    let found = found.map_err(|fault: ServiceFault| {
        (service::reason(fault.invalid), format!("{}; nobody listens at its port", fault.message))
    })?;
    let name = BackendName { namespace: asked.namespace, service: asked.service, port: Some(found.port) };
    let (id, _) = rules::make(&mut cx.rules(), (name, found), Way::default());
    if !asked.sends_header {
        return Ok(BackendTarget::Backend(id));
    }
    let Some(part) = cx.parts.backends.get(&id) else {
        return Ok(BackendTarget::Invalid(InvalidBackend::Malformed));
    };
    let mut own = part.clone();
    own.backend.proxy_protocol = Some(ProxyProtocolVersion::V1);
    let id = BackendId::new(format!("{id}+proxy-protocol"));
    cx.parts.backends.insert(id.clone(), own);
    Ok(BackendTarget::Backend(id))
}

/// Reads `namespace/service:port`, with `:PROXY` behind it for what clients send and another one for what the Service
/// gets; the first may be empty. The error is a clause for people.
fn read(text: &str) -> Result<Asked<'_>, String> {
    let wrong = || {
        let text = quote(text);
        format!("{text} is not of the form NAMESPACE/SERVICE:PORT, with :PROXY behind it or without")
    };
    let mut parts = text.trim().split(':');
    let (name, port) = (parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
    let (namespace, service) = name.split_once('/').ok_or_else(wrong)?;
    if namespace.is_empty() || service.is_empty() || service.contains('/') || port.is_empty() {
        return Err(wrong());
    }
    let mut header = || match parts.next() {
        None | Some("") => Ok(false),
        Some(word) if word.eq_ignore_ascii_case("proxy") => Ok(true),
        Some(_) => Err(wrong()),
    };
    let (takes_header, sends_header) = (header()?, header()?);
    if parts.next().is_some() {
        return Err(wrong());
    }
    let port = number(port).map_or(PortRef::Name(port), |port| PortRef::Number(port.into()));
    Ok(Asked { namespace, service, port, takes_header, sends_header })
}

fn number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_a_service_and_where_headers_of_the_proxy_protocol_are() {
        let asked = |port, takes_header, sends_header| {
            Ok(Asked { namespace: "db", service: "orders", port, takes_header, sends_header })
        };
        let rows = [
            ("db/orders:5432", asked(PortRef::Number(5432), false, false)),
            ("db/orders:sql", asked(PortRef::Name("sql"), false, false)),
            ("db/orders:5432:PROXY", asked(PortRef::Number(5432), true, false)),
            ("db/orders:5432:proxy:Proxy", asked(PortRef::Number(5432), true, true)),
            ("db/orders:5432::PROXY", asked(PortRef::Number(5432), false, true)),
        ];
        for (text, wanted) in rows {
            assert_eq!(read(text), wanted, "{text}");
        }
        for text in
            ["", "orders:80", "db/orders", "db/:80", "/orders:80", "db/a/b:80", "a/b:80:X", "a/b:80:::"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
