//! Names of hosts as objects write them: exact ones, and wildcards of one label.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use crate::model::HostMatch;

/// Reads an exact name or `*.suffix`.
///
/// # Errors
/// What is wrong, in a sentence without the name.
pub fn parse(text: &str) -> Result<HostMatch, String> {
    let lower = match has_upper_case(text) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    };
    if let Some(suffix) = lower.strip_prefix("*.") {
        check(suffix)?;
        return Ok(HostMatch::Wildcard(suffix.into()));
    }
    check(&lower)?;
    Ok(HostMatch::Exact(lower.into()))
}

/// The same for a text that can be shared: most names are written in lower case already.
///
/// # Errors
/// What is wrong, in a sentence without the name.
pub fn parse_shared(text: &Arc<str>) -> Result<HostMatch, String> {
    match text.starts_with("*.") || has_upper_case(text) {
        true => parse(text),
        false => check(text).map(|()| HostMatch::Exact(text.clone())),
    }
}

fn has_upper_case(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Whether a text is this host, which is a valid one. As [`parse`] and a comparison say, but without reading the text
/// anew: an Ingress may have a thousand rules, and each of its hosts looks at all of them.
pub fn is(text: &str, host: &HostMatch) -> bool {
    match host {
        HostMatch::Any => false,
        HostMatch::Exact(name) => text.eq_ignore_ascii_case(name),
        HostMatch::Wildcard(suffix) => {
            text.strip_prefix("*.").is_some_and(|text| text.eq_ignore_ascii_case(suffix))
        }
    }
}

/// Checks a lower case name by the rules of a DNS subdomain (RFC 1123).
///
/// # Errors
/// What is wrong, in a sentence without the name.
pub fn check(name: &str) -> Result<(), String> {
    let fault = |text: &str| Err(text.to_owned());
    if name.is_empty() {
        return fault("a host must not be empty");
    }
    if name.contains('*') {
        return fault(
            "`*` may only stand for the whole first label, as in `*.shop.example`; leave the host out to answer every host",
        );
    }
    if name.parse::<IpAddr>().is_ok() || name.starts_with('[') {
        return fault("a host must be a name, not an IP address");
    }
    if name.contains(':') {
        return fault("a host must not have a port or scheme");
    }
    if name.ends_with('.') {
        return fault("a host must not end with a dot");
    }
    if !name.is_ascii() {
        return fault("write international names in their ASCII form (`xn--…`)");
    }
    if name.len() > 253 {
        return fault("a host must not be longer than 253 characters");
    }
    if !name.split('.').all(is_label) {
        return fault("each label must be 1 to 63 letters, digits or hyphens, with no hyphen at its ends");
    }
    Ok(())
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_wildcards_of_one_label_are_hosts() {
        let long = "a".repeat(63);
        let table = [
            ("shop.example", Some("shop.example")),
            ("SHOP.Example", Some("shop.example")),
            ("localhost", Some("localhost")),
            ("*.shop.example", Some("*.shop.example")),
            (&long, Some(&*long)),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("", None),
            ("*", None),
            ("*.", None),
            ("**.example", None),
            ("a.*.example", None),
            ("*shop.example", None),
            ("*.*.example", None),
            ("192.0.2.1", None),
            ("[2001:db8::1]", None),
            ("2001:db8::1", None),
            ("shop.example:80", None),
            ("http://shop.example", None),
            ("shop.example.", None),
            ("shop..example", None),
            ("-shop.example", None),
            ("shop-.example", None),
            ("sh_op.example", None),
            ("sh op", None),
            ("bücher.example", None),
            ("shop.example/a", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_shared(&text.into()), parse(text), "{text}");
            let host = parse(text).ok();
            assert_eq!(host.as_ref().map(ToString::to_string).as_deref(), want, "{text:?}");
            assert!(host.is_none_or(|host| is(text, &host)), "{text:?} is itself");
        }
        assert!(parse(&"a".repeat(64)).is_err());
        assert!(parse(&["abcdefg"; 32].join(".")).is_err());
    }
}
