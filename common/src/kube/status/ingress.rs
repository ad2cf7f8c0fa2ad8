//! The addresses of the edge in the status of Ingress objects.

use k8s_openapi::api::networking::v1::IngressLoadBalancerIngress;
use serde_json::{Map, Value, json};

use super::{Due, KnownStatus, Write, addresses};

/// What is to be done about the status of an Ingress; `wanted` is sorted.
pub(super) fn due(
    ours: bool,
    current: &[IngressLoadBalancerIngress],
    wanted: Option<&[IngressLoadBalancerIngress]>,
) -> Due {
    let Some(wanted) = wanted else { return Due::Nothing };
    let shall = if ours { wanted } else { &[] };
    let mut current = current.to_vec();
    addresses::sort(&mut current);
    match (current == shall, ours) {
        (true, true) => Due::Nothing,
        (true, false) => Due::Forget,
        (false, _) => {
            let then = ours.then(|| KnownStatus::Ingress { ours, current: shall.to_vec() });
            Due::Write(Box::new(Write { status: Some(status(shall)), then }))
        }
    }
}

fn status(addresses: &[IngressLoadBalancerIngress]) -> Value {
    let mut balancer = Map::new();
    if !addresses.is_empty() {
        balancer.insert("ingress".into(), json!(addresses));
    }
    json!({"loadBalancer": balancer})
}
