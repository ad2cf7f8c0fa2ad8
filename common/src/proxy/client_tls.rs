//! Client TLS: hosts whose clients are asked for a certificate, and what is found out about the one that they show.
//!
//! A handshake never fails for what a client shows, or does not: the filters of a route decide about that, so that
//! the client is told in an answer. What is checked in the handshake is that it has the key to its certificate.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::{certificate_text, tls};
use crate::{
    filter::{CertificateVerdict, ShownCertificate},
    model::ClientVerification,
};

/// Settings that are kept before it is looked which of them nobody uses any more.
const FIRST_LOOK: usize = 64;

/// Settings of handshakes, by whose certificates are believed; made when a client needs them first.
#[derive(Default)]
pub struct ClientVerifiers(Mutex<HashMap<Key, Arc<LiveVerification>>>);

/// The place of a listener, and whose certificates are believed there.
type Key = (usize, Arc<ClientVerification>);

/// Whose certificates are believed, ready for handshakes.
pub struct LiveVerification {
    /// What it was made from.
    pub wanted: Arc<ClientVerification>,
    /// Settings of handshakes.
    pub settings: Arc<ServerConfig>,
    anchors: Vec<TrustAnchor<'static>>,
}

/// What a client showed on its connection, and to whom it was asked to.
pub struct Shown {
    /// By whom it was verified.
    pub verification: Arc<ClientVerification>,
    /// What it showed.
    pub certificate: ShownCertificate,
}

impl ClientVerifiers {
    /// The settings for clients of a listener, by its place, that has these usual ones.
    ///
    /// # Errors
    /// If the system gives no randomness for the keys of tickets.
    pub fn get(
        &self,
        (listener, usual): (usize, &ServerConfig),
        wanted: &Arc<ClientVerification>,
    ) -> Result<Arc<LiveVerification>, Error> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (listener, wanted.clone());
        if let Some(found) = made.get(&key) {
            return Ok(found.clone());
        }
        if made.len() >= FIRST_LOOK {
            // Those that no table holds any more; connections hold what they were verified by, too.
            made.retain(|(_, wanted), _| Arc::strong_count(wanted) > 2);
        }
        let live = Arc::new(LiveVerification::new(wanted.clone(), usual)?);
        made.insert(key, live.clone());
        Ok(live)
    }
}

impl LiveVerification {
    fn new(wanted: Arc<ClientVerification>, usual: &ServerConfig) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(
            CertificateDer::pem_slice_iter(wanted.authorities.as_bytes()).flatten(),
        );
        let verifier = Arc::new(AnyClient { hints: roots.subjects() });
        let settings = tls::settings_with(verifier, usual.cert_resolver.clone())?;
        Ok(Self { wanted, settings, anchors: roots.roots })
    }

    /// What a client showed, its own certificate first.
    pub fn look_at(&self, chain: Option<&[CertificateDer<'_>]>, now: UnixTime) -> Shown {
        let verification = self.wanted.clone();
        let Some((own, others)) = chain.and_then(<[_]>::split_first) else {
            return Shown { verification, certificate: ShownCertificate::default() };
        };
        let verdict = match self.verify(own, others, now) {
            Ok(()) => CertificateVerdict::Believed,
            Err(error) => CertificateVerdict::Refused(in_words(&error).into()),
        };
        let (subject, issuer) = certificate_text::names(own).unwrap_or_default();
        let escaped_pem = certificate_text::escaped_pem(own).into();
        let certificate =
            ShownCertificate { verdict, subject: subject.into(), issuer: issuer.into(), escaped_pem };
        Shown { verification, certificate }
    }

    fn verify(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let depth = usize::from(self.wanted.depth);
        let is_short = |path: &VerifiedPath<'_>| match path.intermediate_certificates().count() <= depth {
            true => Ok(()),
            false => Err(webpki::Error::MaximumPathDepthExceeded),
        };
        let algorithms = tls::provider().signature_verification_algorithms.all;
        let usage = KeyUsage::client_auth();
        EndEntityCert::try_from(own)?
            .verify_for_usage(algorithms, &self.anchors, others, now, usage, None, Some(&is_short))
            .map(drop)
    }
}

/// Why a certificate is not believed, in the words of OpenSSL where it has some.
fn in_words(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "certificate has expired".to_owned(),
        webpki::Error::CertNotValidYet { .. } => "certificate is not yet valid".to_owned(),
        webpki::Error::UnknownIssuer => "unable to verify the first certificate".to_owned(),
        webpki::Error::MaximumPathDepthExceeded => "certificate chain too long".to_owned(),
        other => format!("{other:?}").chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect(),
    }
}

/// Asks every client for a certificate and accepts any, or none.
#[derive(Debug)]
struct AnyClient {
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &tls::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &tls::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn params(name: &str, is_authority: bool) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    fn root(name: &str) -> Authority {
        CertifiedIssuer::self_signed(params(name, true), KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(name: &str, authority: &Authority) -> CertificateDer<'static> {
        params(name, false).signed_by(&KeyPair::generate().unwrap(), authority).unwrap().der().clone()
    }

    fn live(authorities: &str, depth: u8) -> LiveVerification {
        let resolver = Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
        let usual = tls::server_settings(resolver).unwrap();
        let wanted = Arc::new(ClientVerification { authorities: authorities.into(), depth });
        LiveVerification::new(wanted, &usual).unwrap()
    }

    #[test]
    fn a_certificate_is_believed_if_an_authority_stands_for_it() {
        let (ours, others) = (root("ours"), root("others"));
        let middle =
            CertifiedIssuer::signed_by(params("middle", true), KeyPair::generate().unwrap(), &ours).unwrap();
        let chain = [leaf("b", &middle), middle.der().clone()];
        let verdict = |depth, chain: Option<&[CertificateDer<'_>]>| {
            live(&ours.pem(), depth).look_at(chain, UnixTime::now()).certificate.verdict
        };
        let refused = |why: &str| CertificateVerdict::Refused(why.into());
        assert_eq!(verdict(1, None), CertificateVerdict::None);
        assert_eq!(verdict(1, Some(&[])), CertificateVerdict::None);
        assert_eq!(verdict(0, Some(&[leaf("a", &ours)])), CertificateVerdict::Believed);
        assert_eq!(verdict(1, Some(&chain)), CertificateVerdict::Believed);
        let unknown = refused("unable to verify the first certificate");
        assert_eq!(verdict(1, Some(&chain[..1])), unknown);
        assert_eq!(verdict(1, Some(&[leaf("a", &others)])), unknown);
        assert!(matches!(verdict(0, Some(&chain)), CertificateVerdict::Refused(_)), "too deep");
        assert!(matches!(verdict(1, Some(&[b"x".as_slice().into()])), CertificateVerdict::Refused(_)));
        let late = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1 << 38));
        let expired = live(&ours.pem(), 1).look_at(Some(&[leaf("a", &ours)]), late).certificate;
        assert!(matches!(expired.verdict, CertificateVerdict::Refused(_)), "{:?}", expired.verdict);
        assert_eq!(expired.issuer.split(',').find(|part| part.starts_with("CN=")), Some("CN=ours"));
        let nobody = live("nonsense", 1).look_at(Some(&[leaf("a", &ours)]), UnixTime::now());
        assert!(matches!(nobody.certificate.verdict, CertificateVerdict::Refused(_)));
    }

    #[test]
    fn settings_are_made_once_and_let_go_when_nobody_needs_them() {
        let resolver = Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
        let usual = tls::server_settings(resolver).unwrap();
        let verifiers = ClientVerifiers::default();
        let wanted = |depth| Arc::new(ClientVerification { authorities: "".into(), depth });
        let kept = wanted(0);
        let first = verifiers.get((0, &usual), &kept).unwrap();
        assert!(Arc::ptr_eq(&first, &verifiers.get((0, &usual), &wanted(0)).unwrap()));
        assert!(!Arc::ptr_eq(&first, &verifiers.get((1, &usual), &kept).unwrap()));
        for depth in 1..=200 {
            verifiers.get((0, &usual), &wanted(depth)).unwrap();
        }
        assert!(verifiers.0.lock().unwrap().len() <= FIRST_LOOK);
        assert!(Arc::ptr_eq(&first, &verifiers.get((0, &usual), &kept).unwrap()), "one in use stays");
    }
}
