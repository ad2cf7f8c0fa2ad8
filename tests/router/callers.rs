//! Callers: rules and limits that look at who calls, and what is counted and told of it.

use selvedge_tests::{client::Client, origin::Origin, waiting::until};
use serde_json::Value;

use crate::{Mesh, ask, orders, pod, policy, rule};

/// Pods of two namespaces with two accounts each.
fn pods() -> Vec<Value> {
    [pod("web/frontend/web", 1), pod("web/batch/job", 2), pod("shop/frontend/own", 3), pod("shop/other/x", 4)]
        .concat()
}

/// Which of the pods, and a stranger (the last one), a rule with this `from` is for.
fn matched(from: &str) -> Vec<u8> {
    let origin = Origin::named("plain");
    let rules = rule(
        "from",
        &format!("[{{matches: [{{from: [{from}]}}], respond: {{status: 200, body: matched}}}}]"),
    );
    let mesh = Mesh::of(&[orders(&[origin.address]), pods(), rules]);
    (1..=5).filter(|last| mesh.client_from(*last).get("orders.shop", "/").text() == "matched").collect()
}

#[test]
fn from_names_a_namespace_a_service_account_or_both() {
    for (from, wanted) in [
        ("{namespace: web, serviceAccount: frontend}", &[1][..]),
        ("{namespace: web}", &[1, 2]),
        ("{namespace: web, serviceAccount: batch}, {namespace: shop}", &[2, 3, 4]),
        ("{namespace: bank}", &[]),
    ] {
        assert_eq!(matched(from), wanted, "{from}");
    }
}

#[test]
fn an_account_without_a_namespace_is_one_of_the_rules_own() {
    assert_eq!(matched("{serviceAccount: frontend}"), [3]);
}

#[test]
fn a_backend_is_told_who_calls_and_no_caller_can_say_it_is_another() {
    let origin = Origin::named("ok");
    let mesh = Mesh::of(&[orders(&[origin.address]), pods()]);
    for (last, wanted) in [(1, Some("web/frontend")), (4, Some("shop/other")), (9, None)] {
        ask(&mut mesh.client_from(last), "GET /", "X-Selvedge-Caller: shop/admin\r\n");
        assert_eq!(origin.seen().pop().unwrap().field("x-selvedge-caller"), wanted, "{last}");
    }
}

#[test]
fn a_pod_that_comes_is_known_without_a_new_connection() {
    let origin = Origin::named("plain");
    let rules =
        || rule("from", "[{matches: [{from: [{namespace: web}]}], respond: {status: 200, body: web}}]");
    let mesh = Mesh::of(&[orders(&[origin.address]), rules()]);
    let mut client = mesh.client_from(1);
    assert_eq!(client.get("orders.shop", "/").text(), "plain");
    mesh.change(&[orders(&[origin.address]), rules(), pods()]);
    until(|| (client.get("orders.shop", "/").text() == "web").then_some(()));
}

#[test]
fn a_limit_for_each_caller_counts_its_pods_together() {
    let origin = Origin::named("ok");
    let limit = policy("{rateLimit: {requests: 2, per: 1h, key: {caller: true}}}");
    let mesh = Mesh::of(&[orders(&[origin.address]), pods(), pod("web/frontend/web-2", 6), limit]);
    let statuses = [1, 6, 1, 6, 2, 2, 2].map(|last| mesh.client_from(last).get("orders.shop", "/").status);
    assert_eq!(statuses, [200, 200, 429, 429, 200, 200, 429]);
}

/// The edges of the call graph: who called what by which route, how often, and with how many errors.
fn edges(mesh: &Mesh) -> Vec<(String, String, String, u64, u64)> {
    let graph: Value = serde_json::from_str(&mesh.admin("/graph")).unwrap();
    let text = |edge: &Value, name: &str| edge[name].as_str().unwrap().to_owned();
    let number = |edge: &Value, name: &str| edge[name].as_u64().unwrap();
    let edge = |edge: &Value| {
        let names = ["source", "destination", "route"].map(|name| text(edge, name));
        let [source, destination, route] = names;
        (source, destination, route, number(edge, "requests"), number(edge, "errors"))
    };
    let mut edges: Vec<_> = graph["edges"].as_array().unwrap().iter().map(edge).collect();
    edges.sort();
    edges
}

#[test]
fn the_graph_and_the_metrics_tell_who_called_what() {
    let (origin, v2) = (Origin::named("ok"), crate::answering(500, "bad"));
    let rules = rule("v2", "[{matches: [{path: {prefix: /v2}}], backends: [{service: orders-v2}]}]");
    let mesh = Mesh::of(&[orders(&[origin.address]), crate::other("orders-v2", &v2), pods(), rules]);
    let mut web = mesh.client_from(1);
    (0..3).for_each(|_| assert_eq!(web.get("orders.shop", "/").status, 200));
    (0..2).for_each(|_| assert_eq!(web.get("orders.shop", "/v2").status, 500));
    assert_eq!(mesh.client_from(4).get("orders.shop", "/").status, 200);
    assert_eq!(mesh.client_from(9).get("orders.shop", "/").status, 200);
    let edge = |source: &str, destination: &str, route: &str, requests, errors| {
        (source.to_owned(), destination.to_owned(), route.to_owned(), requests, errors)
    };
    let wanted = [
        edge("shop/x", "shop/orders", "shop/orders", 1, 0),
        edge("unknown", "shop/orders", "shop/orders", 1, 0),
        edge("web/web", "shop/orders", "shop/orders", 3, 0),
        edge("web/web", "shop/orders-v2", "shop/v2", 2, 2),
    ];
    // A request is counted when its answer has been sent, which its client may notice first.
    until(|| (edges(&mesh) == wanted).then_some(()));
    let metrics = mesh.admin("/metrics");
    for line in [
        r#"selvedge_edge_requests_total{source="web/web",destination="shop/orders",route="shop/orders",status="2xx"} 3"#,
        r#"selvedge_edge_requests_total{source="web/web",destination="shop/orders-v2",route="shop/v2",status="5xx"} 2"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}

#[test]
fn a_policy_of_a_rule_leaves_the_destination_its_name_in_the_graph() {
    let origin = Origin::named("ok");
    let near =
        crate::policy_for("near", "{kind: RouteRule, name: all}", "{balance: {algorithm: RoundRobin}}");
    let mesh = Mesh::of(&[
        orders(&[origin.address]),
        pods(),
        rule("all", "[{retry: {budget: {percent: 1}}}]"),
        near,
    ]);
    assert_eq!(Client::connect_from(crate::address(1), mesh.router.http).get("orders.shop", "/").status, 200);
    until(|| {
        let edges = edges(&mesh);
        (edges.len() == 1).then(|| assert_eq!(edges[0].1, "shop/orders"))
    });
}
