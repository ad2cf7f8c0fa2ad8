//! PROXY protocol headers against a model that splits words and slices.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use selvedge_common::http1::proxy_protocol::{Proxied, parse};

/// Compares what is read with the model.
pub fn check(input: &[u8]) {
    let read = parse(input);
    assert_eq!(read.ok().flatten(), model(input), "{}", input.escape_ascii());
    if let Ok(Some((length, _))) = read {
        assert!(length <= input.len());
        for end in 0..length {
            assert_eq!(parse(&input[..end]), Ok(None), "{}", input[..end].escape_ascii());
        }
    }
}

fn model(input: &[u8]) -> Option<(usize, Proxied)> {
    if let Some(block) = input.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n") {
        return binary(block).map(|(length, proxied)| (length + 12, proxied));
    }
    let end = input.windows(2).take(106).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&input[..end]).ok().filter(|line| !line.contains(['\r', '\n']))?;
    let words: Vec<_> = line.strip_prefix("PROXY ")?.split(' ').collect();
    let proxied = match words[..] {
        ["UNKNOWN", ..] => Proxied::Local,
        ["TCP4", source, destination, from, to] => {
            let ip = |text: &str| text.parse::<Ipv4Addr>().ok();
            addresses(ip(source)?.into(), ip(destination)?.into(), port(from)?, port(to)?)
        }
        ["TCP6", source, destination, from, to] => {
            let ip = |text: &str| text.parse::<Ipv6Addr>().ok();
            addresses(ip(source)?.into(), ip(destination)?.into(), port(from)?, port(to)?)
        }
        _ => return None,
    };
    Some((end + 2, proxied))
}

fn port(text: &str) -> Option<u16> {
    text.parse::<u16>().ok().filter(|port| port.to_string() == text)
}

fn addresses(source: IpAddr, destination: IpAddr, from: u16, to: u16) -> Proxied {
    Proxied::Addresses {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    }
}

fn binary(block: &[u8]) -> Option<(usize, Proxied)> {
    let (command, family) = (*block.first()?, *block.get(1)?);
    let length = usize::from(*block.get(2)?) * 256 + usize::from(*block.get(3)?);
    let body = block.get(4..4 + length).filter(|_| length <= 4096)?;
    if !matches!(command, 0x20 | 0x21) || family / 16 > 3 || family % 16 > 2 {
        return None;
    }
    let needed = [0, 12, 36, 216][usize::from(family / 16)];
    if command == 0x21 && length < needed {
        return None;
    }
    let number = |at: usize| u16::from(body[at]) * 256 + u16::from(body[at + 1]);
    let four = |at: usize| IpAddr::from([body[at], body[at + 1], body[at + 2], body[at + 3]]);
    let sixteen = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&body[at..at + 16]).expect("16 bytes"));
    let proxied = match (command, family) {
        (0x21, 0x11) => addresses(four(0), four(4), number(8), number(10)),
        (0x21, 0x21) => addresses(sixteen(0), sixteen(16), number(32), number(34)),
        _ => Proxied::Local,
    };
    Some((4 + length, proxied))
}
