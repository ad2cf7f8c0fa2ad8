//! TLS towards clients: certificates ready for use and the settings of handshakes.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use rustls::{
    Error, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoClientAuth, NoServerSessionStorage, ResolvesServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{
    id::CertificateId,
    model::{Certificate, Difference, SharedMap},
    source::{Rejected, RejectedPart},
};

/// Algorithms for both sides. Those of rustls for TLS 1.2 are all AEAD with ECDHE; 1.3 has no others.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Algorithms for both sides.
pub(super) fn provider() -> &'static CryptoProvider {
    &PROVIDER
}

/// Certificates with their keys, ready for handshakes.
#[derive(Clone, Debug, Default)]
pub struct LiveCertificates {
    /// The last good one of each.
    by_id: SharedMap<CertificateId, Arc<CertifiedKey>>,
    /// What they were made from, good or bad.
    wanted: SharedMap<CertificateId, Arc<Certificate>>,
    /// Why those that are wanted and cannot be used cannot.
    problems: BTreeMap<CertificateId, Arc<str>>,
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
    #[error("tls.key is of an unsupported kind ({0}); use RSA of 2048 bits or more, ECDSA or Ed25519")]
    KeyKind(Error),
    /// The key belongs to another certificate, or the leaf cannot be read.
    #[error(
        "tls.key does not fit the first certificate of tls.crt ({0}); put both of one pair there, leaf first"
    )]
    Mismatch(Error),
}

impl LiveCertificates {
    /// Makes the wanted certificates ready. What is bad is returned, each time until it is mended, and the
    /// last good certificate of the same id stays. Only what differs from `previous` is looked at.
    pub fn build(
        wanted: &SharedMap<CertificateId, Arc<Certificate>>,
        previous: Option<&Self>,
    ) -> (Self, Vec<Rejected>) {
        let mut live = previous.cloned().unwrap_or_default();
        let before = std::mem::replace(&mut live.wanted, wanted.clone());
        for Difference { key: id, after, .. } in wanted.differences(&before) {
            live.problems.remove(id);
            match after.map(|certificate| load(certificate)) {
                Some(Ok(key)) => drop(live.by_id.insert(id.clone(), Arc::new(key))),
                Some(Err(error)) => drop(live.problems.insert(id.clone(), error.to_string().into())),
                None => drop(live.by_id.remove(id)),
            }
        }
        let rejected = live.problems.iter().map(|(id, problem)| {
            let part = RejectedPart::Certificate(id.clone());
            Rejected { part, message: problem.to_string() }
        });
        let rejected = rejected.collect();
        (live, rejected)
    }

    /// The certificate with this id; `None` if there never was a good one.
    pub fn get(&self, id: &CertificateId) -> Option<&Arc<CertifiedKey>> {
        self.by_id.get(id)
    }
}

/// Parses a chain and its key and checks that they belong together. Dates and names are not looked at: an
/// expired certificate is the owner's decision, and serving none would not be better.
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

/// Settings towards clients: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, one session ticket, nothing remembered
/// here.
///
/// # Errors
/// If the system gives no randomness for the keys of tickets.
pub fn server_settings(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, Error> {
    settings_with(Arc::new(NoClientAuth), resolver)
}

/// As [`server_settings`], with a verifier of clients. Each call makes keys of its own, so that a session goes on only
/// where it was begun.
///
/// # Errors
/// If the system gives no randomness for the keys of tickets.
pub(super) fn settings_with(
    verifier: Arc<dyn ClientCertVerifier>,
    resolver: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut settings = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    settings.ticketer = aws_lc_rs::Ticketer::new()?;
    settings.send_tls13_tickets = 1;
    Ok(Arc::new(settings))
}

/// Whether a request came over a connection for another host (RFC 9110 §15.5.20), to be answered 421.
///
/// `by_name` is the certificate of the name in SNI, `by_host` that of the request's host, both found in the
/// same table; `None` is the default certificate. One certificate for both names is fine. Without SNI, or
/// with a name that has no certificate of its own, the host decides as usual; likewise if the host has none
/// of its own.
pub fn is_misdirected(by_name: Option<&CertificateId>, by_host: Option<&CertificateId>) -> bool {
    matches!((by_name, by_host), (Some(by_name), Some(by_host)) if by_name != by_host)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Cursor, Read},
        net::SocketAddr,
    };

    use rustls::{
        ClientConfig, ProtocolVersion, ServerConnection, SupportedCipherSuite,
        pki_types::pem::PemObject as _, server::ClientHello,
    };
    use rustls_pki_types::ServerName;
    use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

    use super::*;
    use crate::{
        model::{BackendProtocol, BackendTls, RouteSet, VirtualHost},
        routing::Table,
        upstream::tls::{backend_name, client_settings},
    };

    fn pair(names: &[&str]) -> Arc<Certificate> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let chain_pem = made.cert.pem().into_bytes().into();
        Arc::new(Certificate { chain_pem, key_pem: made.signing_key.serialize_pem().into_bytes().into() })
    }

    fn leaf(certificate: &Certificate) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(&certificate.chain_pem).unwrap()
    }

    fn wanted(list: &[(&str, &Arc<Certificate>)]) -> SharedMap<CertificateId, Arc<Certificate>> {
        list.iter().map(|(id, certificate)| ((*id).into(), (*certificate).clone())).collect()
    }

    /// Chooses as a listener does: by name, else the default.
    #[derive(Debug)]
    struct Names {
        table: Table<()>,
        certificates: LiveCertificates,
        default: Arc<CertifiedKey>,
    }

    impl ResolvesServerCert for Names {
        fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            let id = hello.server_name().and_then(|name| self.table.find_certificate(name.as_bytes()));
            let found = id.and_then(|id| self.certificates.get(id));
            Some(found.unwrap_or(&self.default).clone())
        }
    }

    fn names(list: &[(&str, &Arc<Certificate>)], default: CertifiedKey) -> Arc<Names> {
        let host = |name: &str| VirtualHost { certificate: Some(name.into()), ..VirtualHost::default() };
        let hosts = list.iter().map(|(name, _)| (name.parse().unwrap(), Arc::new(host(name)))).collect();
        let table = Table::build(&RouteSet { hosts, fallback: None }, None, |_| ());
        let (certificates, rejected) = LiveCertificates::build(&wanted(list), None);
        assert_eq!(rejected, []);
        Arc::new(Names { table, certificates, default: Arc::new(default) })
    }

    /// Shakes hands in memory; the client's stream, or why it failed on the client's side.
    async fn shake(
        server: Arc<ServerConfig>,
        client: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> std::io::Result<TlsStream<tokio::io::DuplexStream>> {
        let (near, far) = tokio::io::duplex(64 << 10);
        let accept = TlsAcceptor::from(server).accept(far);
        let (_, connected) = tokio::join!(accept, TlsConnector::from(client).connect(name, near));
        connected
    }

    fn dns(name: &str) -> ServerName<'static> {
        ServerName::try_from(name.to_owned()).unwrap()
    }

    /// A client with these versions, suites and protocols.
    fn client(version: &'static rustls::SupportedProtocolVersion, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut settings = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(crate::upstream::tls::AnyBackend))
            .with_no_client_auth();
        settings.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(settings)
    }

    #[tokio::test]
    async fn the_name_in_sni_chooses_the_certificate() {
        let (exact, wild) = (pair(&["a.shop.example"]), pair(&["*.shop.example"]));
        let own = self_signed();
        let default = own.end_entity_cert().unwrap().clone().into_owned();
        let names = names(&[("a.shop.example", &exact), ("*.shop.example", &wild)], own);
        let server = server_settings(names).unwrap();
        let rows = [
            (dns("a.shop.example"), leaf(&exact)),
            (dns("A.Shop.EXAMPLE"), leaf(&exact)),
            (dns("b.shop.example"), leaf(&wild)),
            (dns("x.b.shop.example"), default.clone()),
            (dns("shop.example"), default.clone()),
            // An address is not sent as SNI.
            (ServerName::try_from("192.0.2.1").unwrap(), default),
        ];
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for (name, wanted) in &rows {
                let stream = shake(server.clone(), client(version, &[]), name.clone()).await.unwrap();
                assert_eq!(stream.get_ref().1.peer_certificates().unwrap().first(), Some(wanted), "{name:?}");
                assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            }
        }
    }

    #[tokio::test]
    async fn http2_is_preferred_and_unknown_protocols_are_refused() {
        let server = server_settings(names(&[], self_signed())).unwrap();
        let rows: [(&[&str], Result<_, ()>); 5] = [
            (&["http/1.1", "h2"], Ok(Some("h2"))),
            (&["h2"], Ok(Some("h2"))),
            (&["http/1.1"], Ok(Some("http/1.1"))),
            (&[], Ok(None)),
            (&["spdy/3"], Err(())),
        ];
        for (offered, wanted) in rows {
            let stream =
                shake(server.clone(), client(&rustls::version::TLS13, offered), dns("a.example")).await;
            let chosen =
                stream.map(|stream| stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)).map_err(|_| ());
            assert_eq!(
                chosen,
                wanted.map(|protocol| protocol.map(|text| text.as_bytes().to_vec())),
                "{offered:?}"
            );
        }
    }

    #[tokio::test]
    async fn backends_get_the_protocol_and_the_name_that_we_want_and_are_not_verified() {
        let rows = [
            (BackendProtocol::Http1, Some("a.example"), "http/1.1", true),
            (BackendProtocol::Http2, Some("a.example"), "h2", true),
            (BackendProtocol::Http1, None, "http/1.1", false),
            (BackendProtocol::Http1, Some("not a name"), "http/1.1", false),
        ];
        let named = pair(&["a.example"]);
        for (protocol, name, alpn, has_sni) in rows {
            let server = server_settings(names(&[("a.example", &named)], self_signed())).unwrap();
            let tls = BackendTls { server_name: name.map(Into::into), ..BackendTls::default() };
            let name = backend_name(&tls, SocketAddr::from(([192, 0, 2, 1], 443)));
            let stream = shake(server, client_settings(protocol), name).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.alpn_protocol(), Some(alpn.as_bytes()));
            assert_eq!(session.peer_certificates().unwrap() == [leaf(&named)], has_sni, "{tls:?}");
        }
        assert!(Arc::ptr_eq(
            &client_settings(BackendProtocol::Http2),
            &client_settings(BackendProtocol::Http2)
        ));
    }

    #[tokio::test]
    async fn a_session_is_resumed_by_the_one_ticket_that_is_given() {
        use tokio::io::AsyncReadExt;
        let server = server_settings(names(&[], self_signed())).unwrap();
        let client = client(&rustls::version::TLS13, &[]);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let (near, far) = tokio::io::duplex(64 << 10);
            let accept = async { drop(TlsAcceptor::from(server.clone()).accept(far).await.unwrap()) };
            let connect = async {
                let mut stream =
                    TlsConnector::from(client.clone()).connect(dns("a.example"), near).await.unwrap();
                // The ticket comes after the handshake; reading to the end takes it in.
                let _ = stream.read_to_end(&mut Vec::new()).await;
                stream.get_ref().1.handshake_kind().unwrap()
            };
            kinds.push(tokio::join!(accept, connect).1);
        }
        assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
        assert_eq!(server.send_tls13_tickets, 1);
    }

    /// A ClientHello that rustls itself would not send (RFC 5246 §7.4.1.2).
    fn hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
        let extensions: &[u8] = &[
            0, 10, 0, 4, 0, 2, 0, 23, // supported_groups: secp256r1
            0, 11, 0, 2, 1, 0, // ec_point_formats: uncompressed
            0, 13, 0, 4, 0, 2, 4, 3, // signature_algorithms: ecdsa_secp256r1_sha256
            0, 23, 0, 0, // extended_master_secret
        ];
        let mut body = [&version[..], &[7; 32], &[0], &[0, 2], &suite, &[1, 0]].concat();
        body.extend([0, extensions.len() as u8]);
        body.extend(extensions);
        let handshake = [&[1, 0, 0, body.len() as u8][..], &body].concat();
        [&[22, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
    }

    /// The first record that answers: its type, and for an alert the description.
    fn answer(hello: &[u8]) -> (u8, Option<u8>) {
        let server = server_settings(names(&[], self_signed())).unwrap();
        let mut connection = ServerConnection::new(server).unwrap();
        connection.read_tls(&mut Cursor::new(hello)).unwrap();
        let _ = connection.process_new_packets();
        let mut sent = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut sent).unwrap();
        }
        let mut record = [0; 7];
        Cursor::new(&sent).read_exact(&mut record).unwrap();
        (record[0], (record[0] == 21).then_some(record[6]))
    }

    #[test]
    fn old_versions_and_suites_without_aead_or_forward_secrecy_are_refused() {
        const HANDSHAKE: (u8, Option<u8>) = (22, None);
        const NO_SUITE: (u8, Option<u8>) = (21, Some(40));
        const NO_VERSION: (u8, Option<u8>) = (21, Some(70));
        let rows = [
            ("TLS 1.2 ECDHE AES-128-GCM", [3, 3], [0xc0, 0x2b], HANDSHAKE),
            ("TLS 1.2 ECDHE AES-128-CBC", [3, 3], [0xc0, 0x09], NO_SUITE),
            ("TLS 1.2 ECDHE AES-256-CBC SHA-384", [3, 3], [0xc0, 0x24], NO_SUITE),
            ("TLS 1.2 RSA AES-128-GCM", [3, 3], [0x00, 0x9c], NO_SUITE),
            ("TLS 1.2 RSA 3DES", [3, 3], [0x00, 0x0a], NO_SUITE),
            ("TLS 1.1", [3, 2], [0xc0, 0x09], NO_VERSION),
            ("TLS 1.0", [3, 1], [0xc0, 0x09], NO_VERSION),
            ("SSL 3.0", [3, 0], [0x00, 0x0a], NO_VERSION),
        ];
        for (name, version, suite, wanted) in rows {
            assert_eq!(answer(&hello(version, suite)), wanted, "{name}");
        }
    }

    #[test]
    fn every_suite_is_aead_with_ecdhe() {
        for suite in &PROVIDER.cipher_suites {
            let name = format!("{:?}", suite.suite());
            let has_aead = name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_");
            let has_ecdhe = matches!(suite, SupportedCipherSuite::Tls13(_)) || name.starts_with("TLS_ECDHE_");
            assert!(has_aead && has_ecdhe, "{name}");
        }
        let versions: std::collections::BTreeSet<_> =
            PROVIDER.cipher_suites.iter().map(|suite| format!("{:?}", suite.version().version)).collect();
        let both = [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3].map(|version| format!("{version:?}"));
        assert_eq!(versions, both.into());
    }

    #[test]
    fn a_bad_pair_never_replaces_a_good_one() {
        let (good, other) = (pair(&["a.example"]), pair(&["a.example"]));
        let with =
            |chain: &[u8], key: &[u8]| Arc::new(Certificate { chain_pem: chain.into(), key_pem: key.into() });
        let garbage_key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let garbage_chain = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let rows = [
            ("empty chain", with(b"", &good.key_pem), "tls.crt holds no certificate"),
            ("no PEM", with(b"hello", &good.key_pem), "tls.crt holds no certificate"),
            ("cut off", with(&good.chain_pem[..80], &good.key_pem), "tls.crt"),
            ("garbage chain", with(garbage_chain, &good.key_pem), "does not fit"),
            ("empty key", with(&good.chain_pem, b""), "tls.key holds no usable private key"),
            ("garbage key", with(&good.chain_pem, garbage_key), "tls.key is of an unsupported kind"),
            ("key of another", with(&good.chain_pem, &other.key_pem), "does not fit"),
            ("swapped", with(&good.key_pem, &good.chain_pem), "tls.crt holds no certificate"),
        ];
        let id = CertificateId::from("default/a");
        let (first, rejected) = LiveCertificates::build(&wanted(&[("default/a", &good)]), None);
        assert_eq!(rejected, []);
        for (name, bad, message) in &rows {
            let (live, rejected) = LiveCertificates::build(&wanted(&[("default/a", bad)]), Some(&first));
            assert!(Arc::ptr_eq(live.get(&id).unwrap(), first.get(&id).unwrap()), "{name}");
            assert_eq!(rejected.len(), 1, "{name}");
            assert_eq!(rejected[0].part, RejectedPart::Certificate(id.clone()));
            assert!(rejected[0].message.contains(message), "{name}: {}", rejected[0].message);
            // It is told until it is mended.
            let (again, told) = LiveCertificates::build(&wanted(&[("default/a", bad)]), Some(&live));
            assert_eq!((again.get(&id).is_some(), told), (true, rejected));
            let (mended, rejected) = LiveCertificates::build(&wanted(&[("default/a", &other)]), Some(&again));
            assert_eq!(mended.get(&id).unwrap().cert, [leaf(&other)]);
            assert_eq!(rejected, []);
            // One that never was good is not there.
            assert!(LiveCertificates::build(&wanted(&[("default/a", bad)]), None).0.get(&id).is_none());
        }
    }

    #[test]
    fn one_bad_certificate_does_not_touch_the_others_and_unchanged_ones_are_kept() {
        let (one, two) = (pair(&["a.example"]), pair(&["b.example"]));
        let bad = Arc::new(Certificate { chain_pem: b"".as_slice().into(), key_pem: b"".as_slice().into() });
        let (first, _) = LiveCertificates::build(&wanted(&[("one", &one)]), None);
        let all = wanted(&[("bad", &bad), ("one", &one), ("two", &two)]);
        let (second, rejected) = LiveCertificates::build(&all, Some(&first));
        assert!(Arc::ptr_eq(first.get(&"one".into()).unwrap(), second.get(&"one".into()).unwrap()));
        assert!(second.get(&"two".into()).is_some());
        assert_eq!(rejected.len(), 1);
        let (third, _) = LiveCertificates::build(&wanted(&[("two", &two)]), Some(&second));
        assert!(third.get(&"one".into()).is_none());
    }

    #[test]
    fn a_request_is_misdirected_if_both_names_have_certificates_of_their_own() {
        let rows = [
            (None, None, false),
            (None, Some("b"), false),
            (Some("a"), None, false),
            (Some("a"), Some("a"), false),
            (Some("a"), Some("b"), true),
        ];
        for (by_name, by_host, wanted) in rows {
            let [name, host] = [by_name, by_host].map(|id| id.map(CertificateId::from));
            assert_eq!(is_misdirected(name.as_ref(), host.as_ref()), wanted, "{by_name:?} {by_host:?}");
        }
    }
}
