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
