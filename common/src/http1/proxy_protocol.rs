//! PROXY protocol headers, version 1 and 2, by which a load balancer in front names the client.
//!
//! Source: "The PROXY protocol", versions 1 and 2, by the HAProxy project.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const PREFIX: &[u8] = b"PROXY ";
/// Longest header of version 1, with its CRLF.
const MAX_LINE_BYTES: usize = 107;
/// Longest addresses and extensions of version 2.
const MAX_BLOCK_BYTES: usize = 4 << 10;
/// Bytes before the addresses of version 2.
const FIXED_BYTES: usize = 16;

/// Who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// Nobody: the load balancer itself (a health check), or a client whose address it cannot tell. The
    /// connection's own addresses hold.
    Local,
    /// A client, over TCP.
    Addresses {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

/// Why a header is refused; the connection is closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProxyProtocolError {
    /// The connection does not begin with a header.
    #[error("the connection does not begin with a PROXY protocol header")]
    Missing,
    /// A malformed line of version 1.
    #[error("the PROXY protocol line is malformed")]
    Line,
    /// An unknown version, command, family or transport in version 2.
    #[error("the PROXY protocol header has an unknown version, command, family or transport")]
    Unknown,
    /// The addresses of version 2 do not fit into the length that is given.
    #[error("the PROXY protocol header is too short for its addresses")]
    TooShort,
    /// The header is larger than the limit.
    #[error("the PROXY protocol header is too long")]
    TooLong,
}

/// Reads a header from the front of a connection: how many bytes it took and what it says. `None` says that
/// more bytes are needed.
///
/// # Errors
/// When the bytes are no header; as early as that is sure.
pub fn parse(input: &[u8]) -> Result<Option<(usize, Proxied)>, ProxyProtocolError> {
    let begins = |start: &[u8]| input.iter().zip(start).all(|(byte, wanted)| byte == wanted);
    match input {
        _ if begins(SIGNATURE) => parse_binary(input),
        _ if begins(PREFIX) => parse_line(input),
        _ => Err(ProxyProtocolError::Missing),
    }
}

fn parse_line(input: &[u8]) -> Result<Option<(usize, Proxied)>, ProxyProtocolError> {
    let window = &input[..input.len().min(MAX_LINE_BYTES)];
    let Some(end) = memchr::memchr2(b'\r', b'\n', window) else {
        return if input.len() >= MAX_LINE_BYTES { Err(ProxyProtocolError::TooLong) } else { Ok(None) };
    };
    match &window[end..] {
        [b'\r'] if input.len() >= MAX_LINE_BYTES => return Err(ProxyProtocolError::TooLong),
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => {}
        _ => return Err(ProxyProtocolError::Line),
    }
    let line = std::str::from_utf8(&window[PREFIX.len()..end]).map_err(|_| ProxyProtocolError::Line)?;
    let proxied = read_line(line).ok_or(ProxyProtocolError::Line)?;
    Ok(Some((end + 2, proxied)))
}

fn read_line(line: &str) -> Option<Proxied> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Proxied::Local);
    }
    let mut address = || match (family, words.next()?) {
        ("TCP4", word) => Ipv4Addr::from_str(word).ok().map(IpAddr::V4),
        ("TCP6", word) => Ipv6Addr::from_str(word).ok().map(IpAddr::V6),
        _ => None,
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || read_port(words.next()?);
    let (source, destination) = (SocketAddr::new(source, port()?), SocketAddr::new(destination, port()?));
    words.next().is_none().then_some(Proxied::Addresses { source, destination })
}

/// A port without sign and leading zeros.
fn read_port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if is_plain { word.parse().ok() } else { None }
}

fn parse_binary(input: &[u8]) -> Result<Option<(usize, Proxied)>, ProxyProtocolError> {
    let Some((fixed, rest)) = input.split_first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [.., command, family, length_high, length_low] = *fixed;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if command >> 4 != 2 || command & 15 > 1 || family >> 4 > 3 || family & 15 > 2 {
        return Err(ProxyProtocolError::Unknown);
    }
    if length > MAX_BLOCK_BYTES {
        return Err(ProxyProtocolError::TooLong);
    }
    let needed = match (command & 15, family >> 4) {
        (1, 1) => 12,
        (1, 2) => 36,
        (1, 3) => 216,
        _ => 0,
    };
    if length < needed {
        return Err(ProxyProtocolError::TooShort);
    }
    let Some(block) = rest.get(..length) else { return Ok(None) };
    // Clients come over TCP, so only streams name one.
    let proxied = match (command & 15, family) {
        (1, 0x11) => addresses::<4>(block),
        (1, 0x21) => addresses::<16>(block),
        _ => Some(Proxied::Local),
    };
    proxied.map(|proxied| Some((FIXED_BYTES + length, proxied))).ok_or(ProxyProtocolError::TooShort)
}

/// Source and destination of `N` bytes each, then their ports; what follows is not looked at.
fn addresses<const N: usize>(block: &[u8]) -> Option<Proxied>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some(Proxied::Addresses {
        source: SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes(*destination_port)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(source: &str, destination: &str) -> Proxied {
        Proxied::Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = (block.len() as u16).to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    const TCP4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb];

    #[test]
    fn lines_of_version_1_name_the_client() {
        let rows = [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
                addresses("192.0.2.1:56324", "198.51.100.2:443"),
            ),
            (
                "PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
                addresses("0.0.0.0:0", "255.255.255.255:65535"),
            ),
            ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", addresses("[2001:db8::1]:1", "[::1]:2")),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", addresses("[::ffff:192.0.2.1]:1", "[::1]:2")),
            ("PROXY UNKNOWN\r\n", Proxied::Local),
            ("PROXY UNKNOWN anything else\r\n", Proxied::Local),
        ];
        for (line, expected) in rows {
            assert_eq!(parse(line.as_bytes()), Ok(Some((line.len(), expected))), "{line}");
            let more = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(parse(more.as_bytes()), Ok(Some((line.len(), expected))), "{line}");
            for end in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..end]), Ok(None), "{}", &line[..end]);
            }
        }
    }

    #[test]
    fn malformed_lines_of_version_1_are_refused() {
        let rows = [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1\t198.51.100.2 1 2\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
            "PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP6 [::1] ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 x\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rX",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWN \u{e9}\r\r",
        ];
        for line in rows {
            assert_eq!(parse(line.as_bytes()), Err(ProxyProtocolError::Line), "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(93));
        assert_eq!(parse(long.as_bytes()), Err(ProxyProtocolError::TooLong));
        assert_eq!(parse(&long.as_bytes()[..106]), Ok(None));
    }

    #[test]
    fn a_connection_without_header_is_refused_at_its_first_wrong_byte() {
        for text in ["G", "GET / HTTP/1.1\r\n", "PROXX", "proxy ", "\r\n\r\n\0\r\nQUIX", "\u{16}\u{3}\u{1}"] {
            assert_eq!(parse(text.as_bytes()), Err(ProxyProtocolError::Missing), "{text:?}");
        }
    }

    #[test]
    fn headers_of_version_2_name_the_client() {
        let mut tcp6 = [0; 36];
        (tcp6[15], tcp6[31], tcp6[33], tcp6[35]) = (1, 2, 80, 90);
        let client = addresses("192.0.2.1:4660", "198.51.100.2:443");
        let rows = [
            (binary(0x21, 0x11, TCP4), client),
            (binary(0x21, 0x11, &[TCP4, &[3, 0, 4, 1, 2, 3, 4]].concat()), client),
            (binary(0x21, 0x21, &tcp6), addresses("[::1]:80", "[::2]:90")),
            (binary(0x20, 0x00, &[]), Proxied::Local),
            (binary(0x20, 0x11, TCP4), Proxied::Local),
            (binary(0x20, 0x11, &[1]), Proxied::Local),
            (binary(0x21, 0x00, &[1, 2, 3]), Proxied::Local),
            (binary(0x21, 0x12, TCP4), Proxied::Local),
            (binary(0x21, 0x31, &[0; 216]), Proxied::Local),
        ];
        for (header, expected) in rows {
            assert_eq!(parse(&header), Ok(Some((header.len(), expected))), "{}", header.escape_ascii());
            let more = [&header[..], b"GET"].concat();
            assert_eq!(parse(&more), Ok(Some((header.len(), expected))));
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end]), Ok(None), "{}", header[..end].escape_ascii());
            }
        }
    }

    #[test]
    fn malformed_headers_of_version_2_are_refused() {
        let rows = [
            (binary(0x11, 0x11, TCP4), ProxyProtocolError::Unknown),
            (binary(0x31, 0x11, TCP4), ProxyProtocolError::Unknown),
            (binary(0x22, 0x11, TCP4), ProxyProtocolError::Unknown),
            (binary(0x21, 0x41, TCP4), ProxyProtocolError::Unknown),
            (binary(0x21, 0x13, TCP4), ProxyProtocolError::Unknown),
            (binary(0x21, 0x11, &TCP4[..11]), ProxyProtocolError::TooShort),
            (binary(0x21, 0x11, &[]), ProxyProtocolError::TooShort),
            (binary(0x21, 0x21, &[0; 35]), ProxyProtocolError::TooShort),
            (binary(0x21, 0x31, &[0; 215]), ProxyProtocolError::TooShort),
            (binary(0x21, 0x11, &[0; 4097]), ProxyProtocolError::TooLong),
        ];
        for (header, error) in rows {
            assert_eq!(parse(&header), Err(error), "{}", header.escape_ascii());
        }
    }
}
