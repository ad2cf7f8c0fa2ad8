//! Random RouteRules and TrafficPolicies, with what they refer to.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::select;

/// For Services and hosts of the universe.
pub fn route_rule() -> impl Strategy<Value = Value> {
    let target = select([
        json!({"service": "shop"}),
        json!({"service": "shop", "port": 80}),
        json!({"service": "cart", "port": 81}),
        json!({"host": "a.example"}),
        json!({"host": "a.example"}),
        json!({"host": "*.example"}),
        json!({"host": "c.example"}),
        json!({"host": "bad:1"}),
    ]);
    let rule = (request_match(), action()).prop_map(|(matches, mut rule)| {
        rule["matches"] = matches;
        rule
    });
    let created = option::of(select([1, 2, 3]));
    (created, vec(target, 1..3), select([0, 0, 0, 5]), vec(rule, 1..3)).prop_map(
        |(created, targets, priority, rules)| {
            let spec = json!({"targets": targets, "priority": priority, "rules": rules});
            let mut value = json!({"metadata": {}, "spec": spec});
            if let Some(year) = created {
                value["metadata"]["creationTimestamp"] = json!(format!("202{year}-01-01T00:00:00Z"));
            }
            value
        },
    )
}

fn request_match() -> impl Strategy<Value = Value> {
    select([
        json!([]),
        json!([{"path": {"prefix": "/"}}]),
        json!([{"path": {"prefix": "/a"}}]),
        json!([{"path": {"exact": "/a"}, "methods": ["GET"]}, {"path": {"prefix": "/a"}}]),
        json!([{"from": [{"namespace": "m"}]}]),
        json!([{"path": {"regex": "("}}]),
    ])
}

fn action() -> impl Strategy<Value = Value> {
    let backends = json!([{"service": "shop", "port": 80, "weight": 9}, {"service": "cart"}]);
    select([
        json!({}),
        json!({"backends": [{"service": "shop", "port": 80}]}),
        json!({"backends": backends, "mirror": [{"service": "shop-direct", "percent": 5}]}),
        json!({"backends": [{"service": "shop", "namespace": "n"}], "retry": {"attempts": 2, "budget": {"percent": 1}}}),
        json!({"backends": [{"service": "cart", "namespace": "m"}]}),
        json!({"respond": {"status": 200}}),
    ])
}

/// For objects of the universe.
pub fn policy() -> impl Strategy<Value = Value> {
    let target = select([
        json!({"kind": "Namespace"}),
        json!({"kind": "Service", "name": "shop"}),
        json!({"kind": "Service", "name": "shop", "port": 80}),
        json!({"kind": "Service", "name": "cart"}),
        json!({"kind": "Ingress", "name": "i"}),
        json!({"kind": "Ingress", "name": "i"}),
        json!({"kind": "RouteRule", "name": "r"}),
        json!({"kind": "HTTPRoute", "name": "r"}),
    ]);
    let said = select([
        json!({"timeouts": {"request": "5s"}}),
        json!({"timeouts": {"idle": "6s"}, "balance": {"algorithm": "LeastRequests"}}),
        json!({"balance": {"algorithm": "Ewma"}, "outlier": {"failures": 2}}),
        json!({"rateLimit": {"requests": 5, "per": "1s"}}),
        json!({"tls": {"ca": {"configMap": "ca"}}}),
        json!({"tls": {"ca": {"secret": "tls"}, "clientCertificate": {"secret": "tls"}}}),
    ]);
    (vec(target, 1..3), said).prop_map(|(targets, mut spec)| {
        spec["targets"] = json!(targets);
        json!({"spec": spec})
    })
}

/// For RouteRules of one namespace or of none.
pub fn grant() -> impl Strategy<Value = Value> {
    select([
        json!({"spec": {"from": [{"namespace": "n"}, {"namespace": "m", "kind": "RouteRule"}]}}),
        json!({"spec": {"from": [{"namespace": "x"}]}}),
    ])
}

/// With authorities or without.
pub fn config_map() -> impl Strategy<Value = Value> {
    select([json!({"data": {"ca.crt": "authorities"}}), json!({"data": {}})])
}
