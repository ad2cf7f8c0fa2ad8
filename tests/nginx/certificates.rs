//! Certificates that objects of cases name, made for one run of the test.

use std::sync::LazyLock;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use selvedge_common::model::Certificate;

/// A Secret's name and the hosts of its certificate.
const HOSTS: [(&str, &[&str]); 4] = [
    ("tls-a", &["a.test", "www.a.test", "alias.test"]),
    ("tls-b", &["b.test"]),
    ("tls-wild", &["*.wild.test"]),
    (BACKEND, &["backend.test"]),
];

/// The Secret of the backend that speaks TLS.
pub const BACKEND: &str = "tls-backend";

/// All certificates, and who signed them.
pub struct Certificates {
    /// Name of the Secret, and the pair.
    pub pairs: Vec<(&'static str, Certificate)>,
    /// The authority's own certificate in PEM.
    pub authority: String,
}

/// The certificates of this run.
pub static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(make);

impl Certificates {
    /// The Secret that holds this certificate; `default` if none does.
    pub fn name(&self, shown: &CertificateDer<'_>) -> &'static str {
        let is_shown = |pair: &Certificate| {
            CertificateDer::from_pem_slice(&pair.chain_pem).is_ok_and(|certificate| certificate == *shown)
        };
        self.pairs.iter().find(|(_, pair)| is_shown(pair)).map_or("default", |(name, _)| name)
    }

    /// The pair of a Secret.
    pub fn pair(&self, name: &str) -> &Certificate {
        let found = self.pairs.iter().find(|(of, _)| *of == name);
        &found.expect("only Secrets of the list are asked for").1
    }
}

fn make() -> Certificates {
    let mut authority = CertificateParams::new([]).expect("no name is wrong");
    authority.distinguished_name.push(DnType::CommonName, "authority.test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = || KeyPair::generate().expect("the system gives random numbers");
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("the key fits");
    let pair = |(name, hosts): (&'static str, &[&str])| {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).expect("hosts of tests are names");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = key();
        let certificate = params.signed_by(&key, &authority).expect("the key fits");
        let (chain, key) = (certificate.pem(), key.serialize_pem());
        (name, Certificate { chain_pem: chain.into_bytes().into(), key_pem: key.into_bytes().into() })
    };
    Certificates { pairs: HOSTS.map(pair).into(), authority: authority.pem() }
}
