//! Purity: what plain data, decisions and translation cannot name, as they do no I/O and know no clock.

use crate::{
    assert_none,
    code::{self, Named},
    tree::{self, File},
};

/// Folders and files that are pure (rules R1, R2, R8 and the lookup of routes).
const PURE: [&str; 11] = [
    "common/src/filter/",
    "common/src/id.rs",
    "common/src/kube/host.rs",
    "common/src/kube/service/",
    "common/src/message/",
    "common/src/model/",
    "common/src/routing/",
    "ingress/src/annotations/",
    "ingress/src/class.rs",
    "ingress/src/translate/",
    "router/src/translate/",
];

/// Folders that must not even log, as what they find out is a value that they return.
const SILENT: [&str; 6] = [
    "common/src/filter/",
    "common/src/kube/service/",
    "common/src/model/",
    "ingress/src/annotations/",
    "ingress/src/translate/",
    "router/src/translate/",
];

/// What does I/O, reads a clock, runs elsewhere or talks to the API server.
const IMPURE: [&str; 16] = [
    "tokio",
    "hyper",
    "hyper_util",
    "socket2",
    "notify",
    "kube::Client",
    "kube::Api",
    "kube::runtime",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::io::stdout",
];

/// Ends of paths that read a clock; a time that is given is fine.
const CLOCKS: [&str; 3] = ["Instant::now", "SystemTime::now", "Zoned::now"];

/// What shares state behind a lock; not for the model.
const LOCKS: [&str; 5] =
    ["std::sync::Mutex", "std::sync::RwLock", "std::sync::atomic", "arc_swap", "std::cell"];

fn check(file: &File) -> Vec<String> {
    let is_in = |folders: &[&str]| folders.iter().any(|folder| file.path.starts_with(folder));
    if !is_in(&PURE) || code::is_test_file(&file.path) {
        return vec![];
    }
    let mut forbidden = IMPURE.to_vec();
    if is_in(&["common/src/model/"]) {
        forbidden.extend(LOCKS.iter().chain(&["kube", "k8s_openapi"]));
    }
    if is_in(&SILENT) {
        forbidden.push("tracing");
    }
    let bare = code::bare(code::production(&file.text));
    let named = code::paths(&bare).into_iter().filter_map(|Named { line, path }| {
        let path = path.join("::");
        let names = |name: &&&str| path == **name || path.starts_with(&format!("{name}::"));
        let found =
            forbidden.iter().find(names).or_else(|| CLOCKS.iter().find(|clock| path.ends_with(**clock)));
        found.map(|name| format!("{}:{line}: {name} has no place in pure code", file.path))
    });
    let words = bare.lines().enumerate().filter(|(_, line)| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "async" || word == "await")
    });
    let words =
        words.map(|(number, _)| format!("{}:{}: async has no place in pure code", file.path, number + 1));
    named.chain(words).collect()
}

#[test]
fn pure_code_names_no_socket_clock_or_task() {
    assert_none(tree::rust().flat_map(check).collect());
}

#[test]
fn impure_code_is_found() {
    let cases = [
        ("common/src/filter/cors.rs", "use tokio::time::sleep;"),
        ("common/src/filter/cors.rs", "pub async fn decide() {}"),
        ("common/src/filter/cors.rs", "fn f() { tracing::info!(\"x\") }"),
        ("common/src/model/route.rs", "use std::{sync::Mutex, time::Duration};"),
        ("common/src/model/route.rs", "use k8s_openapi::api::core::v1 as core;"),
        ("common/src/id.rs", "fn f() { let _ = std::time::Instant::now(); }"),
        ("common/src/id.rs", "use std::time::Instant;\nfn f() { let _ = Instant::now(); }"),
        ("common/src/message/head.rs", "use std::net::{IpAddr, TcpStream};"),
        ("ingress/src/translate/rule.rs", "use kube::Client;"),
    ];
    for (path, text) in cases {
        assert_eq!(check(&File::sample(path, text)).len(), 1, "{path}: {text}");
    }
}

#[test]
fn pure_code_passes() {
    let cases = [
        ("common/src/model/route.rs", "use std::{net::SocketAddr, time::Duration};"),
        ("common/src/filter/rate.rs", "use std::time::Instant;\nfn f(now: Instant) {}"),
        ("common/src/filter/cors.rs", "// async\nfn f() { \"tokio::spawn\"; }"),
        ("common/src/proxy/http.rs", "pub async fn serve() { tokio::task::yield_now().await }"),
    ];
    for (path, text) in cases {
        assert_none(check(&File::sample(path, text)));
    }
}
