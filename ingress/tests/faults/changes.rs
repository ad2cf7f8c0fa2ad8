//! Nothing lost: requests go on while backends are replaced and Ingresses change.

use std::{path::Path, time::Instant};

use selvedge_tests::{
    load::Load,
    manifests::{ingress, service, slices, write},
    pod::{Manners, Pod},
    process::EdgeProcess,
    size::{figure, is_full, size},
    waiting::until,
};

use crate::{HOST, edge_to, write_endpoints};

const CLIENTS: usize = 64;
const PODS: usize = 3;
/// Requests in a second in the full size.
const RATE: usize = 5_000;

/// How much is asked and changed.
struct Size {
    requests: usize,
    changes: usize,
    /// So many changes, then pods are replaced.
    changes_per_restart: usize,
    /// So many of them; in the full size all, one after the other.
    replaced: usize,
}

const USUAL: Size = Size { requests: 50_000, changes: 500, changes_per_restart: 20, replaced: 1 };
const FULL: Size = Size { requests: 500_000, changes: 1_000, changes_per_restart: 10, replaced: PODS };

/// What the edge has in effect as endpoints of the shop.
fn endpoints(edge: &EdgeProcess) -> Vec<(String, String)> {
    let page: serde_json::Value = serde_json::from_str(&edge.admin_page("/snapshot")).unwrap();
    let list = page["endpoints"]["default/shop:80"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    list.iter().map(|endpoint| (text(&endpoint["address"]), text(&endpoint["state"]))).collect()
}

/// Replaces the oldest pod as a rolling restart does: the new one is announced, the old one is terminating, then
/// gone, and stops after that.
fn replace_oldest(folder: &Path, edge: &EdgeProcess, pods: &mut Vec<Pod>, manners: Manners) {
    pods.push(Pod::start("pod", manners));
    let old = pods.remove(0);
    let ready: Vec<_> = pods.iter().map(|pod| pod.address).collect();
    write_endpoints(folder, &ready, &[old.address]);
    let new = ready.last().expect("one was just added").to_string();
    until(|| endpoints(edge).iter().any(|(address, _)| *address == new).then_some(()));
    write_endpoints(folder, &ready, &[]);
    let gone = old.address.to_string();
    until(|| endpoints(edge).iter().all(|(address, _)| *address != gone).then_some(()));
    old.stop();
}

/// Changes rules of other hosts and paths of the same host, and waits until the change is answered.
pub fn change(folder: &Path, edge: &EdgeProcess, number: usize) {
    let path = format!("/version-{number}");
    let neighbour = format!("neighbour-{}.test", number % 10);
    let rules = ingress("path", HOST, &path, "other") + &ingress("neighbour", &neighbour, &path, "other");
    write(folder, "changing.yaml", &rules).unwrap();
    edge.until_body(&neighbour, &path, "other");
    edge.until_body(HOST, &path, "other");
}

fn nothing_is_lost(manners: Manners) {
    let Size { requests, changes, changes_per_restart, replaced } = size(USUAL, FULL);
    let mut pods: Vec<_> = (0..PODS).map(|_| Pod::start("pod", manners)).collect();
    let other = Pod::start("other", manners);
    let addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
    let (folder, edge) = edge_to(&addresses, &[]);
    let folder = folder.path();
    write(folder, "other.yaml", &(service("other") + &slices("other", &[other.address], &[]))).unwrap();
    let (load, start) = (begin(&edge), Instant::now());
    for number in 0..changes {
        // Spread over all changes, so that each meets some of them on their way.
        load.until_requests(requests / changes * number);
        load.allow(requests / changes);
        change(folder, &edge, number);
        if number % changes_per_restart == 0 {
            (0..replaced).for_each(|_| replace_oldest(folder, &edge, &mut pods, manners));
        }
    }
    let changing = start.elapsed();
    load.until_requests(requests);
    let result = load.stop();
    figure(&format!(
        "pods of {manners:?} manners, {} restarts of {replaced} pods and {changes} changes within {changing:.1?}: {} \
         requests at {RATE}/s, failed {}",
        changes / changes_per_restart,
        result.requests,
        result.failed
    ));
    assert!(result.requests >= requests, "{result:?}");
    assert_eq!(result.failed, 0, "{result:?}");
    assert_eq!(result.connections, CLIENTS, "each client keeps its one connection");
    assert!(pods.iter().all(|pod| pod.requests() > 0), "requests follow the endpoints");
}

/// A load that makes only as many requests as it is allowed, or the rate of the full size.
fn begin(edge: &EdgeProcess) -> Load {
    match is_full() {
        false => Load::paced(edge.http(), HOST, CLIENTS),
        true => Load::steady(edge.http(), HOST, CLIENTS, RATE),
    }
}

#[test]
fn fifty_thousand_requests_survive_rolling_backends_and_changing_rules() {
    nothing_is_lost(Manners::Good);
}

#[test]
fn they_survive_backends_of_bad_manners_too() {
    nothing_is_lost(Manners::Rude);
}
