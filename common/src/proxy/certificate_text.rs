//! Certificate text: what is in a client's certificate, in the words in which backends are told of it.

/// Short names of attributes, by the bytes of their object identifiers (RFC 4514 §3, and those that OpenSSL has).
const NAMES: [(&[u8], &str); 15] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 12], "title"),
    (&[0x55, 4, 42], "GN"),
    (&[0x55, 4, 43], "initials"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
/// UTF-16 without surrogates, most significant byte first.
const BMP_STRING: u8 = 0x1e;
/// One byte for each character, of Latin-1 in practice.
const T61_STRING: u8 = 0x14;

/// Subject and issuer of a certificate in DER; `None` if it is malformed.
pub fn names(certificate: &[u8]) -> Option<(String, String)> {
    let (content, _) = tagged(certificate, SEQUENCE)?;
    let (mut rest, _) = tagged(content, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = value(rest)?.2;
    }
    let (_, rest) = tagged(rest, INTEGER)?;
    let (_, rest) = tagged(rest, SEQUENCE)?;
    let (issuer, rest) = tagged(rest, SEQUENCE)?;
    let (_, rest) = tagged(rest, SEQUENCE)?;
    let (subject, _) = tagged(rest, SEQUENCE)?;
    Some((name(subject)?, name(issuer)?))
}

/// A certificate in DER as PEM, escaped as in a URL.
pub fn escaped_pem(certificate: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(certificate);
    let mut out = "-----BEGIN%20CERTIFICATE-----%0A".to_owned();
    for (at, byte) in text.bytes().enumerate() {
        if at > 0 && at % 64 == 0 {
            out.push_str("%0A");
        }
        match byte {
            b'+' => out.push_str("%2B"),
            b'/' => out.push_str("%2F"),
            b'=' => out.push_str("%3D"),
            byte => out.push(char::from(byte)),
        }
    }
    out.push_str("%0A-----END%20CERTIFICATE-----%0A");
    out
}

/// Tag, content and what follows, of a value in DER.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Content and what follows, of a value with this tag.
fn tagged(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = value(bytes)?;
    (found == tag).then_some((content, rest))
}

/// A distinguished name as RFC 4514 writes it: its last part first.
fn name(mut parts: &[u8]) -> Option<String> {
    let mut texts = Vec::new();
    while !parts.is_empty() {
        let (mut part, rest) = tagged(parts, SET)?;
        let mut attributes = Vec::new();
        while !part.is_empty() {
            let (attribute, rest) = tagged(part, SEQUENCE)?;
            let (object, text) = tagged(attribute, OBJECT)?;
            let (tag, text, _) = value(text)?;
            let known = NAMES.iter().find(|(bytes, _)| *bytes == object).map(|(_, name)| (*name).to_owned());
            attributes.push(format!(
                "{}={}",
                known.unwrap_or_else(|| dotted(object)),
                escaped(&decoded(tag, text))
            ));
            part = rest;
        }
        texts.push(attributes.join("+"));
        parts = rest;
    }
    texts.reverse();
    Some(texts.join(","))
}

/// The numbers of an object identifier.
fn dotted(object: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in object {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first.to_string());
                number -= first * 40;
            }
            numbers.push(number.to_string());
            number = 0;
        }
    }
    numbers.join(".")
}

/// The characters of a text as UTF-8.
fn decoded(tag: u8, text: &[u8]) -> Vec<u8> {
    match tag {
        BMP_STRING => {
            let units = text.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
            String::from_utf16_lossy(&units.collect::<Vec<_>>()).into_bytes()
        }
        T61_STRING => text.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes(),
        _ => text.to_vec(),
    }
}

/// A value in which nothing is taken for the end of it, and which is ASCII without control characters.
fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        let is_edge = at == 0 || at + 1 == text.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', char::from(*byte)]),
            b' ' if is_edge => out.push_str("\\ "),
            b'#' if at == 0 => out.push_str("\\#"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn made(parts: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_written_last_part_first_and_escaped() {
        let rows: [(&[(DnType, &str)], &str); 4] = [
            (&[(DnType::CommonName, "shop")], "CN=shop"),
            (
                &[
                    (DnType::CountryName, "DE"),
                    (DnType::OrganizationName, "Acme, Inc."),
                    (DnType::CommonName, "a b"),
                ],
                "CN=a b,O=Acme\\, Inc.,C=DE",
            ),
            (&[(DnType::CommonName, " #é\n ")], "CN=\\ #\\C3\\A9\\0A\\ "),
            (&[(DnType::CustomDnType(vec![1, 2, 840, 5]), "x")], "1.2.840.5=x"),
        ];
        for (parts, wanted) in rows {
            let (subject, issuer) = names(&made(parts)).unwrap();
            assert_eq!((&*subject, &*issuer), (wanted, wanted));
        }
    }

    #[test]
    fn what_is_no_certificate_is_told_apart_whatever_it_is() {
        let whole = made(&[(DnType::CommonName, "shop")]);
        for end in 0..whole.len().min(160) {
            let _ = names(&whole[..end]);
            let mut changed = whole.clone();
            changed[end] ^= 0xff;
            let _ = names(&changed);
        }
        assert_eq!(names(b""), None);
        assert_eq!(names(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn pem_is_escaped_as_in_a_url() {
        let text = escaped_pem(&[0xfb; 50]);
        let begin = "-----BEGIN%20CERTIFICATE-----%0A%2B";
        assert!(text.starts_with(begin) && text.ends_with("%3D%0A-----END%20CERTIFICATE-----%0A"), "{text}");
        assert_eq!(text.matches("%0A").count(), 4);
    }
}
