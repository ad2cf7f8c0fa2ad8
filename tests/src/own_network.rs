//! A network of a test's own, where addresses of pods can be bound: the test runs itself again inside of it.

use std::process::Command;

/// Set within the network.
const INSIDE: &str = "SELVEDGE_TEST_OWN_NETWORK";
/// Makes the addresses of pods local.
const PODS: &str = "ip link set lo up && ip route add local 10.244.0.0/16 dev lo && exec \"$0\" \"$@\"";
/// Makes addresses reachable that are those of nobody here: they can be bound, as all can, but packets to them come from
/// another one.
const OTHERS: &str = "ip link set lo up && ip address add 192.168.77.1/32 dev lo && \
    ip route add local 10.9.0.0/16 dev lo src 192.168.77.1 && \
    echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind && exec \"$0\" \"$@\"";

/// Whether the caller runs within a network of its own, where 10.244.0.0/16 is local.
///
/// If not, the test of this name (as the test runner prints it) is run there by another process, which must
/// succeed; the caller has nothing more to do. Where the system gives no such network, that is said and no more.
///
/// # Panics
/// If the test fails there.
pub fn is_inside(test: &str) -> bool {
    is_in(test, PODS)
}

/// As [`is_inside`], with 10.9.0.0/16 as addresses of other machines, whose servers the test can be itself.
///
/// # Panics
/// If the test fails there.
pub fn is_inside_beside_others(test: &str) -> bool {
    is_in(test, OTHERS)
}

fn is_in(test: &str, setup: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let within = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rn", "sh", "-c", setup, program]);
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
