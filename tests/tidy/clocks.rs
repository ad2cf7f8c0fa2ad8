//! Clocks: a wall clock that jumps changes nothing that is served, as hardly anything reads it.

use crate::{
    assert_none, code,
    tree::{self, File},
};

/// What reads the wall clock. Limits in time, health and shares count from an `Instant`, which never jumps.
const WALL: [&str; 4] = ["SystemTime::now", "Timestamp::now", "UnixTime::now", "Zoned::now"];

/// Files that read it, and what a jump does there.
const MAY: [(&str, &str); 9] = [
    ("common/src/kube/events.rs", "the time of an Event is one to be read"),
    ("common/src/kube/lease.rs", "times in a lease are to be read; only that it changes counts"),
    ("common/src/kube/status/mod.rs", "the time of a condition is one to be read"),
    ("common/src/proxy/handshake.rs", "the certificate of a client is valid at times of day"),
    ("common/src/proxy/exchange.rs", "the time of a line of the access log, and of a span"),
    (
        "common/src/proxy/identity/tokens.rs",
        "the end of a token is a time of day; it is believed for minutes at most",
    ),
    ("common/src/proxy/picking.rs", "the date until which clients keep a cookie"),
    ("common/src/proxy/worker.rs", "the field Date"),
    ("common/src/runtime/graph/record.rs", "the time since which the graph counts, to be read"),
];

fn check(file: &File) -> Vec<String> {
    let is_ours =
        ["common/src/", "ingress/src/", "router/src/"].iter().any(|begin| file.path.starts_with(begin));
    if !is_ours || code::is_test_file(&file.path) || MAY.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    let bare = code::bare(code::production(&file.text));
    let lines = bare.lines().enumerate().filter(|(_, line)| WALL.iter().any(|clock| line.contains(clock)));
    lines
        .map(|(number, _)| {
            format!("{}:{}: the wall clock may jump; count from an Instant", file.path, number + 1)
        })
        .collect()
}

#[test]
fn the_wall_clock_is_read_only_where_a_jump_does_no_harm() {
    assert_none(tree::rust().flat_map(check).collect());
    let reads = |path: &str| {
        let file = tree::rust().find(|file| file.path == path);
        file.is_some_and(|file| WALL.iter().any(|clock| file.text.contains(clock)))
    };
    let stale = MAY.iter().filter(|(path, _)| !reads(path));
    assert_none(stale.map(|(path, _)| format!("{path} reads no wall clock any more")).collect());
}

#[test]
fn a_look_at_the_wall_clock_is_found() {
    let text = "fn f() { let _ = std::time::SystemTime::now(); }";
    assert_eq!(check(&File::sample("common/src/upstream/health.rs", text)).len(), 1);
    assert_none(check(&File::sample("common/src/proxy/worker.rs", text)));
    let tests = format!("#[cfg(test)]\nmod tests {{ {text} }}");
    assert_none(check(&File::sample("common/src/upstream/health.rs", &tests)));
}
