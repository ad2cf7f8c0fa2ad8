//! Backends that die, that never answer, and that close connections without a word.

use std::{net::TcpListener, path::Path};

use selvedge_tests::{
    client::Client,
    load::Load,
    pod::{Manners, Pod},
    process::EdgeProcess,
};

use crate::{HOST, edge_to, program, write_shop};

const CLIENTS: usize = 16;

/// A process that serves the shop and can be killed as one: an edge that leads to a pod.
fn mortal(folder: &Path, pod: &Pod) -> EdgeProcess {
    write_shop(folder, &[pod.address]);
    let process = EdgeProcess::start(program(), &["--workers", "1", "--manifests", folder.to_str().unwrap()]);
    process.until_ready();
    process
}

#[test]
fn a_killed_backend_costs_at_most_the_requests_it_had() {
    let pod = Pod::start("pod", Manners::Good);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut backends: Vec<_> = folders.iter().map(|folder| mortal(folder.path(), &pod)).collect();
    let addresses: Vec<_> = backends.iter().map(EdgeProcess::http).collect();
    let (_folder, edge) = edge_to(&addresses, &[]);
    let load = Load::start(edge.http(), HOST, CLIENTS);
    load.until_requests(500);
    backends[0].kill();
    // Its endpoint is still announced: nobody has told the edge.
    load.until_requests(load.requests() + 2_000);
    let result = load.stop();
    assert!(result.failed <= CLIENTS, "{result:?}");
    assert!(edge.metric("selvedge_upstream_failures_total") > 0.0, "the loss was noticed");
}

#[test]
fn backends_that_close_idle_connections_without_a_word_cost_no_request() {
    let pods: Vec<_> = (0..3).map(|_| Pod::start("pod", Manners::Rude)).collect();
    let addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
    let (_folder, edge) = edge_to(&addresses, &[]);
    let load = Load::start(edge.http(), HOST, CLIENTS);
    load.until_requests(5_000);
    let result = load.stop();
    assert_eq!(result.failed, 0, "{result:?}");
    assert_eq!(result.connections, CLIENTS, "clients notice nothing");
}

#[test]
fn a_backend_that_never_answers_is_504_and_others_go_on() {
    // Connections are taken by the system, and nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_folder, edge) = edge_to(&[silent.local_addr().unwrap()], &["--request-timeout", "200ms"]);
    let mut client = Client::connect(edge.http());
    let answer = client.get(HOST, "/");
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (504, Some("timeout")), "{answer:?}");
    // The client's connection is as good as before.
    assert_eq!(client.get("nobody.test", "/").status, 404);
}
