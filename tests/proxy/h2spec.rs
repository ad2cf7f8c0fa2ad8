//! HTTP/2 towards clients against h2spec, the conformance suite, in strict mode.

use std::{net::SocketAddr, process::Command};

use selvedge_tests::{origin::Origin, proxy::Proxy};

/// Runs h2spec against an address; every one of its cases must pass.
fn run(address: SocketAddr, more: &[&str]) {
    let Ok(binary) = std::env::var("SELVEDGE_H2SPEC") else {
        eprintln!("SELVEDGE_H2SPEC does not name a binary: h2spec not run");
        return;
    };
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let output = Command::new(binary)
        .args(["--strict", "--timeout", "5", "--host", &host, "--port", &port])
        .args(more)
        .output()
        .expect("h2spec runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let sum = text.lines().rev().find(|line| line.contains("tests,")).unwrap_or_default();
    eprintln!("h2spec {more:?}: {sum}");
    assert!(output.status.success() && passed_all(sum), "{text}");
}

/// Whether the line in which h2spec sums up says that there were tests and that all passed.
fn passed_all(sum: &str) -> bool {
    let count = |word: &str| -> Option<u32> {
        sum.split(',').find(|part| part.contains(word))?.split_whitespace().next()?.parse().ok()
    };
    let (tests, passed) = (count("tests"), count("passed"));
    tests.is_some_and(|tests| tests > 100) && tests == passed
}

#[test]
fn h2spec_passes_in_plain_text() {
    let origin = Origin::named("hello");
    let proxy = Proxy::to(&[origin.address]);
    run(proxy.http(), &[]);
}

#[test]
fn h2spec_passes_under_tls() {
    let origin = Origin::named("hello");
    let proxy = Proxy::to(&[origin.address]);
    run(proxy.https(), &["-t", "-k"]);
}

#[test]
fn what_h2spec_says_is_understood() {
    assert!(passed_all("147 tests, 147 passed, 0 skipped, 0 failed"));
    assert!(!passed_all("147 tests, 146 passed, 1 skipped, 0 failed"));
    assert!(!passed_all("0 tests, 0 passed, 0 skipped, 0 failed"));
    assert!(!passed_all(""));
}
