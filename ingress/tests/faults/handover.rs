//! One process takes over from another on the same ports, again and again, under load.

use selvedge_tests::{
    load::Load,
    pod::{Manners, Pod},
    process::EdgeProcess,
    size::{figure, size},
};

use crate::{HOST, edge_to, program};

const CLIENTS: usize = 8;
/// Requests on either kind of connection between two handovers, at least.
const BETWEEN: usize = 200;

/// Asks on kept connections and on fresh ones while processes follow each other.
fn nothing_is_lost(workers: &str) {
    let rounds = size(3, 20);
    let pod = Pod::start("pod", Manners::Good);
    let flags = ["--share-ports", "--workers", workers];
    let (folder, mut edge) = edge_to(&[pod.address], &flags);
    let address = edge.http();
    let kept = Load::start(address, HOST, CLIENTS);
    let fresh = Load::fresh(address, HOST, CLIENTS);
    for _ in 0..rounds {
        for load in [&kept, &fresh] {
            load.until_requests(load.requests() + BETWEEN);
        }
        let (http, manifests) = (address.to_string(), folder.path().to_str().unwrap());
        let more = ["--http", &http, "--manifests", manifests];
        let next = EdgeProcess::start(program(), &[&flags[..], &more].concat());
        next.until_ready();
        edge.terminate();
        assert!(edge.ended().success());
        edge = next;
    }
    let (kept, fresh) = (kept.stop(), fresh.stop());
    figure(&format!(
        "{rounds} handovers with {workers} workers: {} requests on {} kept connections, failed {}; {} connections for \
         one request each, failed {}",
        kept.requests, kept.connections, kept.failed, fresh.requests, fresh.failed
    ));
    assert_eq!((kept.failed, fresh.failed), (0, 0), "{kept:?} {fresh:?}");
}

#[test]
fn processes_that_follow_each_other_lose_no_request() {
    nothing_is_lost("1");
}

#[test]
fn processes_with_several_workers_lose_none_either() {
    nothing_is_lost("4");
}
