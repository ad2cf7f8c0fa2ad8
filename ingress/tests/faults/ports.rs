//! Ports that another process has.

use std::process::Output;

use selvedge_tests::{
    pod::{Manners, Pod},
    process::EdgeProcess,
};

use crate::{HOST, edge_to, program};

#[test]
fn a_second_process_on_the_same_port_ends_with_one_clear_line() {
    let (folder, edge) = edge_to(&[], &[]);
    let address = edge.http().to_string();
    let flags = ["--manifests", folder.path().to_str().unwrap(), "--http", &address];
    let Output { status, stderr, .. } = EdgeProcess::command(program(), &flags).output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(&address) && text.contains("(http)"), "{text}");
    assert_eq!(edge.status("nobody.test", "/"), 404, "the first one goes on");
}

#[test]
fn processes_that_say_so_share_a_port() {
    let pod = Pod::start("pod", Manners::Good);
    let (folder, mut first) = edge_to(&[pod.address], &["--share-ports"]);
    let address = first.http().to_string();
    let flags = ["--manifests", folder.path().to_str().unwrap(), "--http", &address, "--share-ports"];
    let second = EdgeProcess::start(program(), &flags);
    second.until_ready();
    assert_eq!(second.http(), first.http());
    // The first one leaves, and the second serves alone.
    first.kill();
    assert_eq!(second.status(HOST, "/"), 200);
}
