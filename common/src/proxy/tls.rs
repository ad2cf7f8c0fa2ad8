//! TLS on both sides: certificates ready for use, settings towards clients and towards backends.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, LazyLock, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use crate::{
    id::CertificateId,
    model::{BackendProtocol, BackendTls, Certificate},
    source::Rejected,
};

/// Algorithms for both sides. Those of rustls for TLS 1.2 are all AEAD with ECDHE; 1.3 has no others.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Certificates with their keys, ready for handshakes.
#[derive(Debug, Default)]
pub struct LiveCertificates {
    by_id: HashMap<CertificateId, Entry, foldhash::fast::RandomState>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// What was wanted last, good or bad; held so that the same address means the same certificate.
    source: Arc<Certificate>,
    /// The last good one.
    key: Option<Arc<CertifiedKey>>,
    /// Why `source` is not the one in `key`.
    problem: Option<Arc<str>>,
}

/// Why a certificate cannot be used, in words for the owner of the Secret.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The chain is not PEM.
    #[error("tls.crt is not valid PEM ({0}); put the certificate chain there, leaf first")]
    ChainSyntax(rustls_pki_types::pem::Error),
    /// There is no certificate in the chain.
    #[error("tls.crt holds no certificate; put the certificate chain there as PEM, leaf first")]
    NoCertificate,
    /// The key is not PEM, encrypted or missing.
    #[error("tls.key holds no usable private key ({0}); put one there as PEM, unencrypted")]
    KeySyntax(rustls_pki_types::pem::Error),
    /// The key is of a kind that is not supported.
    #[error(
        "tls.key is of an unsupported kind ({0}); use RSA of at least 2048 bits, ECDSA P-256, P-384, P-521 or Ed25519"
    )]
    KeyKind(Error),
    /// The key belongs to another certificate, or the leaf cannot be read.
    #[error(
        "tls.key does not belong to the first certificate of tls.crt ({0}); put both of one pair there, leaf first"
    )]
    Mismatch(Error),
}

impl LiveCertificates {
    /// Makes the wanted certificates ready. What is bad is returned, each time until it is mended, and the last
    /// good certificate of the same id stays. An `Arc` that is the same in `previous` is not parsed again.
    pub fn build(
        wanted: &BTreeMap<CertificateId, Arc<Certificate>>,
        previous: Option<&Self>,
    ) -> (Self, Vec<Rejected>) {
        let mut rejected = Vec::new();
        let mut by_id = HashMap::with_capacity_and_hasher(wanted.len(), Default::default());
        for (id, source) in wanted {
            let entry = Entry::build(source, previous.and_then(|previous| previous.by_id.get(id)));
            if let Some(problem) = &entry.problem {
                rejected.push(Rejected { certificate: id.clone(), message: problem.to_string() });
            }
            by_id.insert(id.clone(), entry);
        }
        (Self { by_id }, rejected)
    }

    /// The certificate with this id; `None` if there never was a good one.
    pub fn get(&self, id: &CertificateId) -> Option<&Arc<CertifiedKey>> {
        self.by_id.get(id)?.key.as_ref()
    }
}

impl Entry {
    fn build(source: &Arc<Certificate>, previous: Option<&Self>) -> Self {
        if let Some(previous) = previous
            && (Arc::ptr_eq(&previous.source, source) || previous.source == *source)
        {
            return previous.clone();
        }
        let (key, problem) = match load(source) {
            Ok(key) => (Some(Arc::new(key)), None),
            Err(error) => {
                (previous.and_then(|previous| previous.key.clone()), Some(error.to_string().into()))
            }
        };
        Self { source: source.clone(), key, problem }
    }
}

/// Parses a chain and its key and checks that they belong together. Dates and names are not looked at: an expired
/// certificate is the owner's decision, and serving none would not be better.
///
/// # Errors
/// A sentence that says which part is wrong and what to do.
pub fn load(certificate: &Certificate) -> Result<CertifiedKey, CertificateError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate.chain_pem)
        .collect::<Result<_, _>>()
        .map_err(CertificateError::ChainSyntax)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(&certificate.key_pem).map_err(CertificateError::KeySyntax)?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(CertificateError::KeyKind)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(CertificateError::Mismatch)?;
    Ok(certified)
}

/// A certificate of our own, for listeners without a default one. Names no host that could exist.
pub fn self_signed() -> CertifiedKey {
    let pair = rcgen::generate_simple_self_signed(["selvedge.invalid".to_owned()])
        .expect("a constant host name makes a valid certificate");
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("a generated key is PKCS #8");
    let key = aws_lc_rs::sign::any_supported_type(&key).expect("a generated key is of a supported kind");
    CertifiedKey::new(vec![pair.cert.der().clone()], key)
}

/// Settings towards clients: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, one session ticket, nothing remembered here.
///
/// # Errors
/// If the system gives no randomness for the keys of tickets.
pub fn server_settings(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, Error> {
    let mut settings = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    settings.ticketer = aws_lc_rs::Ticketer::new()?;
    settings.send_tls13_tickets = 1;
    Ok(Arc::new(settings))
}

/// Settings towards backends, made once for each protocol. The certificate of the backend is not verified: see
/// [`AnyBackend`].
pub fn client_settings(protocol: BackendProtocol) -> Arc<ClientConfig> {
    static HTTP1: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    static HTTP2: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let (made, alpn) = match protocol {
        BackendProtocol::Http1 => (&HTTP1, "http/1.1"),
        BackendProtocol::Http2 => (&HTTP2, "h2"),
    };
    made.get_or_init(|| {
        let mut settings = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider has suites for both versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyBackend))
            .with_no_client_auth();
        settings.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Arc::new(settings)
    })
    .clone()
}

/// The name for a handshake with a backend. Without a name, or with one that is no DNS name, the address stands in,
/// and no SNI is sent.
pub fn backend_name(tls: &BackendTls, address: SocketAddr) -> ServerName<'static> {
    let name = tls.server_name.as_deref().and_then(|name| ServerName::try_from(name).ok());
    name.map_or_else(|| ServerName::IpAddress(address.ip().into()), |name| name.to_owned())
}

/// Whether a request came over a connection for another host (RFC 9110 §15.5.20), to be answered 421.
///
/// `by_name` is the certificate of the name in SNI, `by_host` that of the request's host, both found in the same
/// table; `None` is the default certificate. One certificate for both names is fine. Without SNI, or with a name that
/// has no certificate of its own, the host decides as usual; likewise if the host has none of its own.
pub fn is_misdirected(by_name: Option<&CertificateId>, by_host: Option<&CertificateId>) -> bool {
    matches!((by_name, by_host), (Some(by_name), Some(by_host)) if by_name != by_host)
}

/// Accepts every certificate of a backend.
///
/// A Service port with `appProtocol: https` asks for encryption and says nothing about who signs, and pods mostly
/// have certificates of their own making. So this protects against listening, not against an impostor, until a
/// policy names a CA. Signatures are not checked either: they would prove a key that nobody vouches for, and
/// checking them would refuse the odd certificates that such pods have.
#[derive(Debug)]
struct AnyBackend;

impl ServerCertVerifier for AnyBackend {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
