//! Faults: the program as a process of its own, while what it depends on fails or it is asked to stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backends;
mod certificates;
mod changes;
mod cluster;
mod collectors;
mod crowds;
mod descriptors;
mod floods;
mod garbage;
mod handover;
mod log_output;
mod memory;
mod names;
mod ports;
mod soak;
mod stopping;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use selvedge_tests::{
    manifests::{CLASS, ingress, service, slices, write},
    process::EdgeProcess,
    size,
};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_selvedge-ingress");
/// The host that the load asks for.
const HOST: &str = "shop.test";

fn program() -> &'static Path {
    static OTHER: OnceLock<Option<PathBuf>> = OnceLock::new();
    OTHER.get_or_init(size::program).as_deref().unwrap_or(Path::new(PROGRAM))
}

/// Manifests of one host; its endpoints are in a file of their own.
fn write_shop(folder: &Path, endpoints: &[SocketAddr]) {
    let shop = [CLASS, &ingress("shop", HOST, "/", "shop"), &service("shop")].concat();
    write(folder, "shop.yaml", &shop).expect("the folder is there");
    write_endpoints(folder, endpoints, &[]);
}

fn write_endpoints(folder: &Path, ready: &[SocketAddr], draining: &[SocketAddr]) {
    write(folder, "endpoints.yaml", &slices("shop", ready, draining)).expect("the folder is there");
}

/// A folder that says so, and an edge that serves it, ready.
fn edge_to(endpoints: &[SocketAddr], flags: &[&str]) -> (tempfile::TempDir, EdgeProcess) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    write_shop(folder.path(), endpoints);
    let manifests = ["--manifests", folder.path().to_str().expect("temporary folders are UTF-8")];
    let edge = EdgeProcess::start(program(), &[&manifests[..], flags].concat());
    edge.until_ready();
    (folder, edge)
}
