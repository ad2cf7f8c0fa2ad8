//! Annotation group: certificates of clients.

use selvedge_common::{
    filter::{CertificateNeed, ClientCertificate, SubjectPattern},
    quote::quote,
};

use super::{
    Effect,
    form::{AbsoluteUrl, Count, ObjectName, Text, VerifyClient},
    given::Given,
    key::key,
};

super::group! {
    /// Certificates of clients
    ClientCertificates {
        /// Secret in the namespace of the Ingress whose `ca.crt` holds the authorities that sign certificates of clients. It counts for all paths of the host; where it is missing they answer 503. Of several Ingresses of a host the oldest one with the annotation counts.
        secret: ObjectName = key("auth-tls-secret").example("`default/clients`").protects()
            .limits("Secrets of other types than `kubernetes.io/tls` are read with `--adopt-ingress-nginx` alone.");
        /// Whether clients must show one.
        verify: VerifyClient = key("auth-tls-verify-client").default("`on`").example("`optional`").protects();
        /// How many authorities may be between.
        depth: Count = key("auth-tls-verify-depth").default("`1`").example("`2`").limits("At most 255.");
        /// Where clients without one are sent.
        error_page: AbsoluteUrl = key("auth-tls-error-page").example("`https://shop.example/certificate`");
        /// Show it to the backend.
        pass: bool = key("auth-tls-pass-certificate-to-upstream").default("`false`").example("`true`");
        /// Regular expression that a part of its subject must match.
        match_cn: Text = key("auth-tls-match-cn").example("`CN=shop`").protects();
    }
}

impl ClientCertificates {
    /// What is asked of clients; `None` is nothing.
    pub(crate) fn filter(&self) -> Option<ClientCertificate> {
        let need = match self.verify.unwrap_or(VerifyClient::On) {
            VerifyClient::On => CertificateNeed::Required,
            VerifyClient::Optional => CertificateNeed::Optional,
            VerifyClient::OptionalNoCa => CertificateNeed::OptionalAny,
            VerifyClient::Off => return None,
        };
        Some(ClientCertificate {
            need,
            error_page: self.error_page.as_ref().map(|url| url.0.clone()),
            subject: self.match_cn.as_ref().and_then(|text| SubjectPattern::new(&text.0).ok()),
            pass_certificate: self.pass == Some(true),
        })
    }
}

impl Effect for ClientCertificates {
    fn judge(&self, given: &mut Given<'_>) {
        let Some(Text(text)) = &self.match_cn else { return };
        if let Err(why) = SubjectPattern::new(text) {
            let message = format!("{}: {why}; it protects its paths, so they answer 503", quote(text));
            given.tell("auth-tls-match-cn", "InvalidAnnotation", message);
            given.close();
        }
    }
}
