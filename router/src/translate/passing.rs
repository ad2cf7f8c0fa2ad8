//! Passing on: how requests for unknown hosts are sent on, and which addresses they never go to.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1 as core;
use selvedge_common::{
    id::ListenerName,
    kube::{
        rules::{self, BackendName, Context},
        service::tcp_ports,
    },
    model::{Listener, PassThrough, Retry, RetryOn},
};

use crate::settings::Settings;

/// The Service of the API server.
const API_SERVER: (&str, &str) = ("default", "kubernetes");

/// Has the listeners pass requests for unknown hosts on, if the settings say so. They never go to the API server, whose
/// rights are not those of whoever can reach the router.
pub(super) fn allow(
    cx: &mut Context<'_, '_>,
    settings: &Settings,
    listeners: &mut BTreeMap<ListenerName, Listener>,
) {
    if !settings.pass_through {
        return;
    }
    let (namespace, service) = API_SERVER;
    let mut passing = PassThrough {
        forbidden: Vec::new(),
        forbidden_backends: Vec::new(),
        backend: settings.backend.clone(),
        timeouts: settings.timeouts.clone(),
        retry: Retry {
            on: RetryOn { connect: true, reset: false, ..RetryOn::default() },
            ..settings.retry.clone()
        },
    };
    if let Some(found) = cx.reader.service(namespace, service) {
        passing.forbidden = cluster_addresses(found);
        for port in tcp_ports(found) {
            let name = BackendName { namespace, service, port: Some(port) };
            passing.forbidden_backends.extend(rules::resolve(cx, name, None).map(|(id, _)| id));
        }
        passing.forbidden_backends.sort();
    }
    let passing = Arc::new(passing);
    for listener in listeners.values_mut() {
        listener.pass_through = Some(passing.clone());
    }
}

/// The addresses within the cluster of a Service.
fn cluster_addresses(service: &core::Service) -> Vec<IpAddr> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let texts = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    // A Service without an address says `None`.
    let mut addresses: Vec<_> = texts.filter_map(|text| text.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
