//! SIGTERM under load.

use selvedge_tests::{
    load::Load,
    pod::{Manners, Pod},
    waiting::until,
};

use crate::{HOST, edge_to};

#[test]
fn stopping_under_load_fails_no_request() {
    let pod = Pod::start("pod", Manners::Good);
    let (_folder, mut edge) = edge_to(&[pod.address], &["--lameduck", "1s"]);
    let load = Load::start(edge.http(), HOST, 16);
    load.until_requests(500);
    edge.terminate();
    until(|| (!edge.is_ready()).then_some(()));
    // Balancers need a moment to notice; whoever connects meanwhile is served.
    assert_eq!(edge.status(HOST, "/"), 200);
    load.keep_connections();
    // Each client has ended because it was told to, or was closed between two requests.
    let result = load.ended();
    assert_eq!(result.failed, 0, "{result:?}");
    assert!(result.requests > 500);
    assert!(edge.ended().success());
    let stopped = until(|| edge.log().last().filter(|line| line["message"] == "stopped").cloned());
    assert_eq!(stopped["level"], "INFO");
}
