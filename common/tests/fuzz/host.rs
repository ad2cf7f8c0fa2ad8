//! Hosts and ports against regular expressions.

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use regex::Regex;
use selvedge_common::message::authority::parse;

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let label = "[A-Za-z0-9_-]{1,63}";
    Regex::new(&format!(r"\A({label}(?:\.{label})*)\.?(?::([0-9]{{1,5}}))?\z")).expect("it is well-formed")
});
static IPV6: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A\[([^\]]*)\](?::([0-9]{1,5}))?\z").expect("it is well-formed"));

/// Compares what is read with the model.
pub fn check(input: &[u8]) {
    let read = parse(input).ok().map(|authority| (authority.host.into_owned(), authority.port));
    assert_eq!(read, model(input), "{}", input.escape_ascii());
    if let Some((host, _)) = read.filter(|(host, _)| !host.contains(&b':')) {
        assert_eq!(parse(&host).map(|again| again.host.into_owned()), Ok(host.clone()));
    }
}

fn model(input: &[u8]) -> Option<(Vec<u8>, Option<u16>)> {
    let text = std::str::from_utf8(input).ok()?;
    let found = NAME.captures(text).or_else(|| IPV6.captures(text))?;
    let host = &found[1];
    if text.starts_with('[') {
        host.parse::<Ipv6Addr>().ok()?;
    } else if host.len() > 253 {
        return None;
    }
    let port = match found.get(2) {
        Some(port) => Some(port.as_str().parse::<u16>().ok().filter(|port| *port > 0)?),
        None => None,
    };
    Some((host.to_lowercase().into_bytes(), port))
}
