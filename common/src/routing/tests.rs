//! Facts about routing: tables by hand, and a comparison with a naive search.

use std::{cell::Cell, sync::Arc};

use proptest::prelude::*;

use super::{Asked, Table};
use crate::{
    id::{CertificateId, ObjectRef},
    message::RequestHead,
    model::{
        ClientVerification, Conditions, FieldMatch, HostMatch, PathMatch, Route, RouteSet, Shared, TcpRoute,
        TlsPassthrough, ValueMatch, VirtualHost,
    },
};

/// `=/foo` is an exact path, anything else a prefix.
fn route(id: &str, path: &str) -> Route {
    let path = match path.strip_prefix('=') {
        Some(exact) => PathMatch::Exact(exact.into()),
        None => PathMatch::Prefix(path.into()),
    };
    Route::new(id.into(), ObjectRef::new("Ingress", "default", "test"), path, Vec::new())
}

/// Routes named after their paths.
fn host(paths: &[&str]) -> Arc<VirtualHost> {
    let routes = paths.iter().map(|path| route(path, path)).collect();
    Arc::new(VirtualHost::new(None, routes))
}

fn certificate_only(id: &str) -> Arc<VirtualHost> {
    Arc::new(VirtualHost { certificate: Some(id.into()), ..VirtualHost::default() })
}

fn set(hosts: &[(&str, Arc<VirtualHost>)]) -> RouteSet {
    let hosts = hosts.iter().map(|(name, host)| (name.parse().unwrap(), host.clone())).collect();
    RouteSet { hosts, fallback: None }
}

fn build(set: &RouteSet) -> Table<String> {
    Table::build(set, None, |route| route.id.to_string())
}

fn find<'a>(table: &'a Table<String>, host: &str, path: &str) -> &'a str {
    look_up(table, host, path).map_or("-", |route| route.as_str())
}

/// Looks up a request of which nothing but host and path is known.
fn look_up<'a, R>(table: &'a Table<R>, host: &str, path: &str) -> Option<&'a Arc<R>> {
    let head = RequestHead::default();
    table.find(host.as_bytes(), path.as_bytes(), &Asked { head: &head, caller: None })
}

#[test]
fn precedence_does_not_depend_on_the_order_of_routes() {
    type Case = (&'static [&'static str], &'static [(&'static str, &'static str)]);
    let cases: &[Case] = &[
        // An exact path beats a prefix of the same length.
        (&["/foo", "=/foo"], &[("/foo", "=/foo"), ("/foo/", "/foo"), ("/foo/bar", "/foo")]),
        // Prefixes compare whole elements and the longest one wins.
        (
            &["/", "/a", "/a/b", "/a/b/c"],
            &[
                ("/", "/"),
                ("/x", "/"),
                ("/a", "/a"),
                ("/ab", "/"),
                ("/a/x", "/a"),
                ("/a/b/", "/a/b"),
                ("/a/b/cd", "/a/b"),
                ("/a/b/c/d/e", "/a/b/c"),
                ("/A", "/"),
            ],
        ),
        // A slash at the end of a rule is ignored …
        (
            &["/foo/"],
            &[("/foo", "/foo/"), ("/foo/", "/foo/"), ("/foo/bar", "/foo/"), ("/foobar", "-"), ("/", "-")],
        ),
        // … unless both forms exist.
        (&["/foo", "/foo/"], &[("/foo", "/foo"), ("/foo/", "/foo/"), ("/foo/bar", "/foo/")]),
        // An exact path keeps its slash.
        (
            &["=/foo/", "/foo"],
            &[("/foo", "/foo"), ("/foo/", "=/foo/"), ("/foo//", "/foo"), ("/foo/x", "/foo")],
        ),
        (&["=/"], &[("/", "=/"), ("/x", "-")]),
        // An exact path below a longer prefix.
        (
            &["=/a/b", "/a/b/c", "/a"],
            &[("/a/b", "=/a/b"), ("/a/b/", "/a"), ("/a/b/c/", "/a/b/c"), ("/a/b/d", "/a")],
        ),
        // Empty elements count.
        (&["/a//b", "/a"], &[("/a//b", "/a//b"), ("/a/b", "/a"), ("/a//b/c", "/a//b"), ("/a//", "/a")]),
        (&["//", "=//"], &[("/", "//"), ("//", "=//"), ("//a", "//"), ("/a", "-")]),
        // An empty prefix is the root.
        (&[""], &[("/", ""), ("/x", "")]),
        // Paths that begin with no slash match nothing, whoever wrote them.
        (&["foo", "=foo", "=", "=*", "/"], &[("foo", "-"), ("", "-"), ("*", "-"), ("/foo", "/")]),
    ];
    for (paths, requests) in cases {
        let reversed: Vec<_> = paths.iter().rev().copied().collect();
        for order in [paths.to_vec(), reversed] {
            let table = build(&set(&[("a.example", host(&order))]));
            for (request, wanted) in *requests {
                assert_eq!(find(&table, "a.example", request), *wanted, "{request} among {order:?}");
            }
        }
    }
}

#[test]
fn path_rules_of_the_official_conformance_features_hold() {
    let table = build(&set(&[
        ("exact-path-rules", host(&["=/foo"])),
        ("prefix-path-rules", host(&["/foo", "/aaa/bbb", "/aaa"])),
        ("mixed-path-rules", host(&["/foo", "=/foo"])),
        ("trailing-slash-path-rules", host(&["/aaa/bbb/", "=/foo/"])),
    ]));
    let rows = [
        ("exact-path-rules", "/foo", "=/foo"),
        ("exact-path-rules", "/foo/", "-"),
        ("exact-path-rules", "/FOO", "-"),
        ("exact-path-rules", "/bar", "-"),
        ("prefix-path-rules", "/foo", "/foo"),
        ("prefix-path-rules", "/foo/", "/foo"),
        ("prefix-path-rules", "/FOO", "-"),
        ("prefix-path-rules", "/aaa/bbb", "/aaa/bbb"),
        ("prefix-path-rules", "/aaa/bbb/ccc", "/aaa/bbb"),
        ("prefix-path-rules", "/aaa/ccc", "/aaa"),
        ("prefix-path-rules", "/aaaccc", "-"),
        ("mixed-path-rules", "/foo", "=/foo"),
        ("trailing-slash-path-rules", "/aaa/bbb", "/aaa/bbb/"),
        ("trailing-slash-path-rules", "/aaa/bbb/", "/aaa/bbb/"),
        ("trailing-slash-path-rules", "/aaa/bbb/ccc", "/aaa/bbb/"),
        ("trailing-slash-path-rules", "/foo", "-"),
    ];
    for (host, path, wanted) in rows {
        assert_eq!(find(&table, host, path), wanted, "{host}{path}");
    }
}

#[test]
fn the_most_specific_host_with_routes_decides_alone() {
    let mut routes = set(&[
        ("a.shop.example", host(&["/exact"])),
        ("*.shop.example", host(&["/wild"])),
        ("*", host(&["/any"])),
        ("sealed.shop.example", certificate_only("default/sealed")),
        ("*.sealed.example", certificate_only("default/sealed")),
    ]);
    let without = build(&routes);
    routes.fallback = Some(Arc::new(route("fallback", "/")));
    let with = build(&routes);
    let rows = [
        ("a.shop.example", "/exact", "/exact"),
        // A wildcard or a rule for every host does not step in for a path that the exact host lacks.
        ("a.shop.example", "/wild", "-"),
        ("a.shop.example", "/any", "-"),
        ("b.shop.example", "/wild", "/wild"),
        ("b.shop.example", "/any", "-"),
        // A wildcard is exactly one label.
        ("shop.example", "/any", "/any"),
        ("x.b.shop.example", "/wild", "-"),
        ("x.b.shop.example", "/any", "/any"),
        (".shop.example", "/any", "/any"),
        ("bshop.example", "/any", "/any"),
        // A host with only a certificate is not there for routing.
        ("sealed.shop.example", "/wild", "/wild"),
        ("x.sealed.example", "/any", "/any"),
        // A request without a host.
        ("", "/any", "/any"),
        ("", "/x", "-"),
    ];
    for (host, path, wanted) in rows {
        assert_eq!(find(&without, host, path), wanted, "{host}{path}");
        let wanted = if wanted == "-" { "fallback" } else { wanted };
        assert_eq!(find(&with, host, path), wanted, "{host}{path} with a fallback");
    }
}

#[test]
fn certificates_follow_names_and_not_routes() {
    let with = |id: &str, paths: &[&str]| {
        Arc::new(VirtualHost { certificate: Some(id.into()), ..VirtualHost::clone(&host(paths)) })
    };
    let table = build(&set(&[
        ("a.shop.example", with("default/a", &["/"])),
        ("b.shop.example", host(&["/"])),
        ("c.shop.example", certificate_only("default/c")),
        ("*.shop.example", with("default/wild", &["/"])),
        ("*.plain.example", host(&["/"])),
        ("*", with("default/any", &["/"])),
    ]));
    let rows = [
        ("a.shop.example", Some("default/a")),
        // The exact entry has no certificate: that of the wildcard covers the name.
        ("b.shop.example", Some("default/wild")),
        ("c.shop.example", Some("default/c")),
        ("z.shop.example", Some("default/wild")),
        ("shop.example", None),
        ("y.z.shop.example", None),
        ("x.plain.example", None),
        ("", None),
    ];
    for (name, wanted) in rows {
        assert_eq!(
            table.find_certificate(name.as_bytes()),
            wanted.map(CertificateId::from).as_ref(),
            "{name}"
        );
    }
}

#[test]
fn of_routes_with_the_same_path_and_type_the_first_one_counts() {
    let routes =
        vec![route("first", "/a"), route("second", "/a"), route("third", "=/a"), route("fourth", "=/a")];
    let table = build(&set(&[("a", Arc::new(VirtualHost::new(None, routes)))]));
    assert_eq!(find(&table, "a", "/a/b"), "first");
    assert_eq!(find(&table, "a", "/a"), "third");
}

#[test]
fn unchanged_hosts_are_taken_over_and_changed_ones_built_again() {
    let (one, two, any) = (host(&["/1", "/11"]), host(&["/2"]), host(&["/any"]));
    let made = Cell::new(0);
    let make = |route: &Shared<Route>| {
        made.set(made.get() + 1);
        route.id.to_string()
    };
    let first = Table::build(&set(&[("one", one.clone()), ("*.two", two), ("*", any.clone())]), None, make);
    assert_eq!(made.take(), 4);
    let changed = set(&[("one", one), ("*.two", host(&["/3", "/4"])), ("*", any), ("new", host(&["/5"]))]);
    let second = Table::build(&changed, Some(&first), make);
    assert_eq!(made.take(), 3);
    for name in ["one", "elsewhere"] {
        let entries = [&first, &second].map(|table| table.find_host(name.as_bytes()).unwrap());
        assert!(Arc::ptr_eq(entries[0], entries[1]), "{name}");
    }
    assert_eq!(find(&second, "x.two", "/3"), "/3");
    assert_eq!(find(&second, "x.two", "/2"), "-");
    assert_eq!(find(&second, "new", "/5"), "/5");
    let third = Table::build(
        &set(&[("new", changed.hosts[&HostMatch::Exact("new".into())].clone())]),
        Some(&second),
        make,
    );
    assert_eq!(made.take(), 0);
    assert_eq!(find(&third, "one", "/1"), "-");
    assert_eq!(find(&third, "new", "/5"), "/5");
}

#[test]
fn a_changed_host_of_ten_thousand_is_built_alone_and_what_is_beside_it_is_shared() {
    let names: Vec<String> = (0..10_000).map(|number| format!("host-{number}")).collect();
    let hosts: Vec<_> = names.iter().map(|name| (name.as_str(), host(&["/"]))).collect();
    let made = Cell::new(0);
    let make = |route: &Shared<Route>| {
        made.set(made.get() + 1);
        route.id.to_string()
    };
    let before = set(&hosts);
    let first = Table::build(&before, None, make);
    assert_eq!(made.take(), 10_000);
    let mut after = before.clone();
    after.hosts.insert(HostMatch::Exact("host-7".into()), host(&["/new"]));
    assert_eq!(after.hosts.own_pieces(&before.hosts), 1);
    let second = Table::build(&after, Some(&first), make);
    assert_eq!((made.take(), second.own_shards(&first)), (1, 1));
    assert_eq!((find(&second, "host-7", "/new"), find(&second, "host-7", "/")), ("/new", "-"));
    assert_eq!((find(&first, "host-7", "/"), find(&second, "host-9999", "/")), ("/", "/"));
    let third = Table::build(&after, Some(&second), make);
    assert_eq!((made.take(), third.own_shards(&second)), (0, 0));
}

#[test]
fn a_very_deep_rule_is_built_searched_and_dropped() {
    let deep = "/a".repeat(200_000);
    let table = build(&set(&[("a", host(&[&deep, "/a"]))]));
    assert_eq!(find(&table, "a", &deep), deep);
    assert_eq!(find(&table, "a", &deep[2..]), "/a");
}

/// What edge.md says, word by word, with a look at every rule.
fn naive(set: &RouteSet, host: &str, path: &str) -> Option<PathMatch> {
    let specificity = |entry: &HostMatch| match entry {
        HostMatch::Exact(name) => (**name == *host).then_some(2),
        HostMatch::Wildcard(suffix) => {
            let label = host.strip_suffix(&**suffix).and_then(|rest| rest.strip_suffix('.'));
            label.is_some_and(|label| !label.is_empty() && !label.contains('.')).then_some(1)
        }
        HostMatch::Any => Some(0),
    };
    let candidates = set.hosts.iter().filter(|(_, host)| !host.routes.is_empty());
    let (_, decides) = candidates
        .filter_map(|(name, host)| Some((specificity(name)?, host)))
        .max_by_key(|(rank, _)| *rank)?;
    let elements = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let mut best: Option<((bool, usize, bool), &PathMatch)> = None;
    for route in &decides.routes {
        let rank = match &route.path {
            PathMatch::Exact(text) => (**text == *path).then_some((true, 0, false)),
            PathMatch::Prefix(text) => {
                let bare = text.strip_suffix('/').unwrap_or(text);
                // Of both forms the one without the slash answers just its own path, the other what is below.
                let preferred = (bare == path) == (bare == &**text);
                elements(path).starts_with(&elements(bare)).then_some((
                    false,
                    elements(bare).len(),
                    preferred,
                ))
            }
            PathMatch::Regex(_) | PathMatch::RegexBegin(_) => None,
        };
        if let Some(rank) = rank
            && best.is_none_or(|(best, _)| rank > best)
        {
            best = Some((rank, &route.path));
        }
    }
    best.map(|(_, path)| path.clone())
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", ""]), 0..5)
        .prop_map(|elements| format!("/{}", elements.join("/")))
}

fn any_rule() -> impl Strategy<Value = PathMatch> {
    (any_path(), any::<bool>()).prop_map(|(path, exact)| match exact {
        true => PathMatch::Exact(path.into()),
        false => PathMatch::Prefix(path.into()),
    })
}

fn any_host() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..4).prop_map(|labels| labels.join("."))
}

fn any_set() -> impl Strategy<Value = RouteSet> {
    let name = (any_host(), 0..4).prop_map(|(host, kind)| match kind {
        0 => HostMatch::Any,
        1 => HostMatch::Wildcard(host.into()),
        _ => HostMatch::Exact(host.into()),
    });
    let rules = prop::collection::vec(any_rule(), 0..12).prop_map(|rules| {
        let routes = rules.into_iter().map(|path| Route { path, ..route("any", "/") }).collect();
        Arc::new(VirtualHost::new(None, routes))
    });
    prop::collection::btree_map(name, rules, 0..8)
        .prop_map(|hosts| RouteSet { hosts: hosts.into_iter().collect(), fallback: None })
}

/// A route that asks for a field `x-<name>` for each name after a `+`: `/a+b+c`, with a priority before `@`.
fn conditional(text: &str) -> Route {
    let (priority, rest) = text.split_once('@').unwrap_or(("0", text));
    let mut names = rest.split('+');
    let path = names.next().unwrap();
    let mut route = match path.strip_prefix('~') {
        Some(pattern) => Route { path: PathMatch::Regex(pattern.into()), ..route(text, "/") },
        None => route(text, path),
    };
    let field = |name: &str| FieldMatch { name: format!("x-{name}").into(), value: ValueMatch::Present };
    route.conditions = Conditions { headers: names.map(field).collect(), ..Conditions::default() }.into();
    route.priority = priority.parse().unwrap();
    route
}

#[test]
fn patterns_of_a_begin_are_tried_by_length_and_then_by_the_greater_text() {
    // Routes; then paths and which route answers.
    type Case = (&'static [&'static str], &'static [(&'static str, Option<&'static str>)]);
    let cases: &[Case] = &[
        (&["/b.", "/.b", "/a."], &[("/bb", Some("/b.")), ("/ab", Some("/a.")), ("/cb", Some("/.b"))]),
        (
            &["/foo/bar", "/foo/.*/longer", "/foo/b", "/foo"],
            &[
                ("/foo/bar/longer", Some("/foo/.*/longer")),
                ("/FOO/BAR/", Some("/foo/bar")),
                ("/foo/b", Some("/foo/b")),
                ("/foox", Some("/foo")),
                ("/x/foo", None),
            ],
        ),
        (&["/", "/x/[0-9]", "("], &[("/x/1", Some("/x/[0-9]")), ("/x/a", Some("/")), ("/", Some("/"))]),
        (&["/a|/b", "/(x|y)/z"], &[("/q/b", Some("/a|/b")), ("/y/z", Some("/(x|y)/z")), ("/q", None)]),
    ];
    for (texts, asked) in cases {
        for reversed in [false, true] {
            let mut routes: Vec<Route> = texts
                .iter()
                .map(|text| Route { path: PathMatch::RegexBegin((*text).into()), ..route(text, "/") })
                .collect();
            if reversed {
                routes.reverse();
            }
            let host = Arc::new(VirtualHost::new(None, routes));
            let table = build(&set(&[("a", host)]));
            for (path, wanted) in *asked {
                let head = RequestHead::default();
                let found = table.find(b"a", path.as_bytes(), &Asked { head: &head, caller: None });
                assert_eq!(found.map(|text| &***text), *wanted, "{texts:?} {path}");
            }
        }
    }
}

#[test]
fn what_a_condition_keeps_out_falls_to_the_next_best_route() {
    // Routes; then path, names of fields of the request, and which route answers.
    type Case = (&'static [&'static str], &'static [(&'static str, &'static str, &'static str)]);
    let cases: &[Case] = &[
        (
            // Patterns of one length go by their conditions, whichever of them has more routes.
            &["~/a/.*+x+y", "~/./b*+z", "~/a/.*"],
            &[("/a/b", "x y z", "~/a/.*+x+y"), ("/a/b", "z", "~/./b*+z"), ("/a/b", "x", "~/a/.*")],
        ),
        (
            &["/", "/a+x", "=/a/b+y", "/a/b+x+y", "/a/b+x"],
            &[
                ("/a/b", "", "/"),
                ("/a/b", "x", "/a/b+x"),
                ("/a/b", "x y", "=/a/b+y"),
                ("/a/b/c", "x y", "/a/b+x+y"),
                ("/a/b/c", "y", "/"),
                ("/a/c", "x", "/a+x"),
            ],
        ),
        // Both forms of a prefix, and the order of both where a condition keeps the better one out.
        (
            &["/a", "/a/+x", "/a/b+x", "/"],
            &[
                ("/a/c", "x", "/a/+x"),
                ("/a/c", "", "/a"),
                ("/a", "x", "/a"),
                ("/a/b/c", "", "/a"),
                ("/b", "", "/"),
            ],
        ),
        // Patterns stand between exact paths and prefixes, the longer one first, and match whole paths.
        (
            &["/a/b/c", "~/a/.*", "~/a/b/.*+x", "=/a/b", "~(", "~/v[0-9]{1,}"],
            &[
                ("/a/b", "x", "=/a/b"),
                ("/a/b/c", "", "~/a/.*"),
                ("/a/b/c", "x", "~/a/b/.*+x"),
                ("/v12", "", "~/v[0-9]{1,}"),
                ("/v12/", "", "-"),
                ("/(", "", "-"),
            ],
        ),
        // A priority comes before everything else.
        (
            &["/a/b", "=/a", "1@/", "-1@=/a+x", "5@/+y", "5@=/a+x"],
            &[("/a/b", "", "1@/"), ("/a", "x", "5@=/a+x"), ("/a/b", "y", "5@/+y"), ("/a", "y x", "5@=/a+x")],
        ),
    ];
    for (routes, requests) in cases {
        for turned in 0..routes.len() {
            let mut routes: Vec<_> = routes.iter().map(|text| conditional(text)).collect();
            routes.rotate_left(turned);
            let table = build(&set(&[("*", Arc::new(VirtualHost::new(None, routes)))]));
            for (path, names, wanted) in *requests {
                let mut head = RequestHead::default();
                names.split(' ').for_each(|name| head.fields.push(format!("x-{name}").as_bytes(), b""));
                let found = table.find(b"a", path.as_bytes(), &Asked { head: &head, caller: None });
                assert_eq!(found.map_or("-", |found| found.as_str()), *wanted, "{path} with {names}");
            }
        }
    }
}

#[test]
fn of_equal_routes_the_lower_rank_answers_and_the_others_are_not_made() {
    let ranked = |id: &str, rank| Route { rank, id: id.into(), ..conditional("/a") };
    let routes = vec![ranked("second", 2), ranked("first", 1), ranked("third", 3)];
    let made = Cell::new(0);
    let set = set(&[("*", Arc::new(VirtualHost::new(None, routes)))]);
    let table = Table::build(&set, None, |route| {
        made.set(made.get() + 1);
        route.id.to_string()
    });
    assert_eq!((find(&table, "a", "/a"), made.get()), ("first", 1));
}

proptest! {
    #[test]
    fn every_lookup_agrees_with_a_naive_search(
        set in any_set(),
        requests in prop::collection::vec((any_host(), any_path()), 1..20),
    ) {
        let table = Table::build(&set, None, |route| route.path.clone());
        for (host, path) in requests {
            let found = look_up(&table, &host, &path).map(|found| PathMatch::clone(found));
            prop_assert_eq!(found, naive(&set, &host, &path), "{}{}", host, path);
        }
    }

    #[test]
    fn a_table_built_upon_another_one_finds_what_a_new_one_finds(
        before in any_set(),
        after in any_set(),
        requests in prop::collection::vec((any_host(), any_path()), 1..20),
    ) {
        let make = |route: &Shared<Route>| route.path.clone();
        let mut mixed = after;
        for (name, host) in before.hosts.iter().step_by(2) {
            mixed.hosts.insert(name.clone(), host.clone());
        }
        let upon = Table::build(&mixed, Some(&Table::build(&before, None, make)), make);
        let new = Table::build(&mixed, None, make);
        for (host, path) in requests {
            let found = [&upon, &new].map(|table| look_up(table, &host, &path));
            prop_assert_eq!(found[0], found[1], "{}{}", host, path);
        }
    }
}

#[test]
fn clients_are_verified_as_the_entry_says_that_decides() {
    let verification = |depth| Arc::new(ClientVerification { authorities: "".into(), depth });
    let verified = |depth, paths: &[&str]| {
        let routes = VirtualHost::clone(&host(paths)).routes;
        let client_verification = Some(verification(depth));
        Arc::new(VirtualHost { client_verification, routes, ..VirtualHost::default() })
    };
    let hosts = [
        ("a.example", verified(1, &["/"])),
        ("open.example", host(&["/"])),
        ("certificate.example", certificate_only("x")),
        ("*.example", verified(2, &["/"])),
    ];
    let table = build(&set(&hosts));
    let depth = |name: &str| table.find_verification(name.as_bytes()).map(|found| found.depth);
    let rows = [
        ("a.example", Some(1)),
        ("open.example", None),
        ("certificate.example", Some(2)),
        ("b.example", Some(2)),
        ("other", None),
        ("", None),
    ];
    for (name, wanted) in rows {
        assert_eq!(depth(name), wanted, "{name}");
    }
    assert!(table.verifies_clients());
    let fewer = Table::build(&set(&hosts[1..3]), Some(&table), |route| route.id.to_string());
    assert!(!fewer.verifies_clients() && fewer.find_verification(b"a.example").is_none());
}

#[test]
fn tls_is_passed_through_as_the_entry_says_that_decides() {
    let through = |id: &str| {
        let source = ObjectRef::new("Ingress", "default", "x");
        let to = TcpRoute { backends: Vec::new(), connect_retries: 1 };
        Some(Arc::new(TlsPassthrough { id: id.into(), source, to, access: Vec::new(), unlogged: false }))
    };
    let passed = |id: &str, paths: &[&str]| {
        let routes = VirtualHost::clone(&host(paths)).routes;
        Arc::new(VirtualHost { tls_passthrough: through(id), routes, ..VirtualHost::default() })
    };
    let hosts = [
        ("a.example", passed("one", &["/"])),
        ("bare.example", passed("two", &[])),
        ("here.example", host(&["/"])),
        ("certificate.example", certificate_only("x")),
        ("*.example", passed("three", &["/"])),
    ];
    let table = build(&set(&hosts));
    let found = |name: &str| table.find_passthrough(name.as_bytes()).map(|found| found.route.to_string());
    let rows = [
        ("a.example", Some("one")),
        ("bare.example", Some("two")),
        ("here.example", None),
        ("certificate.example", Some("three")),
        ("b.example", Some("three")),
        ("a.b.example", None),
        ("", None),
    ];
    for (name, wanted) in rows {
        assert_eq!(found(name).as_deref(), wanted, "{name}");
    }
    assert!(table.passes_tls_through());
    // Requests are matched as if it were not there.
    assert_eq!(
        table.find_host(b"bare.example").map(Arc::as_ptr),
        table.find_host(b"b.example").map(Arc::as_ptr)
    );
    let fewer = Table::build(&set(&hosts[2..4]), Some(&table), |route| route.id.to_string());
    assert!(!fewer.passes_tls_through() && fewer.find_passthrough(b"a.example").is_none());
}
