//! The whole router on loopback: from manifests, through the program's own code, to sockets.

use std::{net::SocketAddr, path::Path};

use clap::Parser;
use selvedge_router::{
    args::{Arguments, Command},
    translate::Tier,
};
use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    in_process::{InProcess, USUAL},
};

/// A running router; dropping it stops it.
pub struct Router {
    /// Address of the plain listener.
    pub http: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
    _program: InProcess,
}

impl Router {
    /// Starts it as `selvedge-router run` with these flags would, on free ports, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(flags: &[&str]) -> Self {
        let words = ["selvedge-router", "run"].iter().chain(&USUAL).chain(flags);
        let arguments = Arguments::try_parse_from(words).expect("the flags are right");
        let Command::Run(args) = arguments.command else { panic!("not the command run") };
        let program = InProcess::start::<Tier>(args);
        Self { http: program.addresses[&"http".into()], admin: program.admin, _program: program }
    }

    /// Starts it with a folder of manifests.
    pub fn with_manifests(folder: &Path) -> Self {
        Self::start(&["--manifests", folder.to_str().expect("paths of tests are text")])
    }

    /// A GET for a host and path over HTTP/1.1, on a connection of its own.
    pub fn get(&self, host: &str, path: &str) -> Answer {
        Client::connect(self.http).get(host, path)
    }
}

/// A Service with one port, and an EndpointSlice with its ready endpoints, all of IPv4. Port and endpoints may differ.
pub fn service(namespace: &str, name: &str, port: u16, endpoints: &[SocketAddr]) -> Vec<Value> {
    let metadata = json!({"name": name, "namespace": namespace});
    let mut objects = vec![json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"ports": [{"name": "http", "port": port}]},
    })];
    // Each has a slice of its own, as on loopback each has another port.
    objects.extend(endpoints.iter().enumerate().map(|(index, address)| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": format!("{name}-{index}"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "http", "port": address.port()}],
        })
    }));
    objects
}
