//! Secrets that hold a certificate with its private key.

use k8s_openapi::api::core::v1 as core;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::model::Certificate;

/// The type of Secrets that hold a certificate.
pub const SECRET_TYPE: &str = "kubernetes.io/tls";

/// What is wrong with a Secret: the field, a reason for machines and a sentence for people.
pub type SecretFault = (&'static str, &'static str, String);

/// What is in a Secret, usable or not: the engine keeps the last good certificate instead of one that it cannot use.
pub fn read(secret: &core::Secret) -> Certificate {
    // Another type is no certificate, whatever its keys hold.
    let part = |key| match secret.type_.as_deref() {
        Some(SECRET_TYPE) => value(secret, key).unwrap_or_default(),
        _ => &[],
    };
    Certificate { chain_pem: part("tls.crt").into(), key_pem: part("tls.key").into() }
}

/// Whether a Secret holds a certificate and a private key.
///
/// # Errors
/// What is wrong with it; nothing of what it holds is told.
pub fn check(secret: &core::Secret) -> Result<(), SecretFault> {
    let type_ = secret.type_.as_deref().unwrap_or("Opaque");
    if type_ != SECRET_TYPE {
        return Err(("type", "WrongSecretType", format!("it must be {SECRET_TYPE}, not {type_:?}")));
    }
    let present = |key| value(secret, key).filter(|value| !value.is_empty());
    let Some(chain) = present("tls.crt") else {
        return Err(("data[tls.crt]", "IncompleteSecret", "the certificate is missing".into()));
    };
    let Some(key) = present("tls.key") else {
        return Err(("data[tls.key]", "IncompleteSecret", "the private key is missing".into()));
    };
    let mut certificates = CertificateDer::pem_slice_iter(chain).peekable();
    if certificates.peek().is_none() || certificates.any(|certificate| certificate.is_err()) {
        return Err(("data[tls.crt]", "InvalidCertificate", "it is not a chain of PEM certificates".into()));
    }
    if PrivateKeyDer::from_pem_slice(key).is_err() {
        return Err(("data[tls.key]", "InvalidPrivateKey", "it is not a PEM private key".into()));
    }
    Ok(())
}

/// A value of a Secret. `stringData` only comes from files: an API server folds it into `data`.
pub fn value<'a>(secret: &'a core::Secret, key: &str) -> Option<&'a [u8]> {
    let text = secret.string_data.as_ref().and_then(|data| data.get(key)).map(|text| text.as_bytes());
    text.or_else(|| secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice()))
}
