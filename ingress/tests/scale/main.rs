//! Scale: ten thousand Ingresses from files and from API servers; a change of one touches its host alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod files;

use std::path::Path;

use selvedge_tests::process::EdgeProcess;

/// Ingresses, each with a host of its own.
const SHOPS: usize = 10_000;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_selvedge-ingress"))
}

fn hosts_translated(edge: &EdgeProcess) -> f64 {
    edge.metric("selvedge_hosts_translated_total")
}

/// Whether that many hosts have been translated, which are counted in whole numbers.
fn is_count(value: f64, wanted: usize) -> bool {
    (value - wanted as f64).abs() < 0.5
}
