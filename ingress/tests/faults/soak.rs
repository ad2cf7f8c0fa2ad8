//! Soak: very many requests and changes leave nothing behind in memory.

use std::time::Duration;

use selvedge_tests::{
    load::Load,
    manifests::{service, slices, write},
    pod::{Manners, Pod},
    size::{figure, size},
    waiting::until_within,
};

use crate::{HOST, changes::change, edge_to};

const CLIENTS: usize = 16;
const ROUNDS: usize = 10;
/// Rounds after which memory must have come to rest.
const SETTLING: usize = 5;
/// What may come and go: buffers, and pages that the allocator has not given back.
const LEEWAY: u64 = 8 << 20;
/// No round takes longer.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A number from the environment, or the usual one.
fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().expect("it is a number"))
}

#[test]
fn memory_comes_to_rest_under_requests_and_changes() {
    let requests = number("SELVEDGE_SOAK_REQUESTS", size(40_000, 10_000_000));
    let changes = number("SELVEDGE_SOAK_CHANGES", size(200, 10_000));
    let pods: Vec<_> = (0..3).map(|_| Pod::start("pod", Manners::Good)).collect();
    let other = Pod::start("other", Manners::Good);
    let addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
    let (folder, edge) = edge_to(&addresses, &[]);
    let folder = folder.path();
    write(folder, "other.yaml", &(service("other") + &slices("other", &[other.address], &[]))).unwrap();
    let load = Load::paced(edge.http(), HOST, CLIENTS);
    let mut memory = Vec::new();
    for round in 0..ROUNDS {
        load.allow(requests / ROUNDS);
        for number in 0..changes / ROUNDS {
            change(folder, &edge, round * (changes / ROUNDS) + number);
        }
        until_within(PATIENCE, || (load.requests() >= requests / ROUNDS * (round + 1)).then_some(()));
        memory.push(edge.memory_bytes());
    }
    let result = load.stop();
    let told: Vec<_> = memory.iter().map(|bytes| format!("{:.1}", *bytes as f64 / 1e6)).collect();
    figure(&format!(
        "soak: {} requests, failed {}, {changes} changes; memory in MB after each tenth: {}",
        result.requests,
        result.failed,
        told.join(" ")
    ));
    assert_eq!(result.failed, 0, "{result:?}");
    let (settled, last) = (memory[SETTLING - 1], memory[ROUNDS - 1]);
    assert!(last <= settled + LEEWAY, "{memory:?}");
}
