//! Crowds of slow and idle clients: others are served, memory stays in bounds, and all are gone when their time is up.

use std::time::{Duration, Instant};

use selvedge_tests::{
    crowd::{Crowd, Hoard, Vice},
    load::Load,
    manifests::{ingress, service, slices, write},
    pod::{Manners, Pod},
    process::EdgeProcess,
    size::{figure, size},
    waiting::until_within,
};

use crate::{HOST, edge_to};

/// Where the crowd goes.
const SLOW: &str = "slow.test";
/// Clients that behave.
const GOOD: usize = 4;
/// More than the proxy keeps on its way for a client that reads.
const MUCH: usize = 224 << 10;
/// What the memory of a crowd of 10,000 clients may be; for few clients it is the buffers that are lent freely.
const MEMORY: u64 = 150_000_000;
const MEMORY_OF_FEW: u64 = 32_000_000;
/// The longest time of all limits in their usual size, with a good deal for a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Usual limits in the full size, but for clients that take their time to shake hands; short ones otherwise.
fn flags(vice: Vice) -> Vec<&'static str> {
    let mut flags = vec!["--max-connections", "30000", "--max-connections-total", "19000", "--workers", "2"];
    if size(true, false) {
        let limits = ["--head-timeout", "--handshake-timeout", "--keep-alive-timeout", "--body-idle-timeout"];
        flags.extend(limits.iter().chain(&["--write-stall-timeout"]).flat_map(|limit| [*limit, "2s"]));
    }
    if size(false, vice == Vice::AfterHandshake) {
        flags.extend(["--keep-alive-timeout", "4m"]);
    }
    flags
}

/// Connections of clients that are open.
fn open(edge: &EdgeProcess) -> usize {
    edge.metric("selvedge_connections_open") as usize
}

/// Waits until the edge knows where the crowd goes.
fn until_endpoints(edge: &EdgeProcess) {
    until_within(PATIENCE, || {
        let page: serde_json::Value = serde_json::from_str(&edge.admin_page("/snapshot")).ok()?;
        page["endpoints"]["default/slow:80"].as_array().filter(|list| !list.is_empty()).map(|_| ())
    });
}

fn comes_and_goes(vice: Vice, count: usize) {
    let pod = Pod::start("pod", Manners::Good);
    let hoard = Hoard::start((vice == Vice::SlowReader).then_some(MUCH));
    let (folder, edge) = edge_to(&[pod.address], &flags(vice));
    let slow = ingress("slow", SLOW, "/", "slow") + &service("slow") + &slices("slow", &[hoard.address], &[]);
    write(folder.path(), "slow.yaml", &slow).unwrap();
    until_endpoints(&edge);
    let load = Load::start(edge.http(), HOST, GOOD);
    load.until_requests(2_000);
    let (before, start) = (edge.memory_bytes(), Instant::now());
    let tls = matches!(vice, Vice::BeforeHandshake | Vice::AfterHandshake);
    let crowd = Crowd::gather(vice, if tls { edge.https() } else { edge.http() }, SLOW, count);
    let (mut most, mut memory, mut fresh, mut refused) = (0, 0, 0, Vec::new());
    until_within(PATIENCE, || {
        crowd.nag();
        // Clients that connect anew are served as well.
        fresh += 1;
        refused.extend(Some(edge.status(HOST, "/")).filter(|status| *status != 200));
        let open = open(&edge);
        (most, memory) = (most.max(open), memory.max(edge.memory_bytes()));
        (most > GOOD && open <= GOOD).then_some(())
    });
    let gone = start.elapsed();
    let result = load.stop();
    let grown = memory.saturating_sub(before);
    figure(&format!(
        "{vice:?}: {count} clients, at most {most} connections, good requests {} of which failed {}, new connections \
         {fresh} of which failed {}, memory +{:.1} MB, all gone after {gone:.1?}",
        result.requests,
        result.failed,
        refused.len(),
        grown as f64 / 1e6,
    ));
    assert_eq!((result.failed, &refused[..]), (0, &[][..]), "{result:?}; 0 is no answer");
    assert!(grown <= size(MEMORY_OF_FEW, MEMORY), "{grown} bytes for {count} clients");
    drop((crowd, hoard));
}

#[test]
fn heads_that_come_slowly() {
    comes_and_goes(Vice::SlowHead, size(300, 10_000));
}

#[test]
fn bodies_that_come_slowly() {
    // Each has a connection on either side of the proxy and of the test.
    comes_and_goes(Vice::SlowBody, size(300, 9_900));
}

#[test]
fn answers_that_nobody_reads() {
    comes_and_goes(Vice::SlowReader, size(300, 9_900));
}

#[test]
fn connections_that_never_shake_hands() {
    comes_and_goes(Vice::BeforeHandshake, size(300, 10_000));
}

#[test]
fn connections_that_shake_hands_and_say_nothing() {
    comes_and_goes(Vice::AfterHandshake, size(300, 10_000));
}
