//! Faults: the router as a process of its own, while services fail, are restarted and rules change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod one_of_ten;
mod patient;
mod rolling;

use std::path::Path;

use selvedge_tests::process::Process;

/// A router that serves this folder, ready.
fn router(folder: &Path, flags: &[&str]) -> Process {
    let manifests = ["--manifests", folder.to_str().expect("temporary folders are UTF-8")];
    let router =
        Process::start(Path::new(env!("CARGO_BIN_EXE_selvedge-router")), &[&manifests, flags].concat());
    router.until_ready();
    router
}
