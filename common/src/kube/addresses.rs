//! The addresses that clients reach the edge by, for the status of Ingress objects.

use std::{net::IpAddr, pin::pin};

use futures_util::StreamExt;
use k8s_openapi::api::{core::v1 as core, networking::v1::IngressLoadBalancerIngress};
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use tokio::sync::watch;

/// An IP address or a host name, as the status has it.
pub fn address(text: &str) -> IngressLoadBalancerIngress {
    let mut entry = IngressLoadBalancerIngress::default();
    match text.parse::<IpAddr>() {
        Ok(_) => entry.ip = Some(text.into()),
        Err(_) => entry.hostname = Some(text.into()),
    }
    entry
}

/// The addresses of a Service, sorted.
///
/// ingress-nginx: ExternalName by its name, ClusterIP by its cluster address, NodePort by its external addresses
/// or else its cluster address, LoadBalancer by its status and its external addresses.
pub fn of_service(service: &core::Service) -> Vec<IngressLoadBalancerIngress> {
    let spec = service.spec.clone().unwrap_or_default();
    let external: Vec<_> = spec.external_ips.iter().flatten().map(|ip| address(ip)).collect();
    let cluster = spec.cluster_ip.iter().filter(|ip| !ip.is_empty() && *ip != "None");
    let cluster: Vec<_> = cluster.map(|ip| address(ip)).collect();
    let mut addresses = match spec.type_.as_deref().unwrap_or("ClusterIP") {
        "ExternalName" => spec.external_name.iter().map(|name| address(name)).collect(),
        "LoadBalancer" => {
            let status = service.status.clone().unwrap_or_default().load_balancer.unwrap_or_default();
            let balanced = status.ingress.into_iter().flatten().map(|entry| IngressLoadBalancerIngress {
                ip: entry.ip,
                hostname: entry.hostname,
                ports: None,
            });
            balanced.chain(external).collect()
        }
        _ if external.is_empty() => cluster,
        _ => external,
    };
    sort(&mut addresses);
    addresses
}

/// Puts addresses in the order in which they are written and compared.
pub fn sort(addresses: &mut Vec<IngressLoadBalancerIngress>) {
    addresses.sort_by(|a, b| (&a.ip, &a.hostname).cmp(&(&b.ip, &b.hostname)));
    addresses.dedup();
}

/// Follows the addresses of one Service until the receivers are gone; `None` until it has been seen.
pub async fn follow_service(
    client: Client,
    namespace: &str,
    name: &str,
    addresses: watch::Sender<Option<Vec<IngressLoadBalancerIngress>>>,
) {
    let api: Api<core::Service> = Api::namespaced(client, namespace);
    let mut versions = pin!(watch_object(api, name).default_backoff());
    let mut failing = false;
    loop {
        let next = tokio::select! {
            next = versions.next() => next,
            () = addresses.closed() => return,
        };
        let now = match next {
            Some(Ok(Some(service))) => of_service(&service),
            Some(Ok(None)) => {
                tracing::warn!(service = format!("{namespace}/{name}"), "published Service does not exist");
                Vec::new()
            }
            Some(Err(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(service = format!("{namespace}/{name}"), %error, "cannot be watched");
                }
                continue;
            }
            None => return,
        };
        failing = false;
        addresses.send_if_modified(|before| {
            let changed = before.as_ref() != Some(&now);
            *before = Some(now);
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_of_each_type_has_its_addresses() {
        let cases = [
            (serde_json::json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}}), "10.0.0.1"),
            (serde_json::json!({"spec": {"clusterIP": "None"}}), ""),
            (serde_json::json!({"spec": {"type": "ExternalName", "externalName": "x.test"}}), "x.test"),
            (serde_json::json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1"}}), "10.0.0.1"),
            (
                serde_json::json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "externalIPs": ["9.9.9.9", "1.1.1.1"]}}),
                "1.1.1.1 9.9.9.9",
            ),
            (
                serde_json::json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "externalIPs": ["9.9.9.9"]},
                    "status": {"loadBalancer": {"ingress": [{"ip": "9.9.9.9", "ports": [{"port": 80, "protocol": "TCP"}]},
                    {"hostname": "lb.test"}]}}}),
                "lb.test 9.9.9.9 9.9.9.9",
            ),
            (serde_json::json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}}), ""),
        ];
        for (service, wanted) in cases {
            let mut wanted: Vec<_> = wanted.split_whitespace().map(address).collect();
            sort(&mut wanted);
            assert_eq!(of_service(&serde_json::from_value(service.clone()).unwrap()), wanted, "{service}");
        }
    }
}
