//! TLS towards backends: one set of settings for each protocol.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::model::{BackendProtocol, BackendTls};

/// Settings towards backends, made once for each protocol. The certificate of the backend is not verified: this
/// protects against listening, not against an impostor, until a policy names a CA.
pub fn client_settings(protocol: BackendProtocol) -> Arc<ClientConfig> {
    static HTTP1: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    static HTTP2: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let (made, alpn) = match protocol {
        BackendProtocol::Http1 => (&HTTP1, "http/1.1"),
        BackendProtocol::Http2 => (&HTTP2, "h2"),
    };
    made.get_or_init(|| {
        let mut settings = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
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

/// Accepts every certificate of a backend.
///
/// A Service port with `appProtocol: https` asks for encryption and says nothing about who signs, and pods mostly
/// have certificates of their own making. So this protects against listening, not against an impostor, until a
/// policy names a CA. Signatures are not checked either: they would prove a key that nobody vouches for, and
/// checking them would refuse the odd certificates that such pods have.
#[derive(Debug)]
pub(crate) struct AnyBackend;

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
