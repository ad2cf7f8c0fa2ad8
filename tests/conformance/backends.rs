//! Backends that answer with what they saw, and an edge before them.

use std::io::Write;

use rustls_pki_types::CertificateDer;
use selvedge_tests::{
    client::{Answer, Client},
    edge::{self, Edge},
    origin::{After, Origin},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The class of every Ingress of the features; theirs have none and the suite fills in one that is under test.
pub const CLASS: &str = "conformance";

/// What a backend saw of a request and said of itself.
#[derive(Debug)]
pub struct Served {
    /// The answer as the client got it.
    pub answer: Answer,
    echo: Value,
}

impl Served {
    /// Takes an answer; its body is what the backend says unless the edge itself has answered.
    pub fn new(answer: Answer) -> Self {
        let echo = serde_json::from_slice(&answer.body).unwrap_or_default();
        Self { answer, echo }
    }

    /// What the backend says: `service`, `pod`, `method`, `path`, `proto`, `host` or `user-agent`.
    pub fn says(&self, what: &str) -> Option<&str> {
        self.echo[what].as_str()
    }

    /// Insists on 200 from this service.
    #[track_caller]
    pub fn assert_by(&self, service: &str) {
        assert_eq!((self.answer.status, self.says("service")), (200, Some(service)), "{self:?}");
    }
}

/// A backend of this name that says what it saw.
pub fn backend(service: &str, pod: &str) -> Origin {
    let (service, pod) = (service.to_owned(), pod.to_owned());
    Origin::scripted(move |seen, stream| {
        let mut words = seen.line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let echo = json!({
            "service": service, "pod": pod, "method": word(), "path": word(), "proto": word(),
            "host": seen.field("host"), "user-agent": seen.field("user-agent"),
        });
        let body = echo.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        match stream.write_all(format!("{head}{body}").as_bytes()) {
            Ok(()) => After::KeepOpen,
            Err(_) => After::Close,
        }
    })
}

/// The class, and a Service with its endpoints for each name.
pub fn surroundings(services: &[&str], pods: usize) -> Vec<Value> {
    let mut objects = vec![json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": CLASS},
        "spec": {"controller": "selvedge.dev/ingress"},
    })];
    for service in services {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": service, "namespace": "default"},
            "spec": {"ports": [{"name": "http", "port": 8080, "targetPort": 3000}]},
        }));
        for number in 0..pods {
            let pod = format!("{service}-{number}");
            let origin = backend(service, &pod);
            objects.push(edge::slice(&pod, service, Some("http"), origin.address));
        }
    }
    objects
}

/// A running edge with its manifests.
pub struct Feature {
    /// The edge.
    pub edge: Edge,
    /// The certificate of its Secret.
    pub certificate: CertificateDer<'static>,
    _manifests: TempDir,
}

impl Feature {
    /// An edge that serves this Ingress; a Secret `conformance-tls` for `foo.bar.com` is there.
    pub fn start(ingress: &str, services: &[&str], pods: usize) -> Self {
        let manifests = edge::folder();
        let mut objects = surroundings(services, pods);
        let (secret, certificate) = edge::tls_secret("conformance-tls", &["foo.bar.com"]);
        objects.push(secret);
        objects.extend(edge::objects(ingress));
        edge::write(manifests.path(), "objects.json", &objects);
        Self { edge: Edge::with_manifests(manifests.path()), certificate, _manifests: manifests }
    }

    /// A GET in clear text on a connection of its own.
    pub fn get(&self, host: &str, path: &str) -> Served {
        Served::new(Client::connect(self.edge.http).get(host, path))
    }
}
