//! Ports for servers that must be found again at the same address after a restart.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher,
    io,
    net::TcpListener,
    sync::atomic::{AtomicU64, Ordering},
};

/// The range that Linux takes the ports of clients from, where it does not say.
const EPHEMERAL: (u16, u16) = (32_768, 60_999);
/// Ports below this one are left to well-known services.
const FIRST: u16 = 10_000;

static CALLS: AtomicU64 = AtomicU64::new(0);

/// A port on 127.0.0.1 that is free now and stays so: it is outside of the range from which the system gives ports
/// to clients, so that none of them takes it while its server restarts. Random, so that tests do not meet.
///
/// # Errors
/// If no free port is found.
pub fn lasting_port() -> io::Result<u16> {
    let (low, high) = ephemeral_range();
    let below = FIRST..low.max(FIRST);
    let above = high.saturating_add(1)..u16::MAX;
    let count = (below.len() + above.len()).max(1);
    for _ in 0..1_000 {
        let random = RandomState::new().hash_one(CALLS.fetch_add(1, Ordering::Relaxed)) as usize % count;
        let port = below.clone().chain(above.clone()).nth(random).unwrap_or(FIRST);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no free port outside of the range of clients"))
}

fn ephemeral_range() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) => (low, high),
        _ => EPHEMERAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_port_is_free_and_never_a_clients() {
        let (low, high) = ephemeral_range();
        for _ in 0..20 {
            let port = lasting_port().unwrap();
            assert!(port < low || port > high, "{port}");
            assert!(port >= FIRST, "{port}");
        }
    }
}
