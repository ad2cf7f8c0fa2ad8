//! TLS passthrough: connections of some hosts go to endpoints as they are, those of all others end here as ever.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, version};
use rustls_pki_types::ServerName;
use selvedge_common::{
    filter::{Access, Networks},
    id::{BackendId, CertificateId, ObjectRef, RouteId},
    model::{
        Backend, BackendRef, BackendTarget, BackendTls, Certificate, ClientVerification, PathMatch,
        ProxyProtocolVersion, TcpRoute, TlsPassthrough,
    },
};
use selvedge_tests::{
    client::Client,
    edge::{Edge, folder, write},
    log::lines,
    origin::Origin,
    proxy::{Proxy, Setup, nowhere},
    router::service,
    tls::{self, TlsOrigin, certificate, leaf, settings, settings_with, shown, usual},
    waiting::until,
};
use serde_json::{Value, json};

const BEHIND: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nbehind";
const PASSED: &str = "passed.example";

/// An origin under TLS with this certificate, and what it answers.
fn behind(certificate: &Certificate) -> TlsOrigin {
    TlsOrigin::with(settings_with(certificate, None, &["http/1.1"]), BEHIND)
}

fn through(backend: &str) -> TlsPassthrough {
    let target = BackendTarget::Backend(BackendId::new(backend));
    TlsPassthrough {
        id: RouteId::new("test/passed/0/0/tls"),
        source: ObjectRef::new("Ingress", "test", "passed"),
        to: TcpRoute { backends: vec![BackendRef { target, weight: 1 }], connect_retries: 1 },
        access: Vec::new(),
        unlogged: false,
    }
}

fn pass(proxy: &mut Proxy, host: &str, passthrough: Option<TlsPassthrough>) {
    proxy.edit_host(host, |entry| entry.tls_passthrough = passthrough.map(Arc::new));
}

/// A proxy that passes one host through to these endpoints, and ends the TLS of all others before another origin.
fn proxy(setup: Setup, here: &Origin, endpoints: &[SocketAddr]) -> Proxy {
    let mut proxy = Proxy::start(setup);
    proxy.route_all(&[here.address]);
    proxy.backend("test/tls:443", Backend::default());
    pass(&mut proxy, PASSED, Some(through("test/tls:443")));
    assert_eq!(proxy.apply(&[("test/tls:443", endpoints)]).rejected, []);
    proxy
}

fn only(network: &str) -> Option<Networks> {
    Some(Networks::from(vec![network.parse().unwrap()]))
}

fn text(address: SocketAddr, settings: Arc<ClientConfig>, name: &str) -> String {
    let stream = tls::connect(address, settings, name).expect("the handshake succeeds");
    Client::over(stream).get(name, "/").text()
}

/// A handshake that begins with the bytes that `change` makes of the usual ones.
fn begun(
    address: SocketAddr,
    settings: Arc<ClientConfig>,
    change: impl Fn(Vec<u8>) -> Vec<Vec<u8>>,
) -> Client<tls::TlsClient> {
    let name = ServerName::try_from(PASSED).unwrap();
    let mut session = ClientConnection::new(settings, name).unwrap();
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for piece in change(hello(&mut session)) {
        tcp.write_all(&piece).unwrap();
    }
    while session.is_handshaking() {
        session.complete_io(&mut tcp).unwrap();
    }
    Client::over(StreamOwned::new(session, tcp))
}

/// The first bytes of a client.
fn hello(session: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// The bytes with which a client with these protocols begins that names this host.
fn hello_for(name: &str, alpn: &[&str]) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    hello(&mut ClientConnection::new(usual(alpn), name).unwrap())
}

#[test]
fn a_host_that_is_passed_through_shows_the_certificate_of_its_endpoint_and_others_end_here() {
    let (far, wild) = (certificate(&[PASSED]), certificate(&["*.wild.example"]));
    let (near, of_wild) = (certificate(&["near.example"]), certificate(&["own.wild.example"]));
    let (origin, other, here) = (behind(&far), behind(&wild), Origin::named("here"));
    let mut proxy = proxy(Setup::default(), &here, &[origin.address]);
    proxy.backend("test/wild:443", Backend::default());
    pass(&mut proxy, "*.wild.example", Some(through("test/wild:443")));
    for (host, certificate) in [("near.example", &near), ("own.wild.example", &of_wild)] {
        proxy.snapshot.certificates.insert(CertificateId::new(host), certificate.clone());
        proxy.edit_host(host, |entry| entry.certificate = Some(CertificateId::new(host)));
        proxy.route(host, PathMatch::Prefix("/".into()), "test/origin:80");
    }
    let authorities = std::str::from_utf8(&near.chain_pem).unwrap().into();
    let verification = Arc::new(ClientVerification { authorities, depth: 1 });
    proxy.edit_host("near.example", |entry| entry.client_verification = Some(verification));
    proxy.apply(&[("test/wild:443", &[other.address])]);
    let default = shown(proxy.https(), "127.0.0.1");
    let rows = [
        (PASSED, leaf(&far), "behind"),
        ("PASSED.example", leaf(&far), "behind"),
        ("a.wild.example", leaf(&wild), "behind"),
        ("own.wild.example", leaf(&of_wild), "here"),
        ("a.b.wild.example", default.clone(), "here"),
        ("near.example", leaf(&near), "here"),
        ("unknown.example", default, "here"),
    ];
    for (name, certificate, answer) in rows {
        assert!(shown(proxy.https(), name) == certificate, "{name}");
        for version in [&version::TLS12, &version::TLS13] {
            let settings = settings(&[version], &["http/1.1"]);
            assert_eq!(text(proxy.https(), settings, name), answer, "{name} by {version:?}");
        }
    }
    assert!(origin.seen().iter().all(|shaken| shaken.name.as_deref() == Some(PASSED)));
    // Over HTTP the host is what its routes say.
    assert_eq!(Client::connect(proxy.http()).get(PASSED, "/").text(), "here");
}

#[test]
fn a_request_for_the_host_on_a_connection_of_another_name_is_misdirected() {
    let (origin, here) = (behind(&certificate(&[PASSED])), Origin::named("here"));
    let proxy = proxy(Setup::default(), &here, &[origin.address]);
    let mut client = tls::client(proxy.https(), "other.example");
    assert_eq!(client.get(PASSED, "/").status, 421);
    assert_eq!(client.get("other.example", "/").text(), "here");
    // Who names nobody has no other connection to go to.
    assert_eq!(tls::client(proxy.https(), "127.0.0.1").get(PASSED, "/").text(), "here");
}

#[test]
fn settings_of_the_backend_for_tls_do_not_count_and_those_of_the_proxy_protocol_do() {
    let far = certificate(&[PASSED]);
    let (origin, here) = (behind(&far), Origin::named("here"));
    let mut proxy = proxy(Setup::default(), &here, &[origin.address]);
    proxy.backend("test/tls:443", Backend { tls: Some(BackendTls::default()), ..Backend::default() });
    proxy.apply(&[]);
    assert!(shown(proxy.https(), PASSED) == leaf(&far));
    let told = Origin::raw(|_, mut stream| {
        let mut bytes = [0; 256];
        let count = stream.read(&mut bytes).unwrap();
        stream.write_all(&bytes[..count]).unwrap();
    });
    let proxy_protocol = Some(ProxyProtocolVersion::V1);
    proxy.backend("test/tls:443", Backend { proxy_protocol, ..Backend::default() });
    proxy.apply(&[("test/tls:443", &[told.address])]);
    let mut client = Client::connect(proxy.https());
    client.send(hello_for(PASSED, &[]));
    assert_eq!(client.exactly(15), b"PROXY TCP4 127.");
}

#[test]
fn a_hello_may_come_byte_by_byte_and_in_many_records() {
    let far = certificate(&[PASSED]);
    let (origin, here) = (behind(&far), Origin::named("here"));
    let proxy = proxy(Setup::default(), &here, &[origin.address]);
    let by_bytes = |bytes: Vec<u8>| bytes.chunks(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let by_records = |bytes: Vec<u8>| {
        let record = |piece: &[u8]| [&[22, 3, 1, 0, piece.len() as u8][..], piece].concat();
        bytes[5..].chunks(7).map(record).collect::<Vec<_>>()
    };
    for version in [&version::TLS12, &version::TLS13] {
        let settings = settings(&[version], &["http/1.1"]);
        let mut client = begun(proxy.https(), settings.clone(), by_bytes);
        assert_eq!(client.get(PASSED, "/").text(), "behind");
        let mut client = begun(proxy.https(), settings.clone(), by_records);
        assert_eq!(client.get(PASSED, "/").text(), "behind");
        let mut client = begun(proxy.https(), settings, |bytes| by_bytes(by_records(bytes).concat()));
        assert_eq!(client.get(PASSED, "/").text(), "behind");
    }
}

#[test]
fn a_hello_that_is_too_large_is_not_passed_through_and_those_of_other_hosts_are_as_ever() {
    let (origin, here) = (behind(&certificate(&[PASSED])), Origin::named("here"));
    let proxy = proxy(Setup::default(), &here, &[origin.address]);
    let long: Vec<String> = (0..100).map(|number| format!("{number:0>200}")).collect();
    let mut alpn: Vec<&str> = long.iter().map(String::as_str).collect();
    alpn.push("http/1.1");
    assert!(hello_for(PASSED, &alpn).len() > 16 << 10);
    assert!(tls::connect(proxy.https(), usual(&alpn), PASSED).is_err());
    assert!(origin.seen().is_empty());
    assert_eq!(text(proxy.https(), usual(&alpn), "other.example"), "here");
    alpn.drain(..60);
    assert_eq!(text(proxy.https(), usual(&alpn), PASSED), "behind");
}

#[test]
fn a_hello_that_does_not_come_ends_the_connection() {
    let here = Origin::named("here");
    let mut setup = Setup::default();
    setup.limits.handshake_time = Duration::from_millis(50);
    let proxy = proxy(setup, &here, &[nowhere()]);
    let hello = hello_for(PASSED, &[]);
    for sent in [&b""[..], &hello[..3], &hello[..hello.len() - 1]] {
        let mut client = Client::connect(proxy.https());
        client.send(sent);
        assert!(client.is_closed(), "{sent:?}");
    }
}

#[test]
fn what_is_no_hello_gets_an_alert_and_one_without_a_name_ends_here_as_ever() {
    let here = Origin::named("here");
    let proxy = proxy(Setup::default(), &here, &[nowhere()]);
    for sent in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"] {
        let mut client = Client::connect(proxy.https());
        client.send(sent);
        assert_eq!(client.rest().unwrap()[0], 21, "an alert");
    }
    assert_eq!(text(proxy.https(), usual(&["http/1.1"]), "127.0.0.1"), "here");
}

#[test]
fn a_connection_that_leads_nowhere_or_may_not_come_is_reset_and_its_record_says_why() {
    let gone: &'static [SocketAddr] = vec![nowhere()].leak();
    let others = Access { allow: only("192.0.2.0/24"), ..Access::default() };
    type Row = (&'static [SocketAddr], Vec<Access>, u16, &'static str, u32);
    let rows: [Row; 3] = [
        (&[], vec![], 503, "no_endpoint", 0),
        (gone, vec![], 502, "connect", 2),
        (gone, vec![Access::default(), others], 403, "address_denied", 0),
    ];
    let here = Origin::named("here");
    for (endpoints, access, status, reason, tries) in rows {
        let (access_log, lines) = lines();
        let mut proxy = proxy(Setup { access_log, ..Setup::default() }, &here, endpoints);
        pass(&mut proxy, PASSED, Some(TlsPassthrough { access, ..through("test/tls:443") }));
        proxy.apply(&[]);
        let mut client = Client::connect(proxy.https());
        client.send(hello_for(PASSED, &[]));
        assert_eq!(client.rest().unwrap_err().kind(), ErrorKind::ConnectionReset, "{reason}");
        let line = lines.next_line();
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()), "{line}");
        assert_eq!((&line["tries"], &line["host"]), (&tries.into(), &PASSED.into()), "{line}");
        drop(proxy);
        assert!(lines.rest().is_empty(), "one line and no more");
    }
}

#[test]
fn a_connection_has_one_record_with_its_host_and_is_counted() {
    let (origin, here) = (behind(&certificate(&[PASSED])), Origin::named("here"));
    let (access_log, lines) = lines();
    let proxy = proxy(Setup { access_log, ..Setup::default() }, &here, &[origin.address]);
    let mut client = tls::client(proxy.https(), PASSED);
    assert_eq!(client.get(PASSED, "/").text(), "behind");
    assert_eq!(proxy.engine.metrics().listener(&"https".into()).open(), 1);
    drop(client);
    let line = lines.next_line();
    let wanted: [(&str, serde_json::Value); 9] = [
        ("method", "TLS".into()),
        ("target", proxy.https().to_string().into()),
        ("host", PASSED.into()),
        ("version", "-".into()),
        ("status", 200.into()),
        ("route", "test/passed/0/0/tls".into()),
        ("backend", "test/tls:443".into()),
        ("endpoint", origin.address.to_string().into()),
        ("tries", 1.into()),
    ];
    for (name, value) in wanted {
        assert_eq!(line[name], value, "{name} of {line}");
    }
    assert!(line["received_bytes"].as_u64().unwrap() > hello_for(PASSED, &[]).len() as u64 / 2, "{line}");
    assert!(line["sent_bytes"].as_u64().unwrap() > 100, "{line}");
    until(|| (proxy.engine.metrics().listener(&"https".into()).open() == 0).then_some(()));
}

#[test]
fn an_address_that_a_load_balancer_tells_is_the_one_that_may_come() {
    let (origin, here) = (behind(&certificate(&[PASSED])), Origin::named("here"));
    let (access_log, lines) = lines();
    let listener = |listener: &mut selvedge_common::model::Listener| listener.proxy_protocol = true;
    let mut proxy = proxy(Setup { access_log, listener, ..Setup::default() }, &here, &[origin.address]);
    let access = vec![Access { allow: only("192.0.2.0/24"), ..Access::default() }];
    pass(&mut proxy, PASSED, Some(TlsPassthrough { access, ..through("test/tls:443") }));
    proxy.apply(&[]);
    let settings = usual(&["http/1.1"]);
    let from = |address: &str| format!("PROXY TCP4 {address} 127.0.0.1 1234 443\r\n").into_bytes();
    let mut client = begun(proxy.https(), settings, |bytes| vec![[from("192.0.2.7"), bytes].concat()]);
    assert_eq!(client.get(PASSED, "/").text(), "behind");
    drop(client);
    assert_eq!(lines.next_line()["client"], "192.0.2.7");
    let mut client = Client::connect(proxy.https());
    client.send([from("198.51.100.7"), hello_for(PASSED, &[])].concat());
    client.rest().unwrap_err();
    assert_eq!(lines.next_line()["reason"], "address_denied");
}

#[test]
fn open_connections_go_on_when_their_host_is_passed_through_or_no_more() {
    let (origin, here) = (behind(&certificate(&[PASSED])), Origin::named("here"));
    let mut proxy = proxy(Setup::default(), &here, &[origin.address]);
    let mut beyond = tls::client(proxy.https(), PASSED);
    assert_eq!(beyond.get(PASSED, "/").text(), "behind");
    pass(&mut proxy, PASSED, None);
    proxy.apply(&[]);
    let mut ended = tls::client(proxy.https(), PASSED);
    for _ in 0..2 {
        assert_eq!(ended.get(PASSED, "/").text(), "here");
        assert_eq!(beyond.get(PASSED, "/").text(), "behind");
        pass(&mut proxy, PASSED, Some(through("test/tls:443")));
        proxy.apply(&[]);
    }
    assert_eq!(tls::client(proxy.https(), PASSED).get(PASSED, "/").text(), "behind");
}

#[test]
fn a_connection_is_cut_off_at_the_deadline_of_the_drain() {
    let (origin, here) = (behind(&certificate(&[PASSED])), Origin::named("here"));
    let proxy = proxy(Setup::default(), &here, &[origin.address]);
    let mut client = tls::client(proxy.https(), PASSED);
    assert_eq!(client.get(PASSED, "/").text(), "behind");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(proxy.engine.drain(Duration::ZERO, Duration::from_millis(50)));
    // Cut off, so that TLS itself says no goodbye.
    let kind = client.rest().unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{kind:?}");
}

#[test]
fn an_ingress_has_its_host_passed_through_from_manifests_to_sockets() {
    let certificate = certificate(&[PASSED]);
    let (origin, here) = (behind(&certificate), Origin::named("here"));
    let ingress = |name: &str, host: &str, annotations: &Value| {
        let backend = json!({"service": {"name": name, "port": {"number": 443}}});
        let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
            "spec": {"ingressClassName": "edge", "rules": [{"host": host, "http": {"paths": paths}}]},
        })
    };
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "edge"},
        "spec": {"controller": "selvedge.dev/ingress"},
    });
    let annotations = json!({"selvedge.dev/ssl-passthrough": "true"});
    let ingresses =
        vec![class, ingress("passed", PASSED, &annotations), ingress("ended", "ended.example", &json!({}))];
    let services = [("passed", origin.address), ("ended", here.address)]
        .map(|(name, at)| service("shop", name, 443, &[at]));
    let folder = folder();
    write(folder.path(), "objects.json", &[ingresses, services.concat()].concat());
    let edge = Edge::with_manifests(folder.path());
    assert!(shown(edge.https, PASSED) == leaf(&certificate));
    assert_eq!(edge.tls(PASSED, &leaf(&certificate)).get(PASSED, "/").text(), "behind");
    assert_eq!(tls::client(edge.https, "ended.example").get("ended.example", "/").text(), "here");
}
