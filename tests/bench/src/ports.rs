//! Ports for proxies: free, and none that the system gives to clients, which could take it before the proxy does.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher,
    io,
    net::{Ipv4Addr, TcpListener},
};

/// Ports below this one are left to well-known services.
const FIRST: u16 = 10_000;
/// Where the ports of clients begin as a rule.
const CLIENTS: u16 = 32_768;
/// Tries until there is a free one.
const TRIES: u64 = 1000;

/// So many ports on 127.0.0.1. They are random, so that several benchmarks do not meet.
///
/// # Errors
/// If there are not as many free ones.
pub fn free<const COUNT: usize>() -> io::Result<[u16; COUNT]> {
    let end =
        first_of_clients(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default());
    let random = RandomState::new();
    let tries = (0..TRIES).map(|number| FIRST + (random.hash_one(number) % u64::from(end - FIRST)) as u16);
    // Held until all are there, so that they differ.
    let bound = tries.filter_map(|port| Some((TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?, port)));
    let held: Vec<(TcpListener, u16)> = bound.take(COUNT).collect();
    let ports: Vec<u16> = held.iter().map(|(_, port)| *port).collect();
    ports.try_into().map_err(|_| io::Error::other("no free port outside of the range of clients"))
}

/// The first port that clients get. Where that leaves nothing below it is taken as usual.
fn first_of_clients(range: &str) -> u16 {
    let first = range.split_whitespace().next().and_then(|first| first.parse().ok());
    first.filter(|first| *first > FIRST + 1000).unwrap_or(CLIENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_never_a_clients() {
        let mut ports = free::<8>().unwrap().to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        assert!(ports.iter().all(|port| (FIRST..first_of_clients(&text)).contains(port)), "{ports:?}");
    }

    #[test]
    fn a_range_that_leaves_no_room_is_taken_as_usual() {
        assert_eq!(first_of_clients("40000\t50000\n"), 40_000);
        assert_eq!(first_of_clients("1024\t65535\n"), CLIENTS);
        assert_eq!(first_of_clients(""), CLIENTS);
    }
}
