//! Standard output that nobody reads any more, or that is full.

use std::{fs::OpenOptions, process::Stdio};

use selvedge_tests::{
    pod::{Manners, Pod},
    process::EdgeProcess,
    waiting::until,
};

use crate::{HOST, program, write_shop};

fn serves_on(output: Stdio, close: bool) {
    let pod = Pod::start("pod", Manners::Good);
    let folder = tempfile::tempdir().unwrap();
    write_shop(folder.path(), &[pod.address]);
    let flags = ["--manifests", folder.path().to_str().unwrap(), "--access-log", "text"];
    let mut command = EdgeProcess::command(program(), &flags);
    command.stdout(output);
    let mut edge = EdgeProcess::spawn(command);
    edge.until_ready();
    if close {
        drop(edge.take_output().expect("it is piped"));
    }
    until(|| {
        assert_eq!(edge.status(HOST, "/"), 200);
        (edge.metric("selvedge_access_log_write_errors_total") > 0.0).then_some(())
    });
    assert_eq!(edge.status(HOST, "/"), 200);
    edge.terminate();
    assert!(edge.ended().success(), "lost lines do not keep it from stopping");
}

#[test]
fn nobody_reads_standard_output_and_requests_go_on() {
    serves_on(Stdio::piped(), true);
}

#[test]
fn standard_output_is_on_a_full_disk_and_requests_go_on() {
    serves_on(OpenOptions::new().write(true).open("/dev/full").unwrap().into(), false);
}

#[test]
fn nobody_reads_the_programs_own_log_and_requests_go_on() {
    let pod = Pod::start("pod", Manners::Good);
    let folder = tempfile::tempdir().unwrap();
    write_shop(folder.path(), &[pod.address]);
    let flags = ["--manifests", folder.path().to_str().unwrap()];
    let mut edge = EdgeProcess::start(program(), &flags);
    edge.until_ready();
    edge.close_log();
    // Each change is logged.
    write_shop(folder.path(), &[]);
    edge.until_status(HOST, "/", 503);
    std::fs::remove_file(folder.path().join("shop.yaml")).unwrap();
    edge.until_status(HOST, "/", 404);
    edge.terminate();
    assert!(edge.ended().success());
}
