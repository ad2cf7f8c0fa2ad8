//! Policies: the nearer one wins, field by field.

use selvedge_tests::origin::Origin;
use serde_json::{Value, json};

use crate::{Mesh, ask, orders, other, policy_for, rule};

const NAMESPACE: &str = "{kind: Namespace}";
const SERVICE: &str = "{kind: Service, name: orders}";

fn cookie(name: &str) -> String {
    format!("affinity: {{cookie: {{name: {name}}}}}")
}

/// Name of the cookie that an answer to a request for this host and path sets.
fn named(mesh: &Mesh, host: &str, path: &str) -> Option<String> {
    let answer = mesh.client().get(host, path);
    assert_eq!(answer.status, 200, "{host}{path}");
    answer.field("set-cookie").map(|set| set.split('=').next().unwrap().to_owned())
}

#[test]
fn a_service_overrides_its_namespace_field_by_field() {
    let (origin, carts) = (Origin::named("ok"), Origin::named("ok"));
    let limit = "rateLimit: {requests: 1, per: 1h, key: {header: x-limited}}";
    let mesh = Mesh::of(&[
        orders(&[origin.address]),
        other("carts", &carts),
        policy_for("all", NAMESPACE, &format!("{{{}, {limit}}}", cookie("namespace"))),
        policy_for("one", SERVICE, &format!("{{{}}}", cookie("service"))),
    ]);
    assert_eq!(named(&mesh, "carts.shop", "/").as_deref(), Some("namespace"));
    assert_eq!(named(&mesh, "orders.shop", "/").as_deref(), Some("service"), "the nearer one says it");
    assert_eq!(mesh.get("/").status, 429, "and what it leaves out the namespace says");
}

#[test]
fn a_port_overrides_its_service_and_a_rule_both() {
    let origin = Origin::named("ok");
    let mut service = orders(&[origin.address]);
    service[0]["spec"]["ports"] = json!([{"name": "http", "port": 80}, {"name": "admin", "port": 81}]);
    let mut slice = service[1].clone();
    slice["metadata"]["name"] = "orders-admin".into();
    slice["ports"][0]["name"] = "admin".into();
    let spec = |name: &str| format!("{{{}}}", cookie(name));
    let mesh = Mesh::of(&[
        service,
        vec![slice],
        rule("near", "[{matches: [{path: {prefix: /near}}]}]"),
        policy_for("service", SERVICE, &spec("service")),
        policy_for("port", "{kind: Service, name: orders, port: 81}", &spec("port")),
        policy_for("rule", "{kind: RouteRule, name: near}", &spec("rule")),
    ]);
    for (host, path, wanted) in [
        ("orders.shop", "/", "service"),
        ("orders.shop:81", "/", "port"),
        ("orders.shop", "/near", "rule"),
        ("orders.shop:81", "/near", "rule"),
    ] {
        assert_eq!(named(&mesh, host, path).as_deref(), Some(wanted), "{host}{path}");
    }
}

#[test]
fn of_two_policies_for_the_same_the_older_one_wins() {
    let origin = Origin::named("ok");
    let born = |name: &str, when: &str| {
        let mut policy = policy_for(name, SERVICE, &format!("{{{}}}", cookie(name)));
        policy[0]["metadata"]["creationTimestamp"] = Value::from(when);
        policy
    };
    let mesh = Mesh::of(&[
        orders(&[origin.address]),
        born("a-young", "2026-02-01T00:00:00Z"),
        born("z-old", "2026-01-01T00:00:00Z"),
    ]);
    assert_eq!(named(&mesh, "orders.shop", "/").as_deref(), Some("z-old"));
}

#[test]
fn times_come_from_the_rule_then_the_service_then_the_namespace() {
    let silent = crate::silent();
    let with = |namespace: &str, service: &str, rules: &str| {
        let mesh = Mesh::of(&[
            orders(&[silent.address]),
            policy_for("all", NAMESPACE, namespace),
            policy_for("one", SERVICE, service),
            rule("rules", &format!("[{{matches: [{{path: {{prefix: /rule}}}}]{rules}}}]")),
        ]);
        ["/", "/rule"].map(|path| ask(&mut mesh.client(), &format!("GET {path}"), "").status)
    };
    // Were the longer time taken, the test would wait for it.
    let (short, long) = ("{timeouts: {request: 30ms}}", "{timeouts: {request: 1h}}");
    assert_eq!(with(short, "{}", ""), [504, 504]);
    assert_eq!(with(long, short, ""), [504, 504]);
    assert_eq!(with(long, "{timeouts: {request: 1h, backend: 30ms}}", ""), [504, 504]);
    assert_eq!(with(long, short, ", timeouts: {request: 20ms}"), [504, 504]);
}

#[test]
fn a_policy_of_another_namespace_has_no_say() {
    let origin = Origin::named("ok");
    let mut foreign = policy_for("foreign", SERVICE, "{rateLimit: {requests: 1, per: 1h}}");
    foreign[0]["metadata"]["namespace"] = "web".into();
    let mut all = policy_for("all", NAMESPACE, "{rateLimit: {requests: 1, per: 1h}}");
    all[0]["metadata"]["namespace"] = "web".into();
    let mesh = Mesh::of(&[orders(&[origin.address]), foreign, all]);
    assert_eq!([(); 3].map(|()| mesh.get("/").status), [200; 3]);
}
