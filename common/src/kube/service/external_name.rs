//! Names of Services of type ExternalName: which are allowed as backends.

use std::net::{IpAddr, Ipv4Addr};

use crate::kube::host;

/// Why an external name is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It leads, or could lead, to the proxy's own machine or link.
    Forbidden,
    /// It is not a name.
    Malformed,
}

/// Checks the name before it is ever resolved. What it resolves to is checked again by the engine.
///
/// # Errors
/// Why it is not used.
pub fn check(name: &str) -> Result<(), NameFault> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if let Ok(address) = name.parse::<IpAddr>() {
        return match is_forbidden(address) {
            true => Err(NameFault::Forbidden),
            false => Ok(()),
        };
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last == "localhost"
        || name == "localhost.localdomain"
        || name == "ip6-localhost"
        || name == "ip6-loopback"
    {
        return Err(NameFault::Forbidden);
    }
    // Resolvers read `127.1`, `0x7f.1` and `2130706433` as addresses. No real name ends in a number.
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if number(last) || hexadecimal {
        return Err(NameFault::Forbidden);
    }
    host::check(&name.replace('_', "-")).map_err(|_| NameFault::Malformed)
}

fn is_forbidden(address: IpAddr) -> bool {
    let v4 = |address: Ipv4Addr| {
        address.is_loopback()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast()
            || address.octets()[0] == 0
    };
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => {
            address.to_ipv4().is_some_and(v4)
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_own_machine_and_link_are_forbidden() {
        let forbidden = [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.0.1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "017700000001",
            "127.0.0.0x1",
        ];
        for name in forbidden {
            assert_eq!(check(name), Err(NameFault::Forbidden), "{name}");
        }
        for name in ["", ".", "a b", "shop/../x", "-a", "a..b", "*.shop.example", "shop.example:80"] {
            assert_eq!(check(name), Err(NameFault::Malformed), "{name}");
        }
        for name in
            ["shop.example", "shop.example.", "Shop.Example", "10.0.0.5", "2001:db8::1", "a_b.example"]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }
}
