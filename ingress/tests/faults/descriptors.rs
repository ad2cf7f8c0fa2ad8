//! No descriptors left (EMFILE).

use std::{net::TcpStream, process::Stdio, time::Duration};

use selvedge_tests::{
    client::Client,
    pod::{Manners, Pod},
    process::EdgeProcess,
    waiting::until,
};

use crate::{HOST, program, write_shop};

/// Descriptors that the process has; about 20 are its own.
const FEW: &str = "ulimit -n 64";
/// The same as a number; what the process inherited may come on top.
const LIMIT: usize = 64;
/// Looks at full descriptors until they count as settled; longer than the pause after a failed accept.
const LOOKS: usize = 100;
/// More connections than that.
const MANY: usize = 100;

fn edge_with_few(folder: &tempfile::TempDir, pod: &Pod) -> EdgeProcess {
    write_shop(folder.path(), &[pod.address]);
    let manifests = folder.path().to_str().unwrap();
    // No limit of its own keeps it from running out.
    let flags = [
        "--manifests",
        manifests,
        "--max-connections-total",
        "1000",
        "--head-timeout",
        "3s",
        "--workers",
        "1",
    ];
    let mut command =
        EdgeProcess::command_after(FEW, program(), &[&flags[..], &["--access-log", "off"]].concat());
    command.stdout(Stdio::null());
    let edge = EdgeProcess::spawn(command);
    edge.until_ready();
    edge
}

fn ran_out(edge: &EdgeProcess) -> bool {
    let is_it = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|message| message.starts_with("cannot accept connections"))
    };
    edge.log().iter().any(is_it)
}

#[test]
fn idle_connections_give_way_when_descriptors_run_out() {
    let pod = Pod::start("pod", Manners::Good);
    let folder = tempfile::tempdir().unwrap();
    let edge = edge_with_few(&folder, &pod);
    let _idle: Vec<_> = (0..MANY).map(|_| TcpStream::connect(edge.http()).unwrap()).collect();
    assert_eq!(edge.status(HOST, "/"), 200, "the last one in the queue is served");
    assert!(ran_out(&edge));
}

/// Connections that have sent half of a head, so that none of them is idle.
fn busy(edge: &EdgeProcess) -> Vec<Client> {
    let half = |_| {
        let mut client = Client::connect(edge.http());
        client.send("GET / HTTP/1.1\r\nHost: ");
        client
    };
    (0..MANY).map(half).collect()
}

#[test]
fn a_request_that_no_descriptor_is_left_for_is_503_and_blames_no_endpoint() {
    let pod = Pod::start("pod", Manners::Good);
    let folder = tempfile::tempdir().unwrap();
    let edge = edge_with_few(&folder, &pod);
    let mut busy = busy(&edge);
    // Some may have been closed as idle before their first byte was seen; then others took their place.
    let mut full = 0;
    until(|| {
        full = if edge.descriptors() >= LIMIT { full + 1 } else { 0 };
        (full == LOOKS).then_some(())
    });
    let client = &mut busy[0];
    client.send(format!("{HOST}\r\n\r\n"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (503, Some("shortage")), "{answer:?}");
    busy.truncate(1);
    until(|| (busy[0].get(HOST, "/").status == 200).then_some(()));
}

#[test]
fn it_neither_spins_nor_stays_deaf_when_descriptors_run_out() {
    let pod = Pod::start("pod", Manners::Good);
    let folder = tempfile::tempdir().unwrap();
    let edge = edge_with_few(&folder, &pod);
    let busy = busy(&edge);
    until(|| ran_out(&edge).then_some(()));
    let (before, tries) = (edge.processor_time(), edge.log().len());
    // Their heads are too slow; before that, dozens of times nothing can be accepted.
    let mut first = busy.into_iter();
    let mut slowest = first.next().unwrap();
    assert_eq!(slowest.answer().status, 408);
    let used = edge.processor_time() - before;
    assert!(used < Duration::from_secs(2), "{used:?} of about three seconds");
    let lines = edge.log().len() - tries;
    assert!(lines < 20, "the log tells of it, but not each time: {lines} lines");
    drop(first);
    assert_eq!(edge.status(HOST, "/"), 200);
}
