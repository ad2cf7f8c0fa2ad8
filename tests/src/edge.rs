//! The whole edge on loopback: from manifests, through the program's own code, to sockets.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use selvedge_common::id::ListenerName;
use selvedge_ingress::{
    args::{Arguments, Command},
    translate,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::{Answer, Client},
    in_process::{InProcess, USUAL},
    tls::{self, TlsClient},
};

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running edge; dropping it stops it.
pub struct Edge {
    /// Address of the plain listener.
    pub http: SocketAddr,
    /// Address of the TLS listener.
    pub https: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
    _program: InProcess,
}

impl Edge {
    /// Starts it as `selvedge-ingress run` with these flags would, on free ports, and waits until it is ready.
    pub fn start(flags: &[&str]) -> Self {
        let words = ["selvedge-ingress", "run", "--https=127.0.0.1:0"].iter().chain(&USUAL).chain(flags);
        let arguments = <Arguments as clap::Parser>::try_parse_from(words).expect("the flags are right");
        let Command::Run(args) = arguments.command else { panic!("not the command run") };
        let program = InProcess::start::<translate::Edge>(args);
        let address = |name: &str| program.addresses[&ListenerName::new(name)];
        let (http, https) = (address("http"), address("https"));
        Self { http, https, admin: program.admin, _program: program }
    }

    /// Starts it with a folder of manifests.
    pub fn with_manifests(folder: &Path) -> Self {
        Self::start(&["--manifests", folder.to_str().expect("paths of tests are text")])
    }

    /// A GET for a host and path over HTTP/1.1 in clear text, on a connection of its own.
    pub fn get(&self, host: &str, path: &str) -> Answer {
        Client::connect(self.http).get(host, path)
    }

    /// A client over TLS that asks for this name and trusts just this certificate.
    pub fn tls(&self, name: &str, certificate: &CertificateDer<'static>) -> Client<TlsClient> {
        tls_client(self.https, name, certificate).expect("the handshake succeeds")
    }
}

/// Connects over TLS 1.2 or 1.3 with HTTP/1.1, asks for this name and trusts just this certificate.
///
/// # Errors
/// The handshake fails, for example as the certificate is another.
pub fn tls_client(
    address: SocketAddr,
    name: &str,
    certificate: &CertificateDer<'static>,
) -> io::Result<Client<TlsClient>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Client::over(tls::connect(address, Arc::new(config), name)?))
}

/// Asks again and again until there is an answer; panics after a long time.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        thread::yield_now();
    }
}

/// A folder for the manifests of one test.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Writes objects into a file of a folder, as an editor does: beside it, then renamed.
pub fn write(folder: &Path, name: &str, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let beside = folder.join(format!(".{name}.new"));
    std::fs::write(&beside, list.to_string()).expect("the folder can be written to");
    std::fs::rename(beside, folder.join(name)).expect("files can be renamed");
}

/// The objects of a YAML text.
pub fn objects(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("the YAML is right");
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// An EndpointSlice of a Service in namespace `default` with one ready endpoint, for the port of this name.
pub fn slice(name: &str, service: &str, port: Option<&str>, address: SocketAddr) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": if address.is_ipv6() { "IPv6" } else { "IPv4" },
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": port.unwrap_or_default(), "port": address.port(), "protocol": "TCP"}],
    })
}

/// A TLS Secret in namespace `default` for these hosts, freshly made, with its certificate.
pub fn tls_secret(name: &str, hosts: &[&str]) -> (Value, CertificateDer<'static>) {
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(hosts).expect("the hosts are names");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": "default"},
        "stringData": {"tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem()},
    });
    (secret, made.cert.der().clone())
}
