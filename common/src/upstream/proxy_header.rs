//! Header of the PROXY protocol that connections to endpoints begin with.
//!
//! Source: "The PROXY protocol", versions 1 and 2, by the HAProxy project.

use std::net::{IpAddr, SocketAddr};

use crate::model::ProxyProtocolVersion;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, for a client; for nobody the last bit is 0.
const PROXIED: u8 = 0x21;
const LOCAL: u8 = 0x20;
/// Families with TCP.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header for a client that asks and the endpoint that it is sent to; for nobody where the proxy asks itself.
pub(super) fn header(
    version: ProxyProtocolVersion,
    client: Option<SocketAddr>,
    endpoint: SocketAddr,
) -> Vec<u8> {
    let addresses = client.map(|client| same_family(client, endpoint));
    match version {
        ProxyProtocolVersion::V1 => text(addresses).into_bytes(),
        ProxyProtocolVersion::V2 => binary(addresses),
    }
}

/// Both addresses in one family, as the protocol has no room for two.
fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (one, other) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let ips = match (one, other) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => (one, other),
        (IpAddr::V4(v4), v6) => (v4.to_ipv6_mapped().into(), v6),
        (v6, IpAddr::V4(v4)) => (v6, v4.to_ipv6_mapped().into()),
    };
    (SocketAddr::new(ips.0, source.port()), SocketAddr::new(ips.1, destination.port()))
}

fn text(addresses: Option<(SocketAddr, SocketAddr)>) -> String {
    let Some((source, destination)) = addresses else { return "PROXY UNKNOWN\r\n".to_owned() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
}

fn binary(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((source, destination)) = addresses else {
        header.extend_from_slice(&[LOCAL, 0, 0, 0]);
        return header;
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend_from_slice(&[PROXIED, TCP4, 0, 12]);
            header.extend(from.octets().into_iter().chain(to.octets()));
        }
        (from, to) => {
            header.extend_from_slice(&[PROXIED, TCP6, 0, 36]);
            header.extend([from, to].into_iter().flat_map(octets));
        }
    }
    header.extend(source.port().to_be_bytes().into_iter().chain(destination.port().to_be_bytes()));
    header
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::proxy_protocol::{Proxied, parse};

    #[test]
    fn what_is_written_is_read_again() {
        let rows = [
            (Some("192.0.2.1:1234"), "10.0.0.1:80", Some(("192.0.2.1:1234", "10.0.0.1:80"))),
            (Some("[2001:db8::1]:1"), "[2001:db8::2]:2", Some(("[2001:db8::1]:1", "[2001:db8::2]:2"))),
            (Some("192.0.2.1:9"), "[2001:db8::2]:2", Some(("[::ffff:192.0.2.1]:9", "[2001:db8::2]:2"))),
            (Some("[::ffff:192.0.2.1]:9"), "10.0.0.1:2", Some(("192.0.2.1:9", "10.0.0.1:2"))),
            (Some("[2001:db8::1]:1"), "10.0.0.1:2", Some(("[2001:db8::1]:1", "[::ffff:10.0.0.1]:2"))),
            (None, "10.0.0.1:2", None),
        ];
        for version in [ProxyProtocolVersion::V1, ProxyProtocolVersion::V2] {
            for (client, endpoint, wanted) in rows {
                let client = client.map(|client| client.parse().unwrap());
                let header = header(version, client, endpoint.parse().unwrap());
                let (length, read) = parse(&header).unwrap().unwrap();
                assert_eq!(length, header.len());
                let wanted = wanted.map_or(Proxied::Local, |(source, destination)| Proxied::Addresses {
                    source: source.parse().unwrap(),
                    destination: destination.parse().unwrap(),
                });
                assert_eq!(read, wanted, "{version:?} {client:?} {endpoint}");
            }
        }
    }
}
