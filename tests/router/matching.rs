//! Matching: which requests a rule of a RouteRule is for, and which of several rules is first.

use selvedge_tests::{origin::Origin, router::service};
use serde_json::{Value, json};

use crate::{Mesh, ask, orders, rule};

/// A router whose rules answer with their names, and whose Service answers `plain` where none of them matches.
fn named(rules: &[(&str, &str)]) -> (Mesh, Origin) {
    let rules: Vec<_> = rules.iter().map(|(name, matches)| one(name, matches)).collect();
    with(vec![rule("rules", &format!("[{}]", rules.join(", ")))])
}

/// A rule that answers with its name.
fn one(name: &str, matches: &str) -> String {
    format!("{{name: {name}, matches: [{matches}], respond: {{status: 200, body: {name}}}}}")
}

fn with(rules: Vec<Vec<Value>>) -> (Mesh, Origin) {
    let origin = Origin::named("plain");
    (Mesh::of(&[vec![orders(&[origin.address])], rules].concat()), origin)
}

/// Asks for each line with its fields and compares who answers.
fn check(rules: &[(&str, &str)], rows: &[(&str, &str, &str)]) {
    let (mesh, _origin) = named(rules);
    let mut client = mesh.client();
    for (line, fields, wanted) in rows {
        assert_eq!(ask(&mut client, line, fields).text(), *wanted, "{line} {fields:?}");
    }
}

#[test]
fn paths_match_whole_by_prefix_or_by_regex() {
    check(
        &[
            ("exact", "{path: {exact: /exact}}"),
            ("prefix", "{path: {prefix: /pre}}"),
            ("regex", "{path: {regex: '/v[0-9]+/.*'}}"),
        ],
        &[
            ("GET /exact", "", "exact"),
            ("GET /exact?a=b", "", "exact"),
            ("GET /exact/x", "", "plain"),
            ("GET /pre", "", "prefix"),
            ("GET /pre/x/y", "", "prefix"),
            ("GET /prefix", "", "plain"),
            ("GET /v12/a", "", "regex"),
            ("GET /a/v12/a", "", "plain"),
            ("GET /v/a", "", "plain"),
            ("GET /x/../pre/./y", "", "prefix"),
            ("GET /%70re", "", "prefix"),
        ],
    );
}

#[test]
fn methods_match_as_they_are_listed() {
    check(
        &[("write", "{methods: [PUT, PATCH]}")],
        &[("PUT /", "", "write"), ("PATCH /", "", "write"), ("GET /", "", "plain"), ("POST /", "", "plain")],
    );
}

#[test]
fn headers_match_by_value_by_regex_and_by_presence() {
    check(
        &[
            ("two", "{headers: [{name: x-client, exact: ios}, {name: x-two, exact: '2'}]}"),
            ("exact", "{headers: [{name: X-Client, exact: ios}]}"),
            ("regex", "{headers: [{name: x-client, regex: 'andr.*|web'}]}"),
            ("present", "{headers: [{name: x-debug, present: true}]}"),
        ],
        &[
            ("GET /", "x-client: ios\r\n", "exact"),
            ("GET /", "X-CLIENT: ios\r\nx-two: 1\r\n", "exact"),
            ("GET /", "x-client: ios\r\nx-two: 2\r\n", "two"),
            ("GET /", "x-client: IOS\r\n", "plain"),
            ("GET /", "x-client: android\r\n", "regex"),
            ("GET /", "x-client: my-android\r\n", "plain"),
            ("GET /", "x-debug:\r\n", "present"),
            ("GET /", "x-two: 2\r\n", "plain"),
        ],
    );
}

#[test]
fn what_must_not_be_there_is_a_condition_too() {
    check(
        &[
            ("field", "{path: {prefix: /field}, headers: [{name: x-internal, present: false}]}"),
            ("query", "{path: {prefix: /query}, query: [{name: debug, present: false}]}"),
        ],
        &[
            ("GET /field", "", "field"),
            ("GET /field", "x-internal: 1\r\n", "plain"),
            ("GET /field", "X-Internal:\r\n", "plain"),
            ("GET /query", "", "query"),
            ("GET /query?a=debug", "", "query"),
            ("GET /query?debug=1", "", "plain"),
            ("GET /query?a&debug", "", "plain"),
        ],
    );
}

#[test]
fn parameters_of_the_query_match_decoded() {
    check(
        &[
            ("exact", "{query: [{name: beta, exact: '1'}]}"),
            ("decoded", "{query: [{name: 'a b', exact: 'c&d'}]}"),
            ("regex", "{query: [{name: version, regex: '[0-9]+'}]}"),
            ("present", "{query: [{name: debug, present: true}]}"),
        ],
        &[
            ("GET /?beta=1", "", "exact"),
            ("GET /?x=y&beta=1", "", "exact"),
            ("GET /?beta=12", "", "plain"),
            ("GET /?Beta=1", "", "plain"),
            ("GET /?a+b=c%26d", "", "decoded"),
            ("GET /?version=42", "", "regex"),
            ("GET /?version=42a", "", "plain"),
            ("GET /?debug", "", "present"),
            ("GET /", "", "plain"),
        ],
    );
}

#[test]
fn each_part_of_a_match_must_hold_and_one_match_is_enough() {
    check(
        &[("either", "{path: {prefix: /a}, methods: [GET]}, {query: [{name: b, present: true}]}")],
        &[
            ("GET /a", "", "either"),
            ("POST /a", "", "plain"),
            ("GET /x", "", "plain"),
            ("POST /x?b", "", "either"),
        ],
    );
}

#[test]
fn the_more_specific_match_wins_and_of_equal_ones_the_first() {
    check(
        &[
            ("wide", "{path: {prefix: /a}}"),
            ("deep", "{path: {prefix: /a/b}}"),
            ("again", "{path: {prefix: /a/b}}"),
            ("exact", "{path: {exact: /a/b/c}}"),
        ],
        &[("GET /a/x", "", "wide"), ("GET /a/b/x", "", "deep"), ("GET /a/b/c", "", "exact")],
    );
}

/// A RouteRule whose only rule answers everything below a path with its name.
fn prefixed(name: &str, path: &str, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    let mut rule = rule(name, &format!("[{}]", one(name, &format!("{{path: {{prefix: {path}}}}}"))));
    change(&mut rule[0]);
    rule
}

#[test]
fn a_route_rule_of_higher_priority_goes_first_then_the_older_then_by_name() {
    let born =
        |when: &'static str| move |rule: &mut Value| rule["metadata"]["creationTimestamp"] = when.into();
    let (mesh, _origin) = with(vec![
        prefixed("usual", "/a/deep", |_| {}),
        prefixed("urgent", "/a", |rule| rule["spec"]["priority"] = 10.into()),
        prefixed("late", "/a", |rule| rule["spec"]["priority"] = (-5).into()),
        prefixed("a-young", "/b", born("2026-02-01T00:00:00Z")),
        prefixed("z-old", "/b", born("2026-01-01T00:00:00Z")),
        prefixed("c-name", "/c", born("2026-01-01T00:00:00Z")),
        prefixed("b-name", "/c", born("2026-01-01T00:00:00Z")),
    ]);
    for (path, wanted) in [("/a/deep", "urgent"), ("/b", "z-old"), ("/c", "b-name")] {
        assert_eq!(mesh.get(path).text(), wanted, "{path}");
    }
}

#[test]
fn a_rule_counts_for_the_port_that_its_target_names() {
    let origin = Origin::named("plain");
    let mut service = service("shop", "orders", 80, &[origin.address]);
    service[0]["spec"]["ports"] = json!([{"name": "http", "port": 80}, {"name": "admin", "port": 9090}]);
    let rules = prefixed("admin", "/", |rule| {
        rule["spec"]["targets"] = json!([{"service": "orders", "port": 9090}]);
    });
    let mesh = Mesh::of(&[service, rules]);
    let mut client = mesh.client();
    for (host, wanted) in
        [("orders.shop", "plain"), ("orders.shop:80", "plain"), ("orders.shop:9090", "admin")]
    {
        assert_eq!(client.get(host, "/").text(), wanted, "{host}");
    }
}

#[test]
fn a_match_that_is_wrong_harms_no_other_and_a_removed_rule_is_gone() {
    let (mesh, origin) = named(&[
        ("broken", "{path: {regex: '('}}"),
        ("empty", "{path: {exact: /a, prefix: /a}}"),
        ("good", "{path: {prefix: /good}}"),
    ]);
    assert_eq!((mesh.get("/good").text(), mesh.get("/a").text()), ("good".into(), "plain".into()));
    mesh.change(&[orders(&[origin.address])]);
    selvedge_tests::waiting::until(|| (mesh.get("/good").text() == "plain").then_some(()));
}
