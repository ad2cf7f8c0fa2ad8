//! Random RouteRules, TrafficPolicies and RouteGrants.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::select;

/// A RouteRule without its name.
pub fn route_rule() -> impl Strategy<Value = Value> {
    let target = select([
        json!({"service": "orders"}),
        json!({"service": "orders"}),
        json!({"service": "orders", "port": 81}),
        json!({"service": "carts"}),
        json!({"service": "catrs"}),
        json!({"host": "api.example"}),
        json!({"host": "orders.n"}),
        json!({"host": "bad:1"}),
        json!({}),
    ]);
    let head = (created(), select([0, 0, 1, -1, 5000]), vec(target, 1..3));
    (head, vec(rule(), 0..3)).prop_map(|((created, priority, targets), rules)| {
        let spec = json!({"targets": targets, "priority": priority, "rules": rules});
        json!({"metadata": created, "spec": spec})
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let matches = select([
        json!([]),
        json!([{"path": {"prefix": "/a"}}]),
        json!([{"path": {"prefix": "/a"}}, {"path": {"exact": "/b"}, "methods": ["GET"]}]),
        json!([{"headers": [{"name": "x-a", "present": false}]}]),
        json!([{"from": [{"serviceAccount": "web"}]}]),
        json!([{"path": {"regex": "(a"}}]),
    ]);
    let action = select([
        json!({}),
        json!({"respond": {"status": 200, "body": "yes"}}),
        json!({"redirect": {"prefix": "/c", "host": "c.example"}}),
        json!({"redirect": {}}),
        json!({"rewrite": {"prefix": "/c"}, "headers": {"request": {"set": {"host": "a", "x-a": "b"}}}}),
        json!({"fault": {"abort": {"grpcStatus": 14}}, "retry": {"on": ["5xx"], "budget": {"percent": 1}}}),
        json!({"retry": {"budget": {"percent": 2}}, "timeouts": {"request": "1s", "backend": "2s"}}),
    ]);
    (
        option::of(select(["a", "b", "1"])),
        matches,
        action,
        vec(backend(), 0..3),
        option::weighted(0.2, backend()),
    )
        .prop_map(|(name, matches, action, backends, mirror)| {
            let mut rule = action;
            rule["matches"] = matches;
            if let Some(name) = name {
                rule["name"] = json!(name);
            }
            rule["backends"] = json!(backends);
            if let Some(mut mirror) = mirror {
                mirror["percent"] = json!(5);
                rule["mirror"] = json!([mirror]);
            }
            rule
        })
}

fn backend() -> impl Strategy<Value = Value> {
    let service = select(["orders", "orders", "carts", "orders-direct", "ordres"]);
    let namespace = option::weighted(0.3, select(["n", "m"]));
    let port = option::weighted(0.5, select([80, 81]));
    (service, namespace, port, select([0, 1, 9])).prop_map(|(service, namespace, port, weight)| {
        let mut backend = json!({"service": service, "weight": weight});
        if let Some(namespace) = namespace {
            backend["namespace"] = json!(namespace);
        }
        if let Some(port) = port {
            backend["port"] = json!(port);
        }
        backend
    })
}

/// A TrafficPolicy without its name.
pub fn traffic_policy() -> impl Strategy<Value = Value> {
    let target = select([
        json!({"kind": "Service", "name": "orders"}),
        json!({"kind": "Service", "name": "orders"}),
        json!({"kind": "Service", "name": "orders", "port": 81}),
        json!({"kind": "Service", "name": "catrs"}),
        json!({"kind": "RouteRule", "name": "r"}),
        json!({"kind": "Namespace"}),
        json!({"kind": "Namespace", "name": "m"}),
        json!({"kind": "HTTPRoute", "name": "x"}),
    ]);
    let fields = select([
        json!({"slowStart": {"window": "1s"}}),
        json!({"slowStart": {"window": "2s"}, "proxyProtocol": "v1"}),
        json!({"balance": {"algorithm": "Hash", "hash": {"header": "x-a"}}}),
        json!({"timeouts": {"request": "3s"}, "retryBudget": {"percent": 7}}),
        json!({"rateLimit": {"requests": 5, "per": "1s"}}),
        json!({"rateLimit": {"requests": 5, "per": "0s", "key": {}}}),
        json!({"tls": {"ca": {"configMap": "ca"}, "clientCertificate": {"secret": "tls"}}}),
        json!({"tls": {"ca": {"secret": "ca"}}, "zone": {"prefer": true}}),
        json!({"healthCheck": {"http": {"path": "/healthz"}}}),
    ]);
    (created(), vec(target, 1..3), fields).prop_map(|(created, targets, fields)| {
        let mut spec = fields;
        spec["targets"] = json!(targets);
        json!({"metadata": created, "spec": spec})
    })
}

/// A RouteGrant without its name.
pub fn route_grant() -> impl Strategy<Value = Value> {
    let from = select([
        json!([{"namespace": "n"}]),
        json!([{"namespace": "m", "kind": "RouteRule"}]),
        json!([{"namespace": "n", "kind": "Ingress"}, {"namespace": "m"}]),
    ]);
    (from, select([json!([]), json!([{"service": "orders"}]), json!([{}])]))
        .prop_map(|(from, to)| json!({"spec": {"from": from, "to": to}}))
}

fn created() -> impl Strategy<Value = Value> {
    option::of(select([1, 2])).prop_map(|year| match year {
        Some(year) => json!({"creationTimestamp": format!("202{year}-01-01T00:00:00Z")}),
        None => json!({}),
    })
}
