//! Backends of the cases: which Services there are, what their endpoints do, and where they listen.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::{
    origin::{self, Behaviour},
    seen::Seen,
};

/// A Service with one port, and its endpoints.
struct Service {
    name: &'static str,
    port: u16,
    endpoints: &'static [(&'static str, Behaviour)],
}

const fn service(name: &'static str, endpoints: &'static [(&'static str, Behaviour)]) -> Service {
    Service { name, port: 80, endpoints }
}

/// All Services but `multiport`, which has two ports. `nosuch` is none.
const SERVICES: &[Service] = &[
    service("echo-a", &[("10.244.1.1", Behaviour::Echo)]),
    service("echo-b", &[("10.244.1.2", Behaviour::Echo)]),
    service("echo-c", &[("10.244.1.3", Behaviour::Echo)]),
    service("echo-d", &[("10.244.1.4", Behaviour::Echo)]),
    service("echo-e", &[("10.244.1.5", Behaviour::Echo)]),
    service(
        "multi",
        &[("10.244.2.1", Behaviour::Echo), ("10.244.2.2", Behaviour::Echo), ("10.244.2.3", Behaviour::Echo)],
    ),
    service("half-dead", &[("10.244.3.1", Behaviour::Refuse), ("10.244.3.2", Behaviour::Echo)]),
    service("dead", &[("10.244.3.3", Behaviour::Refuse)]),
    service("half-closing", &[("10.244.3.4", Behaviour::Close), ("10.244.3.5", Behaviour::Echo)]),
    service("half-503", &[("10.244.3.6", Behaviour::Status(503)), ("10.244.3.7", Behaviour::Echo)]),
    service("two-503", &[("10.244.3.8", Behaviour::Status(503)), ("10.244.3.9", Behaviour::Status(503))]),
    service("half-404", &[("10.244.3.10", Behaviour::Status(404)), ("10.244.3.11", Behaviour::Echo)]),
    service("tool", &[("10.244.4.1", Behaviour::Tool)]),
    service("auth", &[("10.244.5.1", Behaviour::Auth)]),
    Service { name: "tls-echo", port: 443, endpoints: &[("10.244.6.1", Behaviour::Tls)] },
    service("errors", &[("10.244.8.1", Behaviour::ErrorPage)]),
    service("mirror-target", &[("10.244.9.2", Behaviour::Echo)]),
    service("empty", &[]),
];

/// The one endpoint of `multiport`, and its ports.
const MULTIPORT: (&str, [(&str, u16, u16); 2]) = ("10.244.7.1", [("http", 80, 8080), ("alt", 81, 8081)]);

/// URLs of annotations that name a Service here, as addresses of loopback are refused in them.
const NAMED: [(&str, &str); 3] = [
    ("http://10.244.5.1:8080", "http://auth.default.svc.cluster.local:80"),
    ("http://10.244.9.2:8080", "http://mirror-target.default.svc.cluster.local:80"),
    ("Host: 10.244.9.2", "Host: mirror-target.default.svc.cluster.local"),
];

/// An endpoint that runs.
struct Endpoint {
    service: String,
    /// Address as cases write it.
    written: String,
    /// Address where it listens.
    real: SocketAddr,
    /// Keeps the port of one that refuses connections.
    _kept: Option<Socket>,
}

/// Running backends, for one case at a time. They go on until the process ends.
pub struct Backends {
    endpoints: Vec<Endpoint>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Backends {
    /// Starts all of them, each on an address of loopback of its own.
    pub fn start() -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let mut endpoints = Vec::new();
        for service in SERVICES {
            for (ip, behaviour) in service.endpoints {
                let port = if *behaviour == Behaviour::Tls { 8443 } else { 8080 };
                endpoints.push(start(service.name, (ip, port), *behaviour, &seen));
            }
        }
        for (_, _, target) in MULTIPORT.1 {
            let name = format!("multiport:{target}");
            endpoints.push(start(&name, (MULTIPORT.0, target), Behaviour::Echo, &seen));
        }
        Self { endpoints, seen }
    }

    /// The text with the addresses where the endpoints listen, and with names of Services in place of addresses that no
    /// edge may be sent to.
    pub fn placed(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (written, name) in NAMED {
            text = text.replace(written, name);
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for Endpoint { written, real, .. } in &self.endpoints {
            let (ip, port) = written.split_once(':').expect("an address has a port");
            pairs.push((written.clone(), real.to_string()));
            pairs.push((format!("{ip}%3A{port}"), format!("{}%3A{}", real.ip(), real.port())));
            pairs.push((ip.to_owned(), real.ip().to_string()));
        }
        // The longest first, as one address may be the begin of another one.
        pairs.sort_by_key(|(written, _)| std::cmp::Reverse(written.len()));
        for (written, real) in pairs {
            text = text.replace(&written, &real);
        }
        text
    }

    /// The Services and their endpoints as objects.
    pub fn objects(&self) -> Vec<Value> {
        let mut objects = Vec::new();
        for Service { name, port, .. } in SERVICES {
            objects.push(service_object(name, &[(port_name(*port), *port, target(*port))]));
        }
        objects.push(service_object("multiport", &MULTIPORT.1));
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let (service, target) = endpoint.service.split_once(':').unwrap_or((&endpoint.service, ""));
            let port = match (service, target) {
                (_, "8081") => "alt",
                ("tls-echo", _) => "https",
                _ => "http",
            };
            objects.push(slice(&format!("{service}-{number}"), service, port, endpoint.real));
        }
        objects
    }

    /// How many requests were seen so far.
    pub fn count(&self) -> usize {
        self.seen.lock().expect("nobody panics with it").len()
    }

    /// What was seen after so many requests.
    pub fn since(&self, count: usize) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics with it")[count..].to_vec()
    }
}

fn start(
    service: &str,
    (ip, port): (&str, u16),
    behaviour: Behaviour,
    seen: &Arc<Mutex<Vec<Seen>>>,
) -> Endpoint {
    let written: Ipv4Addr = ip.parse().expect("addresses of the table are right");
    let [_, b, c, d] = written.octets();
    let address = SocketAddr::from(([127, b, c, d], 0));
    let (real, kept) = match behaviour {
        Behaviour::Refuse => {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("the system has sockets");
            socket.bind(&address.into()).expect("each address of loopback can be bound");
            let real = socket.local_addr().expect("a bound socket has an address");
            (real.as_socket().expect("an IPv4 socket has a socket address"), Some(socket))
        }
        _ => {
            let listener = TcpListener::bind(address).expect("each address of loopback can be bound");
            let real = listener.local_addr().expect("a bound socket has an address");
            let service = Arc::<str>::from(service);
            origin::run(listener, behaviour, service, seen.clone());
            (real, None)
        }
    };
    Endpoint { service: service.into(), written: format!("{ip}:{port}"), real, _kept: kept }
}

fn port_name(port: u16) -> &'static str {
    if port == 443 { "https" } else { "http" }
}

fn target(port: u16) -> u16 {
    if port == 443 { 8443 } else { 8080 }
}

fn service_object(name: &str, ports: &[(&str, u16, u16)]) -> Value {
    let port =
        |(name, port, target): &(&str, u16, u16)| json!({"name": name, "port": port, "targetPort": target});
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": ports.iter().map(port).collect::<Vec<_>>()},
    })
}

/// A slice of its own for each endpoint, as each listens on another port.
fn slice(name: &str, service: &str, port: &str, address: SocketAddr) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": port, "port": address.port(), "protocol": "TCP"}],
    })
}
