//! The table of what is spoken under TLS: each version and suite offered alone, and what old servers were attacked by.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use rustls::{
    ContentType, NamedGroup, ProtocolVersion,
    client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue},
    crypto::cipher::{OutboundChunks, OutboundPlainMessage},
    version,
};
use rustls_pki_types::ServerName;
use selvedge_common::{
    id::CertificateId,
    model::{Certificate, Listener},
};
use selvedge_tests::{
    client::Client,
    origin::Origin,
    proxy::{Proxy, Setup},
    tls::{self, settings},
};

/// What comes of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// A ServerHello with this version and suite.
    Hello([u8; 2], [u8; 2]),
    /// An alert with this description (RFC 8446 B.2).
    Alert(u8),
    /// The end of the connection.
    Closed,
}

const HANDSHAKE_FAILURE: Told = Told::Alert(40);
const PROTOCOL_VERSION: Told = Told::Alert(70);
const TLS_1_2: [u8; 2] = [3, 3];
const TLS_1_3: [u8; 2] = [3, 4];

/// A ClientHello that no library would send (RFC 8446 4.1.2).
struct Hello<'a> {
    /// The version in its head.
    version: [u8; 2],
    suites: &'a [[u8; 2]],
    compressions: &'a [u8],
    /// Versions in the extension that replaces the one in the head.
    versions: &'a [[u8; 2]],
    /// Further extensions.
    extensions: &'a [u8],
}

const PLAIN: Hello<'_> =
    Hello { version: TLS_1_2, suites: &[], compressions: &[0], versions: &[], extensions: &[] };

impl Hello<'_> {
    /// As a handshake message.
    fn message(&self) -> Vec<u8> {
        let mut extensions: Vec<u8> = vec![
            0, 10, 0, 6, 0, 4, 0, 29, 0, 23, // supported_groups: x25519, secp256r1
            0, 11, 0, 2, 1, 0, // ec_point_formats: uncompressed
            0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4,
            1, // ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, rsa_pkcs1_sha256
            0, 23, 0, 0, // extended_master_secret
        ];
        if !self.versions.is_empty() {
            let list = self.versions.concat();
            extensions.extend([0, 43, 0, list.len() as u8 + 1, list.len() as u8]);
            extensions.extend(list);
            extensions.extend([0, 51, 0, 38, 0, 36, 0, 29, 0, 32]);
            extensions.extend([9; 32]);
        }
        extensions.extend(self.extensions);
        let suites = self.suites.concat();
        let mut body = [&self.version[..], &[7; 32], &[0], &length(suites.len()), &suites].concat();
        body.push(self.compressions.len() as u8);
        body.extend(self.compressions);
        body.extend(length(extensions.len()));
        body.extend(extensions);
        [&[1, 0][..], &length(body.len()), &body].concat()
    }

    /// What the server says to it, and all bytes of that.
    fn ask(&self, server: SocketAddr) -> (Told, Vec<u8>) {
        let message = self.message();
        answer(server, &[&[22, 3, 1][..], &length(message.len()), &message].concat())
    }

    fn told(&self, server: SocketAddr) -> Told {
        self.ask(server).0
    }
}

fn length(length: usize) -> [u8; 2] {
    (length as u16).to_be_bytes()
}

/// Sends bytes and reads the first record that comes back.
fn answer(server: SocketAddr, bytes: &[u8]) -> (Told, Vec<u8>) {
    let mut stream = Client::connect(server);
    let _the_server_may_close = stream.try_send(bytes);
    stream.finish();
    let received = stream.rest().unwrap_or_default();
    let told = match received[..] {
        [21, _, _, _, _, _, description, ..] => Told::Alert(description),
        [22, ..] => server_hello(&received[9..]),
        _ => Told::Closed,
    };
    (told, received)
}

/// Version and suite of a ServerHello; the version may be in an extension.
fn server_hello(body: &[u8]) -> Told {
    let after_session = 35 + usize::from(body[34]);
    let suite = [body[after_session], body[after_session + 1]];
    let version = match extensions(body).get(&43) {
        Some(version) => [version[0], version[1]],
        None => [body[0], body[1]],
    };
    Told::Hello(version, suite)
}

/// The extensions of a ServerHello by number.
fn extensions(body: &[u8]) -> BTreeMap<u16, Vec<u8>> {
    let number = |at: usize| usize::from(body[at]) * 256 + usize::from(body[at + 1]);
    let start = 35 + usize::from(body[34]) + 3;
    let mut all = BTreeMap::new();
    let (mut at, end) = (start + 2, start + 2 + number(start));
    while at < end {
        let length = number(at + 2);
        all.insert(number(at) as u16, body[at + 4..at + 4 + length].to_vec());
        at += 4 + length;
    }
    all
}

/// A certificate with an RSA key.
fn rsa() -> Arc<Certificate> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let made = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (chain, key) = (made.pem().into_bytes().into(), key.serialize_pem().into_bytes().into());
    Arc::new(Certificate { chain_pem: chain, key_pem: key })
}

/// A proxy that shows the certificate of the proxy's own making, or one with an RSA key.
fn proxy(certificate: Option<Arc<Certificate>>) -> Proxy {
    let listener =
        |listener: &mut Listener| listener.default_certificate = Some(CertificateId::new("default"));
    match certificate {
        None => Proxy::to(&[Origin::named("ok").address]),
        Some(certificate) => {
            let mut proxy = Proxy::start(Setup { listener, ..Setup::default() });
            proxy.snapshot.certificates.insert(CertificateId::new("default"), certificate);
            assert_eq!(proxy.apply(&[]).rejected, []);
            proxy
        }
    }
}

/// All suites that were ever given a number, and the signals among them.
fn suites() -> Vec<[u8; 2]> {
    let block = |first: u8| (0..=255).map(move |second| [first, second]);
    let rest = [[0x56, 0x00], [0xc1, 0x00], [0xd0, 0x01], [0xd0, 0x02], [0xd0, 0x05]];
    block(0x00).chain(block(0x13)).chain(block(0xc0)).chain(block(0xcc)).chain(rest).collect()
}

#[test]
fn only_tls_1_2_and_1_3_are_spoken() {
    let proxy = proxy(None);
    let server = proxy.https();
    let old = |version| Hello { version, suites: &[[0xc0, 0x09], [0xc0, 0x2b], [0, 0x2f]], ..PLAIN };
    let new = |versions| Hello { suites: &[[0x13, 0x01], [0xc0, 0x2b]], versions, ..PLAIN };
    let rows = [
        ("SSL 3.0", old([3, 0]).told(server), PROTOCOL_VERSION),
        ("TLS 1.0", old([3, 1]).told(server), PROTOCOL_VERSION),
        ("TLS 1.1", old([3, 2]).told(server), PROTOCOL_VERSION),
        ("TLS 1.2", old(TLS_1_2).told(server), Told::Hello(TLS_1_2, [0xc0, 0x2b])),
        ("TLS 1.3", new(&[TLS_1_3]).told(server), Told::Hello(TLS_1_3, [0x13, 0x01])),
        ("TLS 1.0 as an extension", new(&[[3, 1]]).told(server), PROTOCOL_VERSION),
        ("a later version alone", new(&[[3, 5]]).told(server), PROTOCOL_VERSION),
        ("a later version first", new(&[[3, 5], TLS_1_3]).told(server), Told::Hello(TLS_1_3, [0x13, 0x01])),
        (
            "a made-up version first",
            new(&[[0x2a, 0x2a], TLS_1_2]).told(server),
            Told::Hello(TLS_1_2, [0xc0, 0x2b]),
        ),
    ];
    for (name, told, wanted) in rows {
        eprintln!("{name}: {told:?}");
        assert_eq!(told, wanted, "{name}");
    }
    // A ClientHello of SSL 2.0 has another form.
    let (told, _) =
        answer(server, &[0x80, 0x1c, 1, 0, 2, 0, 3, 0, 0, 0, 16, 1, 0, 0x80, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert!(!matches!(told, Told::Hello(..)), "SSL 2.0: {told:?}");
}

#[test]
fn each_suite_alone_is_accepted_if_it_is_aead_with_ecdhe_and_fits_the_key() {
    const WITH_ECDSA: [[u8; 2]; 3] = [[0xc0, 0x2b], [0xc0, 0x2c], [0xcc, 0xa9]];
    const WITH_RSA: [[u8; 2]; 3] = [[0xc0, 0x2f], [0xc0, 0x30], [0xcc, 0xa8]];
    const OF_1_3: [[u8; 2]; 3] = [[0x13, 0x01], [0x13, 0x02], [0x13, 0x03]];
    for (name, certificate, wanted) in [("ECDSA", None, WITH_ECDSA), ("RSA", Some(rsa()), WITH_RSA)] {
        let proxy = proxy(certificate);
        let server = proxy.https();
        for (version, versions, wanted) in [(TLS_1_2, &[][..], wanted), (TLS_1_3, &[TLS_1_3][..], OF_1_3)] {
            let mut accepted = BTreeSet::new();
            for suite in suites() {
                match (Hello { suites: &[suite], versions, ..PLAIN }).told(server) {
                    Told::Hello(spoken, chosen) => {
                        assert_eq!((spoken, chosen), (version, suite));
                        accepted.insert(suite);
                    }
                    told => assert_eq!(told, HANDSHAKE_FAILURE, "{suite:02x?}"),
                }
            }
            eprintln!("{name} key, TLS {version:?}: {accepted:02x?} of {}", suites().len());
            assert_eq!(accepted, wanted.into(), "{name} {version:?}");
        }
    }
}

#[test]
fn what_a_server_hello_says_protects_against_old_attacks() {
    let proxy = proxy(None);
    let server = proxy.https();
    let asked = Hello { suites: &[[0xc0, 0x2b], [0, 0xff]], compressions: &[1, 0], ..PLAIN };
    let (told, received) = asked.ask(server);
    assert_eq!(told, Told::Hello(TLS_1_2, [0xc0, 0x2b]));
    let body = &received[9..];
    // Who could speak TLS 1.3 is told so in the random bytes (RFC 8446 4.1.3).
    assert_eq!(&body[26..34], b"DOWNGRD\x01");
    let given = extensions(body);
    assert_eq!(given.get(&0xff01), Some(&vec![0]), "renegotiation_info (RFC 5746)");
    assert!(given.contains_key(&23), "extended_master_secret (RFC 7627)");
    let compression = body[35 + usize::from(body[34]) + 2];
    assert_eq!(compression, 0, "no compression (RFC 7525 3.3)");
    // Heartbeats are not known (RFC 6520), nor is one answered.
    let heartbeat = Hello { suites: &[[0xc0, 0x2b]], extensions: &[0, 15, 0, 1, 1], ..PLAIN };
    assert!(!extensions(&heartbeat.ask(server).1[9..]).contains_key(&15));
    let rows: [(&str, &[u8]); 3] = [
        ("a heartbeat that claims more than it has", &[24, 3, 3, 0, 3, 1, 0x40, 0]),
        ("a change of cipher before all else", &[20, 3, 3, 0, 1, 1]),
        ("application data before all else", &[23, 3, 3, 0, 1, 0]),
    ];
    for (name, bytes) in rows {
        let (told, received) = answer(server, bytes);
        assert!(matches!(told, Told::Alert(_) | Told::Closed) && received.len() <= 7, "{name}: {received:?}");
    }
}

#[test]
fn a_client_cannot_renegotiate() {
    let proxy = proxy(None);
    let mut settings = Arc::unwrap_or_clone(settings(&[&version::TLS12], &[]));
    let wanted = rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites = vec![wanted];
    settings = reuse(settings, provider);
    settings.enable_secret_extraction = true;
    let stream = tls::connect(proxy.https(), Arc::new(settings), "a.example").unwrap();
    let (session, mut tcp) = stream.into_parts();
    let (sequence, secrets) = session.dangerous_extract_secrets().unwrap().tx;
    let rustls::ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else {
        unreachable!("asked for")
    };
    let rustls::SupportedCipherSuite::Tls12(suite) = wanted else { unreachable!("it is one of TLS 1.2") };
    let mut encrypter = suite.aead_alg.encrypter(key, iv.as_ref(), &[]);
    let hello = Hello { suites: &[[0xcc, 0xa9]], extensions: &[0xff, 1, 0, 1, 0], ..PLAIN }.message();
    for number in 0..3 {
        let message = OutboundPlainMessage {
            typ: ContentType::Handshake,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(&hello),
        };
        let record = encrypter.encrypt(message, sequence + number).unwrap().encode();
        if tcp.write_all(&record).is_err() {
            break;
        }
    }
    let mut received = Vec::new();
    let _it_may_be_reset = tcp.read_to_end(&mut received);
    let mut rest = &received[..];
    while let [kind, _, _, high, low, after @ ..] = rest {
        assert_eq!(*kind, 21, "alerts and nothing else");
        rest = after.get(usize::from(*high) * 256 + usize::from(*low)..).unwrap_or_default();
    }
}

/// The same settings with other suites.
fn reuse(settings: rustls::ClientConfig, provider: rustls::crypto::CryptoProvider) -> rustls::ClientConfig {
    let verifier = tls::anyone();
    let mut made = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    made.alpn_protocols = settings.alpn_protocols;
    made
}

/// Counts tickets of TLS 1.3 and keeps them.
#[derive(Debug)]
struct Counting {
    tickets: AtomicUsize,
    kept: rustls::client::ClientSessionMemoryCache,
}

impl ClientSessionStore for Counting {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.kept.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.tickets.fetch_add(1, Ordering::SeqCst);
        self.kept.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(name)
    }
}

#[test]
fn a_session_is_resumed_by_one_ticket_and_never_with_early_data() {
    let proxy = proxy(None);
    let kept = rustls::client::ClientSessionMemoryCache::new(32);
    let store = Arc::new(Counting { tickets: AtomicUsize::new(0), kept });
    let mut settings = Arc::unwrap_or_clone(settings(&[&version::TLS13], &["http/1.1"]));
    settings.resumption = Resumption::store(store.clone());
    settings.enable_early_data = true;
    let settings = Arc::new(settings);
    for round in 1..=3 {
        let tcp = std::net::TcpStream::connect(proxy.https()).unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let mut session = rustls::ClientConnection::new(settings.clone(), name).unwrap();
        assert!(session.early_data().is_none(), "tickets allow none (RFC 8446 8)");
        let mut stream = rustls::StreamOwned::new(session, tcp);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let kind = stream.conn.handshake_kind().unwrap();
        assert_eq!(kind == rustls::HandshakeKind::Resumed, round > 1);
        assert_eq!(store.tickets.load(Ordering::SeqCst), round, "one for each connection");
    }
}

#[test]
fn a_protocol_is_agreed_on_or_the_handshake_fails() {
    let proxy = proxy(None);
    let rows: [(&[&str], Option<Option<&str>>); 6] = [
        (&["h2", "http/1.1"], Some(Some("h2"))),
        (&["http/1.1", "h2"], Some(Some("h2"))),
        (&["http/1.1"], Some(Some("http/1.1"))),
        (&["spdy/3", "http/1.1"], Some(Some("http/1.1"))),
        (&[], Some(None)),
        (&["http/1.0", "h2c"], None),
    ];
    for version in [&version::TLS12, &version::TLS13] {
        for (offered, wanted) in &rows {
            let stream = tls::connect(proxy.https(), settings(&[version], offered), "a.example");
            let refused = stream.as_ref().err().map(ToString::to_string);
            let agreed = stream.ok().map(|stream| stream.conn.alpn_protocol().map(<[u8]>::to_vec));
            let wanted = wanted.map(|name| name.map(|name| name.as_bytes().to_vec()));
            assert_eq!(agreed, wanted, "{offered:?}");
            // RFC 7301 3.2.
            assert!(refused.is_none_or(|text| text.contains("NoApplicationProtocol")), "{offered:?}");
        }
    }
}
