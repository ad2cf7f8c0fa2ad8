//! TLS towards backends: whom to believe, and what to show to those who ask who we are.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock, OnceLock},
};

use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
    client::{
        WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use crate::model::{Backend, BackendProtocol, BackendTls, Certificate, Trust};

/// TLS to the endpoints of a backend, made once for all of them.
#[derive(Debug)]
pub struct Secured {
    /// What was asked for.
    pub tls: BackendTls,
    /// The same for handshakes.
    pub settings: Arc<ClientConfig>,
}

impl Secured {
    /// `None` if the backend is spoken to in plain text.
    pub(super) fn of(backend: &Backend) -> Option<Arc<Self>> {
        let tls = backend.tls.clone()?;
        let settings = match tls {
            BackendTls { trust: Trust::Anyone, client_certificate: None, .. } => {
                client_settings(backend.protocol)
            }
            _ => settings(&tls, backend.protocol),
        };
        Some(Arc::new(Self { tls, settings }))
    }
}

/// Settings that believe anybody and show nothing, made once for each protocol.
pub fn client_settings(protocol: BackendProtocol) -> Arc<ClientConfig> {
    static HTTP1: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    static HTTP2: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let made = match protocol {
        BackendProtocol::Http1 => &HTTP1,
        BackendProtocol::Http2 => &HTTP2,
    };
    made.get_or_init(|| Arc::new(make(&BackendTls::default(), protocol))).clone()
}

/// Settings by which somebody is believed, and something shown.
pub fn settings(tls: &BackendTls, protocol: BackendProtocol) -> Arc<ClientConfig> {
    Arc::new(make(tls, protocol))
}

fn make(tls: &BackendTls, protocol: BackendProtocol) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites for both versions");
    let mut settings = show(believe(builder, &tls.trust), tls.client_certificate.as_deref());
    let alpn: &[u8] = match protocol {
        BackendProtocol::Http1 => b"http/1.1",
        BackendProtocol::Http2 => b"h2",
    };
    settings.alpn_protocols = vec![alpn.to_vec()];
    settings
}

fn believe(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    trust: &Trust,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    match trust {
        Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyBackend)),
        Trust::System => builder.with_root_certificates(SYSTEM.clone()),
        Trust::Authorities(pem) => builder.with_root_certificates(authorities(pem)),
    }
}

/// The authorities that the system trusts, read once.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "authorities of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    Arc::new(roots)
});

/// What cannot be read is left out; if nothing can be, nobody is believed.
fn authorities(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
    if roots.is_empty() {
        tracing::warn!("no certificate of an authority can be read, so no endpoint of a backend is believed");
    }
    roots
}

/// A certificate that cannot be used is not shown; endpoints that ask for one then refuse us.
fn show(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: Option<&Certificate>,
) -> ClientConfig {
    let Some(certificate) = certificate else { return builder.with_no_client_auth() };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate.chain_pem).collect();
    let key = PrivateKeyDer::from_pem_slice(&certificate.key_pem);
    let (Ok(chain), Ok(key)) = (chain, key) else {
        tracing::warn!("the certificate to show to endpoints of a backend is no PEM; none is shown");
        return builder.with_no_client_auth();
    };
    match builder.clone().with_client_auth_cert(chain, key) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::warn!(%error, "the certificate to show to endpoints of a backend cannot be used; none is shown");
            builder.with_no_client_auth()
        }
    }
}

/// The name for a handshake with a backend. Without a name, or with one that is no DNS name, the address stands in,
/// and no SNI is sent.
pub fn backend_name(tls: &BackendTls, address: SocketAddr) -> ServerName<'static> {
    let name = tls.server_name.as_deref().and_then(|name| ServerName::try_from(name).ok());
    name.map_or_else(|| ServerName::IpAddress(address.ip().into()), |name| name.to_owned())
}

/// Accepts every certificate of a backend.
///
/// A Service port with `appProtocol: https` asks for encryption and says nothing about who signs, and pods mostly
/// have certificates of their own making. So this protects against listening, not against an impostor, unless a
/// policy names an authority. Signatures are not checked either: they would prove a key that nobody vouches for, and
/// checking them would refuse the odd certificates that such pods have.
#[derive(Debug)]
pub struct AnyBackend;

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
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(trust: Trust, client_certificate: Option<Arc<Certificate>>) -> Backend {
        let tls = BackendTls { server_name: None, trust, client_certificate };
        Backend { tls: Some(tls), ..Backend::default() }
    }

    #[test]
    fn settings_are_shared_where_nothing_is_said_and_made_where_something_is() {
        let usual = client_settings(BackendProtocol::Http1);
        let made = |backend: &Backend| Secured::of(backend).unwrap().settings.clone();
        assert!(Arc::ptr_eq(&made(&backend(Trust::Anyone, None)), &usual));
        assert!(!Arc::ptr_eq(&made(&backend(Trust::Authorities("".into()), None)), &usual));
        assert!(Secured::of(&Backend::default()).is_none());
    }

    #[test]
    fn what_cannot_be_used_harms_nothing_else() {
        assert!(authorities("nonsense").is_empty());
        let nonsense = Certificate { chain_pem: (*b"x").into(), key_pem: (*b"y").into() };
        let settings =
            Secured::of(&backend(Trust::System, Some(Arc::new(nonsense)))).unwrap().settings.clone();
        assert!(!settings.client_auth_cert_resolver.has_certs());
        let made = rcgen::generate_simple_self_signed(["router".to_owned()]).unwrap();
        let ours = Certificate {
            chain_pem: made.cert.pem().into_bytes().into(),
            key_pem: made.signing_key.serialize_pem().into_bytes().into(),
        };
        let settings = Secured::of(&backend(Trust::Anyone, Some(Arc::new(ours)))).unwrap().settings.clone();
        assert!(settings.client_auth_cert_resolver.has_certs());
    }
}
