//! Certificates of clients: who is asked for one, who comes in with which, and what the backend is told.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, SupportedProtocolVersion, crypto::aws_lc_rs};
use rustls_pki_types::PrivateKeyDer;
use selvedge_common::{
    filter::{CertificateNeed, ClientCertificate, Filter, SubjectPattern},
    model::{Backend, ClientVerification, PathMatch},
};
use selvedge_tests::{
    client::{Answer, Client},
    origin::Origin,
    proxy::Proxy,
    tls::{self, TlsClient},
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> Authority {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Settings of a client that shows a certificate of this name.
fn showing(
    name: &str,
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name).signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let settings = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(tls::anyone())
        .with_client_auth_cert(vec![certificate.der().clone()], key);
    Arc::new(settings.unwrap())
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

fn filter(need: CertificateNeed) -> ClientCertificate {
    ClientCertificate { need, error_page: None, subject: None, pass_certificate: true }
}

/// A proxy with hosts that want certificates of this authority, each by its filter, and one that wants none.
fn wanting(origin: &Origin, authority: &Authority, hosts: &[(&str, ClientCertificate)]) -> Proxy {
    let mut proxy = Proxy::start(Default::default());
    proxy.backend("test/origin:80", Backend::default());
    let verification = Arc::new(ClientVerification { authorities: authority.pem().into(), depth: 1 });
    for (host, filter) in hosts {
        proxy.route(host, PathMatch::Prefix("/".into()), "test/origin:80");
        proxy.edit_host(host, |entry| {
            entry.client_verification = Some(verification.clone());
            entry.routes[0].filters = vec![Filter::ClientCertificate(filter.clone())];
        });
    }
    proxy.route("open.example", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    proxy
}

fn connect(address: SocketAddr, settings: &Arc<ClientConfig>, name: &str) -> Client<TlsClient> {
    Client::over(tls::connect(address, settings.clone(), name).expect("the handshake succeeds"))
}

fn get(address: SocketAddr, settings: &Arc<ClientConfig>, name: &str) -> Answer {
    connect(address, settings, name).get(name, "/")
}

#[test]
fn a_certificate_lets_in_and_the_backend_is_told_of_it() {
    let (origin, ours, others) = (Origin::named("ok"), authority("ours"), authority("others"));
    let hosts = [
        ("on.example", filter(CertificateNeed::Required)),
        ("optional.example", filter(CertificateNeed::Optional)),
        ("any.example", filter(CertificateNeed::OptionalAny)),
    ];
    let proxy = wanting(&origin, &ours, &hosts);
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let (good, bad) = (showing("shop", &ours, versions), showing("shop", &others, versions));
        let none = tls::settings(versions, &[]);
        let rows = [
            ("on.example", &good, 200, Some("SUCCESS")),
            ("on.example", &bad, 400, None),
            ("on.example", &none, 400, None),
            ("optional.example", &good, 200, Some("SUCCESS")),
            ("optional.example", &bad, 400, None),
            ("optional.example", &none, 200, Some("NONE")),
            ("any.example", &bad, 200, Some("FAILED:unable to verify the first certificate")),
            ("any.example", &none, 200, Some("NONE")),
            ("open.example", &good, 200, None),
            ("open.example", &none, 200, None),
        ];
        for (number, (host, settings, status, told)) in rows.into_iter().enumerate() {
            let before = origin.seen().len();
            let answer = get(proxy.https(), settings, host);
            assert_eq!(answer.status, status, "{number} {host}: {answer:?}");
            let seen = origin.seen();
            assert_eq!(seen.len() - before, usize::from(status == 200), "{number} {host}");
            if status == 200 {
                assert_eq!(seen.last().unwrap().field("ssl-client-verify"), told, "{number} {host}");
            }
        }
    }
    let mut client = connect(proxy.https(), &showing("shop", &ours, BOTH), "on.example");
    client.send(
        "GET / HTTP/1.1\r\nHost: on.example\r\nSSL-Client-Subject-DN: CN=admin\r\nssl-client-cert: forged\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "ok");
    let seen = origin.seen().pop().unwrap();
    let subjects: Vec<_> =
        seen.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("ssl-client-subject-dn")).collect();
    assert_eq!(subjects.len(), 1);
    assert_eq!(subjects[0].1, "CN=shop,O=Acme\\, Inc.");
    assert_eq!(seen.field("ssl-client-issuer-dn"), Some("CN=ours,O=Acme\\, Inc."));
    assert!(seen.field("ssl-client-cert").unwrap().starts_with("-----BEGIN%20CERTIFICATE-----%0A"));
}

#[test]
fn a_connection_for_another_host_is_no_way_round_the_certificate() {
    let (origin, ours) = (Origin::named("ok"), authority("ours"));
    let hosts = [
        ("on.example", filter(CertificateNeed::Required)),
        ("also.example", filter(CertificateNeed::Required)),
    ];
    let mut proxy = wanting(&origin, &ours, &hosts);
    let good = showing("shop", &ours, BOTH);
    let mut open = connect(proxy.https(), &good, "open.example");
    assert_eq!(open.get("open.example", "/").status, 200);
    assert_eq!(open.get("on.example", "/").status, 421, "it was not asked for a certificate");
    let mut nameless = connect(proxy.https(), &good, "127.0.0.1");
    assert_eq!(nameless.get("on.example", "/").status, 421);
    let mut client = connect(proxy.https(), &good, "on.example");
    assert_eq!(client.get("also.example", "/").status, 200, "the same authority was asked");
    assert_eq!(client.get("open.example", "/").status, 200);
    assert_eq!(
        Client::connect(proxy.http()).get("on.example", "/").status,
        400,
        "plain text has no certificate"
    );

    // Whoever was verified by authorities that are not believed any more comes anew.
    let others = authority("others");
    let verification = Arc::new(ClientVerification { authorities: others.pem().into(), depth: 1 });
    proxy.edit_host("on.example", |host| host.client_verification = Some(verification));
    proxy.apply(&[]);
    assert_eq!(client.get("on.example", "/").status, 421);
    assert_eq!(client.get("also.example", "/").status, 200);
    assert_eq!(get(proxy.https(), &good, "on.example").status, 400);
    assert_eq!(get(proxy.https(), &showing("shop", &others, BOTH), "on.example").status, 200);
}

#[test]
fn a_session_that_goes_on_is_as_well_verified_as_it_was() {
    let (origin, ours) = (Origin::named("ok"), authority("ours"));
    let proxy = wanting(&origin, &ours, &[("on.example", filter(CertificateNeed::Required))]);
    let good = showing("shop", &ours, &BOTH[..1]);
    for _ in 0..3 {
        assert_eq!(get(proxy.https(), &good, "on.example").status, 200);
    }
    // A session of a host without certificates is none of one with them.
    let none = tls::settings(&BOTH[..1], &[]);
    for (host, wanted) in
        [("open.example", 200), ("on.example", 400), ("open.example", 200), ("on.example", 400)]
    {
        assert_eq!(get(proxy.https(), &none, host).status, wanted, "{host}");
    }
}

#[test]
fn subjects_must_fit_and_refusals_may_lead_to_a_page() {
    let (origin, ours) = (Origin::named("ok"), authority("ours"));
    let fitting = ClientCertificate {
        error_page: Some("https://help.example/".into()),
        subject: Some(SubjectPattern::new("CN=shop-[a-z]").unwrap()),
        ..filter(CertificateNeed::Required)
    };
    let proxy = wanting(&origin, &ours, &[("on.example", fitting)]);
    assert_eq!(get(proxy.https(), &showing("shop-a", &ours, BOTH), "on.example").status, 200);
    assert_eq!(get(proxy.https(), &showing("shop-1", &ours, BOTH), "on.example").status, 403);
    let answer = get(proxy.https(), &tls::usual(&[]), "on.example");
    assert_eq!((answer.status, answer.field("location")), (302, Some("https://help.example/")));
}
