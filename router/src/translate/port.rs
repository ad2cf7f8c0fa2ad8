//! Ports of the router that Services ask for, for callers that cannot name a host and for what is no HTTP.

use std::{collections::BTreeMap, net::SocketAddr};

use k8s_openapi::api::core::v1 as core;
use selvedge_common::{
    id::ListenerName,
    kube::{
        objects::Object,
        reader::Unit,
        rules::{self, BackendName, Context},
        service::{reason, tcp_ports},
    },
    model::{BackendRef, BackendTarget, Listener, ListenerProtocol, Problem, ServiceNames, TcpRoute},
};

use super::service::{names, service_ref};

/// Annotation by which a Service asks for ports of the router: `9001`, or for one of several `8080=9001`, each with
/// `/tcp` behind it for what is no HTTP; several are separated by commas.
const ANNOTATION: &str = "selvedge.dev/router-port";

/// The listener that others are made like.
const MODEL: &str = "http";

/// A port of the router for a port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// Number of the port of the Service.
    port: u16,
    /// Number of the port of the router.
    at: u16,
    /// Bytes are carried as they are.
    is_tcp: bool,
}

/// Whether a Service asks for ports of the router.
pub(super) fn is_asked_for(service: &core::Service) -> bool {
    annotation(service).is_some()
}

/// What is wrong with the annotation of a Service.
pub(super) fn problems(service: &core::Service) -> Vec<Problem> {
    let wrong = |message| {
        Problem::error(
            &service_ref(service),
            field(),
            "InvalidRouterPort",
            format!("{message}; it has no effect"),
        )
    };
    asked(service).err().map(wrong).into_iter().collect()
}

/// Adds a listener for each port that is asked for. Where two Services ask for the same one the older gets it, or the
/// first by namespace and name; the others are told.
pub(super) fn listeners(
    cx: &mut Context<'_, '_>,
    listeners: &mut BTreeMap<ListenerName, Listener>,
) -> Vec<Problem> {
    let Some(model) = listeners.get(&ListenerName::new(MODEL)).cloned() else { return Vec::new() };
    let mut taken: BTreeMap<u16, String> = listeners
        .iter()
        .map(|(name, listener)| (listener.address.port(), format!("listener {name}")))
        .collect();
    let mut problems = Vec::new();
    let reader = cx.reader;
    let asking = reader.declaring(&Unit::Base).filter_map(|object| match object {
        Object::Service(service) => Some(service),
        _ => None,
    });
    let mut asking: Vec<_> = asking.collect();
    asking.sort_by(|a, b| rules::age(&a.metadata).cmp(&rules::age(&b.metadata)));
    for service in asking {
        let (namespace, name) = names(service);
        for asked in asked(service).unwrap_or_default() {
            let listener = format!("{namespace}/{name}:{}", asked.port);
            if let Some(holder) = taken.get(&asked.at) {
                let message =
                    format!("port {} of the router belongs to {holder}; choose another one", asked.at);
                problems.push(Problem::error(&service_ref(service), field(), "RouterPortConflict", message));
                continue;
            }
            taken.insert(asked.at, format!("Service {namespace}/{name}"));
            let (made, wrong) = make(cx, &model, service, asked);
            problems.extend(wrong);
            listeners.insert(ListenerName::new(listener), made);
        }
    }
    problems
}

fn make(
    cx: &mut Context<'_, '_>,
    model: &Listener,
    service: &core::Service,
    asked: Asked,
) -> (Listener, Option<Problem>) {
    let (namespace, name) = names(service);
    let mut listener = model.clone();
    listener.address = SocketAddr::new(model.address.ip(), asked.at);
    listener.public_port = asked.at;
    listener.pass_through = None;
    if !asked.is_tcp {
        let fixed = Some(format!("{name}.{namespace}:{}", asked.port).into());
        listener.service_names = Some(ServiceNames { fixed, ..ServiceNames::default() });
        return (listener, None);
    }
    let target = BackendName { namespace, service: name, port: Some(asked.port) };
    let (target, wrong) = match rules::resolve(cx, target, None) {
        Ok((id, _)) => (BackendTarget::Backend(id), None),
        Err(fault) => {
            let message = format!("{}; connections are closed", fault.message);
            let problem = Problem::error(&service_ref(service), field(), reason(fault.invalid), message);
            (BackendTarget::Invalid(fault.invalid), Some(problem))
        }
    };
    let backends = vec![BackendRef { target, weight: 1 }];
    listener.protocol =
        ListenerProtocol::Tcp(TcpRoute { backends, connect_retries: cx.defaults.retry.attempts });
    (listener, wrong)
}

/// What a Service asks for; the error is a clause for people.
fn asked(service: &core::Service) -> Result<Vec<Asked>, String> {
    let Some(text) = annotation(service) else { return Ok(Vec::new()) };
    let ports: Vec<_> = tcp_ports(service).collect();
    text.split(',').map(|part| read(part.trim(), &ports)).collect()
}

fn read(text: &str, ports: &[u16]) -> Result<Asked, String> {
    let form =
        || format!("{text:?} is not of the form PORT, SERVICE_PORT=PORT or either with /tcp behind it");
    let (rest, is_tcp) = match text.split_once('/') {
        None => (text, false),
        Some((rest, "tcp")) => (rest, true),
        Some((rest, "http")) => (rest, false),
        Some(_) => return Err(form()),
    };
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(form);
    let (port, at) = match (rest.split_once('='), ports) {
        (Some((port, at)), _) => (number(port)?, number(at)?),
        (None, [port]) => (*port, number(rest)?),
        (None, []) => return Err("the Service has no TCP port".to_owned()),
        (None, [first, ..]) => {
            let listed = list(ports);
            let why = format!("{text:?} does not say which port of the Service is meant (it has {listed})");
            return Err(format!("{why}; write for example {first}={text}"));
        }
    };
    match ports.contains(&port) {
        true => Ok(Asked { port, at, is_tcp }),
        false => Err(format!("the Service has no TCP port {port} (it has {})", list(ports))),
    }
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn annotation(service: &core::Service) -> Option<&str> {
    service.metadata.annotations.as_ref()?.get(ANNOTATION).map(String::as_str)
}

fn field() -> String {
    format!("metadata.annotations[{ANNOTATION}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_asked_for_alone_or_for_one_of_several() {
        let asked = |port, at, is_tcp| Ok(Asked { port, at, is_tcp });
        let rows = [
            ("9001", &[80][..], asked(80, 9001, false)),
            ("9001/tcp", &[80], asked(80, 9001, true)),
            ("8080=9001", &[80, 8080], asked(8080, 9001, false)),
            ("5432 = 9002/tcp", &[80, 5432], asked(5432, 9002, true)),
        ];
        for (text, ports, wanted) in rows {
            assert_eq!(read(text, ports), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_port_is_told() {
        let rows = [
            ("", &[80][..], "is not of the form"),
            ("0", &[80], "is not of the form"),
            ("70000", &[80], "is not of the form"),
            ("9001/udp", &[80], "is not of the form"),
            ("9001", &[80, 81], "does not say which port"),
            ("9001", &[], "has no TCP port"),
            ("82=9001", &[80, 81], "has no TCP port 82"),
        ];
        for (text, ports, wanted) in rows {
            let error = read(text, ports).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
