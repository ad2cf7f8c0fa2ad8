//! A network of a test's own, where addresses of pods can be bound: the test runs itself again inside of it.

use std::process::Command;

/// Set within the network.
const INSIDE: &str = "SELVEDGE_TEST_OWN_NETWORK";
/// Makes the addresses of pods local.
const SETUP: &str = "ip link set lo up && ip route add local 10.244.0.0/16 dev lo && exec \"$0\" \"$@\"";

/// Whether the caller runs within a network of its own, where 10.244.0.0/16 is local.
///
/// If not, the test of this name (as the test runner prints it) is run there by another process, which must
/// succeed; the caller has nothing more to do. Where the system gives no such network, that is said and no more.
///
/// # Panics
/// If the test fails there.
pub fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let within = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rn", "sh", "-c", SETUP, program]);
        command
    };
    if !within("true").status().is_ok_and(|status| status.success()) {
        crate::not_run::say(test, "the system gives no network of its own (unshare -rn, ip)");
        return false;
    }
    let program = std::env::current_exe().expect("a running program has a path");
    let program = program.to_str().expect("build folders are UTF-8");
    let status = within(program).args(["--exact", test, "--nocapture"]).env(INSIDE, "1").status();
    assert!(status.is_ok_and(|status| status.success()), "{test} fails in a network of its own");
    false
}
