//! Addresses as text, as header fields have them.

use std::{
    fmt,
    io::{Cursor, Write},
    net::{IpAddr, Ipv4Addr},
};

/// Longest text of an address.
const LONGEST: usize = 45;

/// An address as text; one of IPv4 that was mapped to IPv6 is one of IPv4 again. Kept with a connection, as each of its
/// requests says it more than once.
#[derive(Clone, Copy)]
pub struct IpText {
    bytes: [u8; LONGEST],
    length: u8,
}

impl IpText {
    /// The text of an address.
    pub fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_ipv4(address),
            IpAddr::V6(address) => {
                let mut text = Cursor::new([0; LONGEST]);
                write!(text, "{address}").expect("no address is longer");
                Self { length: text.position() as u8, bytes: text.into_inner() }
            }
        }
    }

    /// Each connection needs it, and the formatter of the standard library takes long for it.
    fn of_ipv4(address: Ipv4Addr) -> Self {
        let mut text = Self { bytes: [0; LONGEST], length: 0 };
        for (index, octet) in address.octets().into_iter().enumerate() {
            if index > 0 {
                text.push(b".");
            }
            text.push(itoa::Buffer::new().format(octet).as_bytes());
        }
        text
    }

    fn push(&mut self, part: &[u8]) {
        let start = usize::from(self.length);
        self.bytes[start..start + part.len()].copy_from_slice(part);
        self.length += part.len() as u8;
    }

    /// The bytes of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for IpText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_usual() {
        let rows = [
            ("192.0.2.1", "192.0.2.1"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444:5555:6666:7777:8888"),
        ];
        for (address, wanted) in rows {
            assert_eq!(IpText::new(address.parse().unwrap()).as_bytes(), wanted.as_bytes());
        }
    }
}
