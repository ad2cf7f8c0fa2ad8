//! Direction of use: which module may name which other one, as a table.

use crate::{
    assert_none,
    code::{self, Named},
    tree::{self, File},
};

/// A module of `common` and the others it may name, beside itself. The longest match decides, so a file or folder
/// can have a row of its own. What it may name can be a module or one thing in it; the empty name is everything.
///
/// `id ← message ← filter ← model ← routing, source ← upstream ← proxy`, with `runtime` on top but for the leaf
/// files that `upstream` and `proxy` count, log and keep time with.
const COMMON: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("message", &["id"]),
    ("duration", &[]),
    ("near", &[]),
    ("quote", &[]),
    ("protobuf", &[]),
    ("filter", &["duration", "id", "message", "near", "quote"]),
    ("model", &["duration", "id", "message", "filter"]),
    ("routing", &["id", "message", "filter", "model"]),
    ("source", &["id", "message", "filter", "model"]),
    // A codec without policy.
    ("http1", &["message", "model::Limits"]),
    // The same for both sides; no policy either.
    ("http2", &["http1", "message"]),
    (
        "upstream",
        &[
            "id",
            "message",
            "filter",
            "model",
            "routing",
            "source",
            "http1",
            "http2",
            "protobuf",
            "runtime::metrics",
            "runtime::deadline",
        ],
    ),
    ("spans", &["protobuf", "filter", "model", "upstream::tls", "runtime::metrics", "runtime::spawn"]),
    (
        "proxy",
        &[
            "id",
            "message",
            "filter",
            "model",
            "routing",
            "source",
            "http1",
            "http2",
            "upstream",
            "spans",
            "runtime::access_log",
            "runtime::deadline",
            "runtime::drain",
            "runtime::metrics",
            "runtime::spawn",
            "runtime::telemetry",
        ],
    ),
    ("runtime::access_log", &["message", "runtime::metrics"]),
    ("runtime::admin", &["id", "model", "runtime::metrics"]),
    ("runtime::deadline", &[]),
    ("runtime::drain", &[]),
    ("runtime::graph", &["runtime::metrics"]),
    ("runtime::metrics", &["id"]),
    ("runtime::spawn", &["runtime::metrics"]),
    ("runtime::telemetry", &[]),
    (
        "runtime",
        &[
            "id", "message", "filter", "model", "routing", "source", "http1", "http2", "upstream", "spans",
            "proxy",
        ],
    ),
    // It meets `proxy` nowhere: both know only `source`.
    ("kube", &["id", "message", "near", "quote", "filter", "model", "source"]),
    // What is around an engine in a program: it brings all the others together.
    ("program", &[""]),
];

/// A part of another crate and the modules of `common` it may name. What has no row may name all.
const ABOVE: &[(&str, &[&str])] = &[
    ("ingress::translate", &["id", "message", "quote", "filter", "model", "source", "kube"]),
    ("ingress::annotations", &["id", "message", "quote", "filter", "model", "kube"]),
    ("ingress::class", &["id", "quote", "model", "kube"]),
    ("router::translate", &["id", "message", "filter", "model", "source", "kube"]),
];

/// A crate and the others of the workspace it may name.
const CRATES: &[(&str, &[&str])] = &[
    ("crds", &["selvedge_crds"]),
    ("common", &["selvedge_common", "selvedge_crds"]),
    ("examples", &["selvedge_examples", "selvedge_ingress", "selvedge_router"]),
    ("ingress", &["selvedge_common", "selvedge_crds", "selvedge_ingress"]),
    ("router", &["selvedge_common", "selvedge_crds", "selvedge_router"]),
    (
        "tests",
        &[
            "selvedge_common",
            "selvedge_crds",
            "selvedge_examples",
            "selvedge_ingress",
            "selvedge_router",
            "selvedge_tests",
        ],
    ),
];

/// Crates that know Kubernetes, and the modules of `common` that may name them.
const KUBERNETES: ([&str; 3], [&str; 2]) = (["kube", "k8s_openapi", "selvedge_crds"], ["kube", "program"]);

/// Crates for programs, and the module of `common` that may name them.
const PROGRAMS: ([&str; 2], [&str; 1]) = (["anyhow", "clap"], ["program"]);

/// What a file names that it must not.
fn check(file: &File) -> Vec<String> {
    let Some((krate, rest)) = file.path.split_once('/') else { return vec![] };
    let Some((_, crates)) = CRATES.iter().find(|(name, _)| *name == krate) else { return vec![] };
    let in_src = rest.strip_prefix("src/");
    let module = in_src.map(code::module).unwrap_or_default();
    let here = module.join("::");
    // A file of tests may use what it needs, but no other crate.
    let text = if code::is_test_file(&file.path) { "" } else { code::production(&file.text) };
    let mut violations = Vec::new();
    for Named { line, path } in code::paths(&code::bare(text)) {
        let first = path[0].as_str();
        let tell = |why: &str| format!("{}:{line}: {} {why}", file.path, path.join("::"));
        if first.starts_with("selvedge_") && !crates.contains(&first) {
            violations.push(tell(&format!("is a crate that {krate} must not know")));
        }
        if krate == "common" {
            if KUBERNETES.0.contains(&first) && !KUBERNETES.1.iter().any(|module| within(&here, module)) {
                violations.push(tell("belongs to Kubernetes; only the modules kube and program know it"));
            }
            if PROGRAMS.0.contains(&first) && !PROGRAMS.1.iter().any(|module| within(&here, module)) {
                violations.push(tell("belongs into programs; only the module program knows it"));
            }
            let target = code::resolve(&module, &path).map(|path| path.join("::"));
            if let Some(target) = target.filter(|target| !may_use(COMMON, &here, target)) {
                violations
                    .push(tell(&format!("names {target}, which {here} must not use; see the table COMMON")));
            }
        } else if first == "selvedge_common" {
            let (from, target) = (format!("{krate}::{here}"), path[1..].join("::"));
            if row(ABOVE, &from).is_some() && !may_use(ABOVE, &from, &target) {
                violations.push(tell(&format!("must not be used by {from}; see the table ABOVE")));
            }
        }
    }
    violations
}

/// Whether a module may name something of the same table.
fn may_use(table: &[(&str, &[&str])], from: &str, target: &str) -> bool {
    let Some((own, allowed)) = row(table, from) else {
        // The crate's root only declares its modules; any other file needs a row.
        return from.is_empty();
    };
    // `super::Name` may be an item of the module above, which a child may use.
    let is_above =
        within(own, target) || own.rsplit_once("::").is_some_and(|(above, _)| is_item_of(above, target));
    within(target, own)
        || is_above
        || allowed.iter().any(|allowed| allowed.is_empty() || within(target, allowed))
}

fn row<'a>(table: &'a [(&'a str, &'a [&'a str])], module: &str) -> Option<&'a (&'a str, &'a [&'a str])> {
    table.iter().filter(|(name, _)| within(module, name)).max_by_key(|(name, _)| name.len())
}

fn within(path: &str, module: &str) -> bool {
    path == module || path.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"))
}

/// Whether the target is a type or constant of just this module, not one of its modules.
fn is_item_of(module: &str, target: &str) -> bool {
    let item = target.strip_prefix(module).and_then(|rest| rest.strip_prefix("::"));
    item.is_some_and(|item| item.starts_with(char::is_uppercase))
}

#[test]
fn modules_use_only_what_is_below_them() {
    assert_none(tree::rust().flat_map(check).collect());
}

#[test]
fn every_module_of_common_has_a_row() {
    let modules = tree::rust().filter_map(|file| file.path.strip_prefix("common/src/"));
    let without = modules.map(|path| code::module(path).join("::")).filter(|module| !module.is_empty());
    let without = without.filter(|module| row(COMMON, module).is_none());
    assert_none(without.map(|module| format!("{module} has no row in the table COMMON")).collect());
}

#[test]
fn a_use_against_the_direction_is_found() {
    let cases = [
        ("common/src/model/route.rs", "use crate::proxy::Engine;"),
        ("common/src/id.rs", "use crate::{\n    message::Span,\n};"),
        ("common/src/filter/cors.rs", "fn f() { super::super::routing::find() }"),
        ("common/src/http1/request.rs", "use crate::model::{Limits, Route};"),
        ("common/src/kube/watch.rs", "use crate::proxy::Engine;"),
        ("common/src/proxy/http.rs", "use crate::kube::Objects;"),
        ("common/src/proxy/http.rs", "use k8s_openapi::api::core::v1 as core;"),
        ("common/src/proxy/http.rs", "use crate::runtime::workers::start;"),
        ("common/src/runtime/metrics/mod.rs", "use crate::proxy::Engine;"),
        ("common/src/runtime/metrics/mod.rs", "use super::workers::start;"),
        ("common/src/runtime/workers.rs", "use kube::Client;"),
        ("common/src/kube/watch.rs", "use crate::program::Program;"),
        ("common/src/kube/watch.rs", "use anyhow::Context;"),
        ("common/src/unknown.rs", "use crate::id::RouteId;"),
        ("crds/src/policy.rs", "use selvedge_common::model::Route;"),
        ("ingress/src/app.rs", "use selvedge_router::app;"),
        ("router/src/app.rs", "use selvedge_ingress::app;"),
        ("ingress/src/translate/mod.rs", "use selvedge_common::proxy::Engine;"),
    ];
    for (path, text) in cases {
        assert_eq!(check(&File::sample(path, text)).len(), 1, "{path}: {text}");
    }
}

#[test]
fn a_use_along_the_direction_passes() {
    let cases = [
        ("common/src/model/route.rs", "use super::Backend;\nuse crate::{filter::Filter, id::RouteId};"),
        ("common/src/http1/request.rs", "use crate::{http1::Framing, message::Span, model::Limits};"),
        ("common/src/kube/watch.rs", "use kube::Client;\nuse crate::source::Sink;"),
        ("common/src/runtime/workers.rs", "use crate::{proxy::Engine, runtime::metrics::Metrics};"),
        ("common/src/program/driver.rs", "use crate::{kube::Objects, proxy::Engine};\nuse kube::Client;"),
        ("common/src/program/driver.rs", "use anyhow::Context;"),
        ("common/src/id.rs", "#[cfg(test)]\nmod tests { use crate::model::Route; }"),
        ("ingress/src/app.rs", "use selvedge_common::{kube::Objects, proxy::Engine};"),
    ];
    for (path, text) in cases {
        assert_none(check(&File::sample(path, text)));
    }
}
