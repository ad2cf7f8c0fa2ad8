//! TLS of tests: certificates, clients that trust every one of them and tell which they got, and origins.

use std::{
    collections::HashSet,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion, client::danger::ServerCertVerifier, crypto::aws_lc_rs,
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use selvedge_common::{model::Certificate, upstream::tls::AnyBackend};

use crate::client::Client;

/// No handshake of a test takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client's TLS connection.
pub type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A self-signed certificate for these names.
pub fn certificate(names: &[&str]) -> Arc<Certificate> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("names of tests are valid");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    Arc::new(Certificate { chain_pem: chain.into_bytes().into(), key_pem: key.into_bytes().into() })
}

/// An authority of a test's own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// One of this name.
    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no name is wrong");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key()).expect("the key fits"))
    }

    /// Its own certificate, for whoever shall believe it.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names or addresses that it vouches for.
    pub fn certificate(&self, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names of tests are valid");
        let key = key();
        let chain = params.signed_by(&key, &self.0).expect("the key fits").pem();
        let key = key.serialize_pem();
        Certificate { chain_pem: chain.into_bytes().into(), key_pem: key.into_bytes().into() }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system gives random numbers")
}

/// The first certificate of a chain.
pub fn leaf(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&certificate.chain_pem).expect("certificates of tests are PEM")
}

/// Settings of a client with these versions and protocols.
pub fn settings(versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut settings = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has suites for the versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyBackend))
        .with_no_client_auth();
    settings.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(settings)
}

/// A verifier that accepts every certificate.
pub fn anyone() -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyBackend)
}

/// Settings of a client with both versions and these protocols.
pub fn usual(alpn: &[&str]) -> Arc<ClientConfig> {
    settings(&[&rustls::version::TLS13, &rustls::version::TLS12], alpn)
}

/// Connects and shakes hands; an address as name sends no SNI.
///
/// # Errors
/// When the handshake fails.
pub fn connect(address: SocketAddr, settings: Arc<ClientConfig>, name: &str) -> io::Result<TlsClient> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    tcp.set_nodelay(true)?;
    shake(tcp, settings, name)
}

/// Shakes hands on an open connection; an address as name sends no SNI.
///
/// # Errors
/// When the handshake fails.
pub fn shake(tcp: TcpStream, settings: Arc<ClientConfig>, name: &str) -> io::Result<TlsClient> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let session = ClientConnection::new(settings, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// An HTTP/1.1 client under TLS with this name in SNI.
pub fn client(address: SocketAddr, name: &str) -> Client<TlsClient> {
    Client::over(connect(address, usual(&["http/1.1"]), name).expect("the handshake succeeds"))
}

/// The certificate that a client with this name in SNI is shown.
pub fn shown(address: SocketAddr, name: &str) -> CertificateDer<'static> {
    let stream = connect(address, usual(&[]), name).expect("the handshake succeeds");
    let chain = stream.conn.peer_certificates().expect("servers have certificates");
    chain[0].clone().into_owned()
}

/// What an origin under TLS saw of a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shaken {
    /// Name in SNI.
    pub name: Option<String>,
    /// Protocol agreed on by ALPN.
    pub alpn: Option<String>,
}

/// A running origin under TLS that answers each request on a connection with the same bytes.
pub struct TlsOrigin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<HashSet<Shaken>>>,
}

impl TlsOrigin {
    /// An HTTP/1.1 origin that accepts these protocols by ALPN.
    pub fn answering(alpn: &[&str], answer: &'static str) -> Self {
        Self::with(server_settings(alpn), answer)
    }

    /// An HTTP/1.1 origin with these settings.
    pub fn with(settings: Arc<ServerConfig>, answer: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen: Arc<Mutex<HashSet<Shaken>>> = Arc::default();
        let noted = seen.clone();
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let (settings, noted) = (settings.clone(), noted.clone());
                thread::spawn(move || serve(tcp, settings, &noted, answer));
            }
        });
        Self { address, seen }
    }

    /// The handshakes so far.
    pub fn seen(&self) -> HashSet<Shaken> {
        self.seen.lock().expect("no test panics while it holds this").clone()
    }
}

/// Settings of an origin with a certificate of its own.
pub fn server_settings(alpn: &[&str]) -> Arc<ServerConfig> {
    settings_with(&certificate(&["origin.invalid"]), None, alpn)
}

/// Settings of an origin with this certificate. Where one is given for clients, they must show just that.
pub fn settings_with(
    certificate: &Certificate,
    clients: Option<&Certificate>,
    alpn: &[&str],
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_slice(&certificate.key_pem).expect("keys of tests are PEM");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let settings = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites");
    let settings = match clients {
        None => settings.with_no_client_auth(),
        Some(only) => {
            let mut roots = RootCertStore::empty();
            roots.add(leaf(only)).expect("certificates of tests can be trusted");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            settings.with_client_cert_verifier(verifier.expect("there is one to trust"))
        }
    };
    let mut settings =
        settings.with_single_cert(vec![leaf(certificate)], key).expect("key and certificate are a pair");
    settings.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(settings)
}

fn serve(
    mut tcp: TcpStream,
    settings: Arc<ServerConfig>,
    seen: &Mutex<HashSet<Shaken>>,
    answer: &str,
) -> Option<()> {
    let mut session = ServerConnection::new(settings).ok()?;
    while session.is_handshaking() {
        session.complete_io(&mut tcp).ok()?;
    }
    let alpn = session.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
    let shaken = Shaken { name: session.server_name().map(str::to_owned), alpn };
    seen.lock().expect("no test panics while it holds this").insert(shaken);
    let mut stream = StreamOwned::new(session, tcp);
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&piece[..count]);
        if text.ends_with(b"\r\n\r\n") {
            text.clear();
            stream.write_all(answer.as_bytes()).ok()?;
        }
    }
}
