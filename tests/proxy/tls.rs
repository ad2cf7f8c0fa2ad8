//! TLS towards clients: which certificate is shown, which versions are spoken, and what does not get through.

use std::{
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};

use rustls::{HandshakeKind, ProtocolVersion, version};
use selvedge_common::{
    id::CertificateId,
    model::{Certificate, Listener, PathMatch},
};
use selvedge_tests::{
    client::Client,
    origin::Origin,
    proxy::{Proxy, Setup},
    tls::{self, certificate, leaf, shown, usual},
};

/// A proxy to one origin with a certificate for each of these hosts.
fn with_certificates(origin: &Origin, hosts: &[(&str, &str, &Arc<Certificate>)]) -> Proxy {
    let mut proxy = Proxy::to(&[origin.address]);
    for (host, id, certificate) in hosts {
        proxy.snapshot.certificates.insert(CertificateId::new(*id), (*certificate).clone());
        proxy.edit_host(host, |entry| entry.certificate = Some(CertificateId::new(*id)));
    }
    assert_eq!(proxy.apply(&[]).rejected, []);
    proxy
}

#[test]
fn the_name_in_sni_chooses_the_certificate() {
    let (exact, wild) = (certificate(&["a.shop.example"]), certificate(&["*.shop.example"]));
    let origin = Origin::named("ok");
    let proxy =
        with_certificates(&origin, &[("a.shop.example", "exact", &exact), ("*.shop.example", "wild", &wild)]);
    let default = shown(proxy.https(), "127.0.0.1");
    assert!(default != leaf(&exact) && default != leaf(&wild));
    let rows = [
        ("a.shop.example", leaf(&exact)),
        ("A.SHOP.example", leaf(&exact)),
        ("b.shop.example", leaf(&wild)),
        ("x.b.shop.example", default.clone()),
        ("shop.example", default.clone()),
        ("other.example", default),
    ];
    for (name, wanted) in rows {
        assert!(shown(proxy.https(), name) == wanted, "{name}");
    }
}

#[test]
fn a_listener_shows_its_own_default_certificate() {
    let default = certificate(&["default.example"]);
    let listener =
        |listener: &mut Listener| listener.default_certificate = Some(CertificateId::new("default"));
    let mut proxy = Proxy::start(Setup { listener, ..Setup::default() });
    proxy.snapshot.certificates.insert(CertificateId::new("default"), default.clone());
    proxy.apply(&[]);
    for name in ["127.0.0.1", "unknown.example"] {
        assert!(shown(proxy.https(), name) == leaf(&default), "{name}");
    }
}

#[test]
fn names_that_no_host_has_are_refused_where_the_listener_says_so() {
    let listener = |listener: &mut Listener| listener.refuse_unknown_names = true;
    let origin = Origin::named("ok");
    let mut proxy = Proxy::start(Setup { listener, ..Setup::default() });
    proxy.route_all(&[origin.address]);
    proxy.route("a.example", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.route("*.b.example", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.apply(&[]);
    for version in [&version::TLS12, &version::TLS13] {
        let settings = tls::settings(&[version], &["http/1.1"]);
        for known in ["a.example", "A.example", "x.b.example"] {
            let stream = tls::connect(proxy.https(), settings.clone(), known).unwrap();
            assert_eq!(Client::over(stream).get(known, "/").status, 200, "{known}");
        }
        for unknown in ["b.example", "x.y.b.example", "other.example", "127.0.0.1"] {
            let error = tls::connect(proxy.https(), settings.clone(), unknown).unwrap_err();
            assert!(error.to_string().contains("UnrecognisedName"), "{unknown}: {error}");
        }
    }
}

#[test]
fn a_replaced_certificate_is_shown_at_once_and_open_connections_go_on() {
    let (old, new) = (certificate(&["a.example"]), certificate(&["a.example"]));
    let origin = Origin::named("ok");
    let mut proxy = with_certificates(&origin, &[("a.example", "it", &old)]);
    let mut open = tls::client(proxy.https(), "a.example");
    assert_eq!(open.get("a.example", "/").status, 200);
    proxy.snapshot.certificates.insert(CertificateId::new("it"), new.clone());
    assert_eq!(proxy.apply(&[]).rejected, []);
    assert!(shown(proxy.https(), "a.example") == leaf(&new));
    assert_eq!(open.get("a.example", "/").status, 200);
}

#[test]
fn a_bad_certificate_is_rejected_and_never_replaces_a_good_one() {
    let good = certificate(&["a.example"]);
    let origin = Origin::named("ok");
    let mut proxy = with_certificates(&origin, &[("a.example", "it", &good)]);
    let other = certificate(&["a.example"]);
    let text = |text: &str| text.as_bytes().into();
    let rows = [
        Certificate { chain_pem: text("garbage"), key_pem: good.key_pem.clone() },
        Certificate { chain_pem: good.chain_pem.clone(), key_pem: text("") },
        Certificate { chain_pem: good.chain_pem.clone(), key_pem: other.key_pem.clone() },
    ];
    for bad in rows {
        proxy.snapshot.certificates.insert(CertificateId::new("it"), Arc::new(bad));
        let rejected = proxy.apply(&[]).rejected;
        assert_eq!(rejected.len(), 1);
        assert!(rejected[0].message.contains("tls."), "{rejected:?}");
        assert!(shown(proxy.https(), "a.example") == leaf(&good));
    }
    proxy.snapshot.certificates.insert(CertificateId::new("it"), other.clone());
    assert_eq!(proxy.apply(&[]).rejected, []);
    assert!(shown(proxy.https(), "a.example") == leaf(&other));
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_reach_the_backend_as_https() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let rows = [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)];
    for (version, wanted) in rows {
        let stream =
            tls::connect(proxy.https(), tls::settings(&[version], &["http/1.1"]), "a.example").unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(wanted));
        assert_eq!(Client::over(stream).get("a.example", "/").status, 200);
    }
    for seen in origin.seen() {
        assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
        assert_eq!(seen.field("x-forwarded-port"), Some("443"));
    }
}

#[test]
fn tls_1_1_is_refused() {
    let proxy = Proxy::to(&[]);
    let mut client = Client::connect(proxy.https());
    // A ClientHello of TLS 1.1 with one suite of CBC.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x14, 0, 0x2f, 1, 0]);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    record.extend(hello);
    client.send(record);
    let answer = client.rest().unwrap_or_default();
    assert!(answer.is_empty() || answer[0] == 21, "an alert or nothing: {answer:?}");
}

#[test]
fn sessions_are_resumed_across_connections() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    for version in [&version::TLS12, &version::TLS13] {
        let settings = tls::settings(&[version], &["http/1.1"]);
        let kinds: Vec<_> = (0..3)
            .map(|_| {
                let stream = tls::connect(proxy.https(), settings.clone(), "a.example").unwrap();
                let kind = stream.conn.handshake_kind();
                // The ticket of TLS 1.3 comes after the handshake, before the answer.
                assert_eq!(Client::over(stream).get("a.example", "/").status, 200);
                kind.unwrap()
            })
            .collect();
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
    }
}

#[test]
fn a_handshake_that_does_not_come_ends_the_connection() {
    let mut setup = Setup::default();
    setup.limits.handshake_time = Duration::from_millis(50);
    let proxy = Proxy::start(setup);
    for sent in [&b""[..], &[22, 3, 1], &[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]] {
        let mut client = Client::connect(proxy.https());
        client.send(sent);
        assert!(client.is_closed(), "{sent:?}");
    }
}

#[test]
fn plain_text_to_the_tls_port_ends_with_an_alert() {
    let proxy = Proxy::to(&[]);
    for sent in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = Client::connect(proxy.https());
        client.send(sent);
        let answer = client.rest().unwrap_or_default();
        assert!(answer.is_empty() || answer[0] == 21, "an alert or nothing: {answer:?}");
    }
}

#[test]
fn tls_to_the_plain_port_is_refused() {
    let proxy = Proxy::to(&[]);
    let refused = tls::connect(proxy.http(), usual(&["h2", "http/1.1"]), "a.example");
    assert!(refused.is_err());
}

#[test]
fn a_request_on_the_connection_of_another_certificate_is_misdirected() {
    let (one, other) = (certificate(&["a.example"]), certificate(&["b.example"]));
    let both = certificate(&["c.example", "d.example"]);
    let origin = Origin::named("ok");
    let mut proxy = with_certificates(
        &origin,
        &[
            ("a.example", "one", &one),
            ("b.example", "other", &other),
            ("c.example", "both", &both),
            ("d.example", "both", &both),
        ],
    );
    for host in ["a.example", "b.example", "c.example", "d.example", "plain.example"] {
        proxy.route(host, PathMatch::Prefix("/".into()), "test/origin:80");
    }
    proxy.apply(&[]);
    let rows = [
        ("a.example", "a.example", 200),
        ("a.example", "A.Example.:443", 200),
        ("a.example", "b.example", 421),
        ("b.example", "a.example", 421),
        ("a.example", "c.example", 421),
        ("c.example", "d.example", 200),
        ("d.example", "c.example", 200),
        // Who has no certificate of its own is found by Host as usual.
        ("a.example", "plain.example", 200),
        ("unknown.example", "a.example", 200),
        // An address sends no SNI.
        ("127.0.0.1", "a.example", 200),
    ];
    for (name, host, wanted) in rows {
        let answer = tls::client(proxy.https(), name).get(host, "/");
        assert_eq!(answer.status, wanted, "SNI {name}, Host {host}");
        if wanted == 421 {
            assert_eq!(answer.field("x-selvedge-reason"), Some("misdirected"));
        }
    }
}

#[test]
fn an_orderly_end_is_told_with_close_notify() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut stream = tls::connect(proxy.https(), usual(&["http/1.1"]), "a.example").unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("not cut off");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
}
