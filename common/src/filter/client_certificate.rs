//! Filter: lets in who shows a certificate, and tells the backend what is in it.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{FilterContext, Flow, Reply};
use crate::message::{RequestHead, ResponseHead, pattern};

/// What of a client's certificate lets it in, and what its backend is told: `ssl-client-verify`,
/// `ssl-client-subject-dn`, `ssl-client-issuer-dn` and `ssl-client-cert`, as ingress-nginx does. What a client sends
/// under these names never reaches the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// Who comes in.
    pub need: CertificateNeed,
    /// Where clients are sent instead of being answered 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_page: Option<Arc<str>>,
    /// What must stand in the subject of the certificate, whatever else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectPattern>,
    /// Whether the backend gets the certificate itself, as PEM in the form of a URL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pass_certificate: bool,
}

/// Who comes in by certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateNeed {
    /// Who shows one that is believed.
    Required,
    /// Who does, and who shows none.
    Optional,
    /// Everybody: the backend is told whether the certificate is believed.
    OptionalAny,
}

/// What a client shows on its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Whether it is believed.
    pub verdict: CertificateVerdict,
    /// Whose it is, as RFC 4514 writes it.
    pub subject: Box<str>,
    /// Who signed it, likewise.
    pub issuer: Box<str>,
    /// The certificate as PEM, escaped as in a URL.
    pub escaped_pem: Box<str>,
}

/// Whether a certificate is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CertificateVerdict {
    /// There is none.
    #[default]
    None,
    /// It is.
    Believed,
    /// It is not; why not.
    Refused(Box<str>),
}

/// A pattern of which some part of a subject must be a match.
#[derive(Clone)]
pub struct SubjectPattern {
    text: Arc<str>,
    compiled: regex::bytes::Regex,
}

impl SubjectPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it breaks a rule of the syntax, is too long or becomes too large.
    pub fn new(text: &str) -> Result<Self, pattern::PatternError> {
        // On its own first: `a)|(b` must not become valid by what is put around it.
        pattern::compile_whole(text)?;
        let compiled = pattern::compile_whole(&format!("(?s:.*)(?:{text})(?s:.*)"))?;
        Ok(Self { text: text.into(), compiled })
    }

    /// Whether some part of a text is a match.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.compiled.is_match(text)
    }
}

impl ClientCertificate {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        const OURS: [&[u8]; 4] =
            [b"ssl-client-verify", b"ssl-client-subject-dn", b"ssl-client-issuer-dn", b"ssl-client-cert"];
        head.fields.retain(|_, name, _| !OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)));
        let none = ShownCertificate::default();
        let shown = cx.certificate.unwrap_or(&none);
        if let Err(reply) = self.admit(shown) {
            return Flow::Reply(reply);
        }
        let verdict = match &shown.verdict {
            CertificateVerdict::None => "NONE".to_owned(),
            CertificateVerdict::Believed => "SUCCESS".to_owned(),
            CertificateVerdict::Refused(why) => format!("FAILED:{why}"),
        };
        let pem = if self.pass_certificate { &*shown.escaped_pem } else { "" };
        for (name, value) in OURS.iter().zip([&*verdict, &shown.subject, &shown.issuer, pem]) {
            if !value.is_empty() {
                head.fields.push(name, value.as_bytes());
            }
        }
        Flow::Next
    }

    fn admit(&self, shown: &ShownCertificate) -> Result<(), Reply> {
        use {CertificateNeed::OptionalAny, CertificateNeed::Required, CertificateVerdict::None};
        match (&shown.verdict, self.need) {
            (None, Required) => return Err(self.refusal("client_certificate_missing")),
            (CertificateVerdict::Refused(_), need) if need != OptionalAny => {
                return Err(self.refusal("client_certificate_refused"));
            }
            _ => {}
        }
        match &self.subject {
            Some(pattern) if !pattern.is_match(shown.subject.as_bytes()) => {
                Err(Reply::refusal(403, "client_certificate_subject"))
            }
            _ => Ok(()),
        }
    }

    fn refusal(&self, reason: &'static str) -> Reply {
        match &self.error_page {
            None => Reply::refusal(400, reason),
            Some(page) => {
                let location = page.bytes().filter(|byte| !byte.is_ascii_control()).collect();
                Reply { fields: vec![("Location", location)], ..Reply::refusal(302, reason) }
            }
        }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

impl PartialEq for SubjectPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SubjectPattern {}

impl fmt::Debug for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for SubjectPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for SubjectPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    fn shown(verdict: CertificateVerdict) -> ShownCertificate {
        ShownCertificate {
            verdict,
            subject: "CN=shop,O=Acme".into(),
            issuer: "CN=ca".into(),
            escaped_pem: "-----BEGIN%20".into(),
        }
    }

    fn filter(need: CertificateNeed) -> ClientCertificate {
        ClientCertificate { need, error_page: None, subject: None, pass_certificate: false }
    }

    fn ask(filter: &ClientCertificate, shown: Option<&ShownCertificate>) -> (Option<u16>, RequestHead) {
        let given = Given::default();
        let mut head = RequestHead::default();
        head.fields.push(b"SSL-Client-Verify", b"SUCCESS");
        head.fields.push(b"ssl-client-cert", b"forged");
        let flow = filter.request(&FilterContext { certificate: shown, ..given.cx() }, &mut head);
        match flow {
            Flow::Next => (None, head),
            Flow::Reply(reply) => (Some(reply.status), head),
            flow => panic!("{flow:?}"),
        }
    }

    #[test]
    fn who_shows_what_comes_in_or_does_not() {
        use CertificateNeed::{Optional, OptionalAny, Required};
        let refused = || CertificateVerdict::Refused("no".into());
        let rows = [
            (Required, CertificateVerdict::None, Some(400), ""),
            (Required, CertificateVerdict::Believed, None, "SUCCESS"),
            (Required, refused(), Some(400), ""),
            (Optional, CertificateVerdict::None, None, "NONE"),
            (Optional, CertificateVerdict::Believed, None, "SUCCESS"),
            (Optional, refused(), Some(400), ""),
            (OptionalAny, CertificateVerdict::None, None, "NONE"),
            (OptionalAny, CertificateVerdict::Believed, None, "SUCCESS"),
            (OptionalAny, refused(), None, "FAILED:no"),
        ];
        for (need, verdict, status, told) in rows {
            let (found, head) = ask(&filter(need), Some(&shown(verdict.clone())));
            assert_eq!(found, status, "{need:?} {verdict:?}");
            let verify = head.fields.get_by_name("ssl-client-verify").unwrap_or_default();
            assert_eq!(verify, told.as_bytes(), "{need:?} {verdict:?}");
            assert_eq!(head.fields.get_by_name("ssl-client-cert"), None, "never what the client says");
        }
        assert_eq!(ask(&filter(Required), None).0, Some(400), "without TLS");
    }

    #[test]
    fn the_backend_is_told_what_is_in_the_certificate() {
        let filter = ClientCertificate { pass_certificate: true, ..filter(CertificateNeed::Required) };
        let (_, head) = ask(&filter, Some(&shown(CertificateVerdict::Believed)));
        let rows = [
            ("ssl-client-subject-dn", "CN=shop,O=Acme"),
            ("ssl-client-issuer-dn", "CN=ca"),
            ("ssl-client-cert", "-----BEGIN%20"),
        ];
        for (name, wanted) in rows {
            assert_eq!(head.fields.get_by_name(name), Some(wanted.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_subject_must_fit_and_refusals_may_be_a_page() {
        let rows = [("CN=shop", None), ("O=Ac", None), ("CN=shop$", Some(403)), ("^O=", Some(403))];
        for (pattern, wanted) in rows {
            let subject = Some(SubjectPattern::new(pattern).unwrap());
            let filter = ClientCertificate { subject, ..filter(CertificateNeed::Required) };
            assert_eq!(ask(&filter, Some(&shown(CertificateVerdict::Believed))).0, wanted, "{pattern}");
        }
        assert!(SubjectPattern::new("a)|(b").is_err());
        let subject = Some(SubjectPattern::new("CN=a").unwrap());
        let filter = ClientCertificate { subject, ..filter(CertificateNeed::Optional) };
        assert_eq!(ask(&filter, None).0, Some(403), "who shows none has no subject");
        let page = Some("https://help.example/".into());
        let filter =
            ClientCertificate { error_page: page, subject: None, need: CertificateNeed::Required, ..filter };
        assert_eq!(ask(&filter, None).0, Some(302));
    }
}
