//! Hosts and ports: `Host`, `:authority` and the authority of absolute targets.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use thiserror::Error;

/// Longest name that DNS can hold, without the trailing dot (RFC 1035 §3.1).
const MAX_HOST_BYTES: usize = 253;
/// Longest label of a name.
const MAX_LABEL_BYTES: usize = 63;

/// A host with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Lower case, without trailing dot; an IPv6 address without brackets.
    pub host: Cow<'a, [u8]>,
    /// The port if one is named.
    pub port: Option<u16>,
}

/// Why a text is not an authority. Each is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// There is no host.
    #[error("the host is empty")]
    Empty,
    /// It holds a byte that no host name has; user information and escapes among them.
    #[error("the host holds a byte other than letters, digits, '-', '.' and '_'")]
    Byte,
    /// A label of the name is empty or longer than 63 bytes, or the name is longer than 253.
    #[error("a label of the host is empty or too long, or the host is")]
    Label,
    /// Brackets hold no IPv6 address.
    #[error("the host is no IPv6 address in brackets")]
    Ipv6,
    /// The port is no number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

/// Reads a host with an optional port (RFC 3986 §3.2), narrower than the RFC: no user information, no escapes,
/// no sub-delimiters, no empty port, no IPv6 zone.
///
/// # Errors
/// When it is anything else.
pub fn parse(authority: &[u8]) -> Result<Authority<'_>, AuthorityError> {
    if authority.first() == Some(&b'[') {
        return parse_ipv6(authority);
    }
    let (host, port) = match memchr::memchr(b':', authority) {
        Some(colon) => (&authority[..colon], Some(parse_port(&authority[colon + 1..])?)),
        None => (authority, None),
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    let has_upper = check_name(host)?;
    Ok(Authority { host: lower_case(host, has_upper), port })
}

/// Checks a name and tells whether it has an upper-case letter.
fn check_name(host: &[u8]) -> Result<bool, AuthorityError> {
    if host.is_empty() {
        return Err(AuthorityError::Empty);
    }
    let (mut label, mut has_upper, mut is_short) = (0, false, true);
    for &byte in host {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'A'..=b'Z' => {
                has_upper = true;
                label += 1;
            }
            b'.' => {
                is_short &= (1..=MAX_LABEL_BYTES).contains(&label);
                label = 0;
            }
            _ => return Err(AuthorityError::Byte),
        }
    }
    is_short &= (1..=MAX_LABEL_BYTES).contains(&label) && host.len() <= MAX_HOST_BYTES;
    if is_short { Ok(has_upper) } else { Err(AuthorityError::Label) }
}

fn parse_ipv6(authority: &[u8]) -> Result<Authority<'_>, AuthorityError> {
    let close = memchr::memchr(b']', authority).ok_or(AuthorityError::Ipv6)?;
    let host = &authority[1..close];
    let text = std::str::from_utf8(host).map_err(|_| AuthorityError::Ipv6)?;
    text.parse::<Ipv6Addr>().map_err(|_| AuthorityError::Ipv6)?;
    let port = match &authority[close + 1..] {
        [] => None,
        [b':', port @ ..] => Some(parse_port(port)?),
        _ => return Err(AuthorityError::Ipv6),
    };
    Ok(Authority { host: lower_case(host, host.iter().any(u8::is_ascii_uppercase)), port })
}

fn lower_case(host: &[u8], has_upper: bool) -> Cow<'_, [u8]> {
    if has_upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) }
}

/// Reads a port of one to five digits.
fn parse_port(text: &[u8]) -> Result<u16, AuthorityError> {
    if !(1..=5).contains(&text.len()) || !text.iter().all(u8::is_ascii_digit) {
        return Err(AuthorityError::Port);
    }
    let port = text.iter().fold(0u32, |port, digit| port * 10 + u32::from(digit - b'0'));
    u16::try_from(port).ok().filter(|port| *port != 0).ok_or(AuthorityError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let rows: &[(&str, &str, Option<u16>)] = &[
            ("a", "a", None),
            ("example.com", "example.com", None),
            ("Example.COM", "example.com", None),
            ("example.com.", "example.com", None),
            ("EXAMPLE.com.:443", "example.com", Some(443)),
            ("example.com:80", "example.com", Some(80)),
            ("example.com:1", "example.com", Some(1)),
            ("example.com:65535", "example.com", Some(65535)),
            ("example.com:00080", "example.com", Some(80)),
            ("my_service.default", "my_service.default", None),
            ("-a-.b", "-a-.b", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("127.0.0.1", "127.0.0.1", None),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("1", "1", None),
            ("[::1]", "::1", None),
            ("[::1]:8443", "::1", Some(8443)),
            ("[2001:DB8::1]", "2001:db8::1", None),
            ("[::ffff:192.0.2.1]", "::ffff:192.0.2.1", None),
        ];
        for (text, host, port) in rows {
            let authority = parse(text.as_bytes()).unwrap();
            assert_eq!((&*authority.host, authority.port), (host.as_bytes(), *port), "{text}");
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        use AuthorityError::*;
        let rows: &[(&[u8], AuthorityError)] = &[
            (b"", Empty),
            (b".", Empty),
            (b":80", Empty),
            (b".:80", Empty),
            (b"..", Label),
            (b".a", Label),
            (b"a..b", Label),
            (b"a..", Label),
            (b"user@a", Byte),
            (b"user:80@a", Port),
            (b"a b", Byte),
            (b"a,b", Byte),
            (b"a, b", Byte),
            (b" a", Byte),
            (b"a ", Byte),
            (b"a\tb", Byte),
            (b"a/b", Byte),
            (b"a?b", Byte),
            (b"a#b", Byte),
            (b"a\\b", Byte),
            (b"a%41", Byte),
            (b"a%00", Byte),
            (b"a\0", Byte),
            (b"a\xc3\xa9", Byte),
            (b"a!b", Byte),
            (b"a~b", Byte),
            (b"*.a", Byte),
            (b"a:", Port),
            (b"a:0", Port),
            (b"a:65536", Port),
            (b"a:99999", Port),
            (b"a:000080", Port),
            (b"a:+80", Port),
            (b"a:-1", Port),
            (b"a: 80", Port),
            (b"a:8o", Port),
            (b"a:0x50", Port),
            (b"a:80:80", Port),
            (b"::1", Port),
            (b"[::1", Ipv6),
            (b"[]", Ipv6),
            (b"[127.0.0.1]", Ipv6),
            (b"[a]", Ipv6),
            (b"[fe80::1%25eth0]", Ipv6),
            (b"[v1.a]", Ipv6),
            (b"[::1]a", Ipv6),
            (b"[::1].", Ipv6),
            (b"[::1]:", Port),
            (b"[[::1]]", Ipv6),
            (b"::1]", Port),
        ];
        for (text, error) in rows {
            assert_eq!(parse(text), Err(*error), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn names_longer_than_dns_can_hold_are_refused() {
        let label = "a".repeat(63);
        assert!(parse(label.as_bytes()).is_ok());
        assert_eq!(parse(format!("{label}a.b").as_bytes()), Err(AuthorityError::Label));
        let name = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert!(parse(name.as_bytes()).is_ok());
        assert_eq!(parse(format!("{name}a").as_bytes()), Err(AuthorityError::Label));
    }
}
