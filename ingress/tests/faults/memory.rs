//! A limit of memory (`ulimit -v`): the program needs little, and serves within it.

use std::process::Stdio;

use selvedge_tests::{
    crowd::{Crowd, Vice},
    load::Load,
    pod::{Manners, Pod},
    process::EdgeProcess,
    size::{figure, is_full, size},
};

use crate::{HOST, program, write_shop};

/// In KiB of address space. Of that the program itself, its threads and its libraries take the larger part.
const LIMIT: &str = "ulimit -v 262144";
/// More than there is room for in the full size.
const SLOW_CLIENTS: (usize, usize) = (300, 10_000);

#[test]
fn requests_and_slow_clients_are_served_within_a_limit_of_memory() {
    let pod = Pod::start("pod", Manners::Good);
    let folder = tempfile::tempdir().unwrap();
    write_shop(folder.path(), &[pod.address]);
    let flags = ["--manifests", folder.path().to_str().unwrap(), "--workers", "2", "--access-log", "off"];
    let mut command = EdgeProcess::command_after(LIMIT, program(), &flags);
    command.stdout(Stdio::null());
    let edge = EdgeProcess::spawn(command);
    edge.until_ready();
    let count = size(SLOW_CLIENTS.0, SLOW_CLIENTS.1);
    // Before the crowd, as those who come late may find no room.
    let load = Load::start(edge.http(), HOST, 4);
    load.until_requests(1_000);
    let crowd = Crowd::gather(Vice::SlowHead, edge.http(), HOST, count);
    load.until_requests(load.requests() + 1_000);
    crowd.nag();
    let open = edge.metric("selvedge_connections_open");
    let result = load.stop();
    figure(&format!(
        "{LIMIT}: {count} slow clients, {open} connections open, good requests {} of which failed {}, {:.1} MB resident",
        result.requests,
        result.failed,
        edge.memory_bytes() as f64 / 1e6
    ));
    // Where there is room for all, nobody is refused.
    assert!(is_full() || result.failed == 0, "{result:?}");
    drop(crowd);
    edge.until_status(HOST, "/", 200);
}
