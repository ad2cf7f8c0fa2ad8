//! Where the router itself is reached: the endpoints of its own Service.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::discovery::v1 as discovery;

use super::is_of_router;

/// Name of the port of the router's Service that leads to its plain listener.
const PORT_NAME: &str = "http";
/// Most endpoints that the API takes in one EndpointSlice.
const MOST_ENDPOINTS: usize = 1_000;

/// The endpoints of the router by family of addresses (`IPv4`, `IPv6`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterEndpoints(BTreeMap<String, Reached>);

/// One family: the port, and the endpoints in order of their addresses.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reached {
    pub(super) port: i32,
    pub(super) endpoints: Vec<discovery::Endpoint>,
}

impl RouterEndpoints {
    /// Reads them from the slices of the router's Service. While pods have different ports, those of the port that most
    /// of them have are taken.
    pub fn of<'s>(slices: impl Iterator<Item = &'s Arc<discovery::EndpointSlice>>) -> Self {
        let mut found: BTreeMap<(&str, i32), Vec<discovery::Endpoint>> = BTreeMap::new();
        for slice in slices.filter(|slice| !is_of_router(slice)) {
            let port = slice.ports.iter().flatten().find(|port| port.name.as_deref() == Some(PORT_NAME));
            let Some(port) = port.and_then(|port| port.port) else { continue };
            let endpoints = slice.endpoints.iter().flatten().map(without_hints);
            found.entry((&slice.address_type, port)).or_default().extend(endpoints);
        }
        let mut families: BTreeMap<String, Reached> = BTreeMap::new();
        for ((family, port), mut endpoints) in found {
            endpoints.sort_by(|a, b| a.addresses.cmp(&b.addresses));
            endpoints.dedup_by(|a, b| a.addresses == b.addresses);
            endpoints.truncate(MOST_ENDPOINTS);
            let best = families.get(family);
            if best.is_none_or(|best| count_ready(&best.endpoints) < count_ready(&endpoints)) {
                families.insert(family.to_owned(), Reached { port, endpoints });
            }
        }
        Self(families)
    }

    /// How it is reached by addresses of a family, if any of its endpoints there is ready.
    pub(super) fn ready(&self, family: &str) -> Option<&Reached> {
        self.0.get(family).filter(|reached| count_ready(&reached.endpoints) > 0)
    }

    /// The families by which it is reached.
    pub(super) fn families(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|family| self.ready(family).is_some())
    }
}

/// How many endpoints take new connections.
pub(super) fn count_ready(endpoints: &[discovery::Endpoint]) -> usize {
    endpoints.iter().filter(|endpoint| is_ready(endpoint)).count()
}

/// An absent condition counts as ready, as the API documents it.
pub(super) fn is_ready(endpoint: &discovery::Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

/// Hints were made for the Service of the router, from where that one is called.
fn without_hints(endpoint: &discovery::Endpoint) -> discovery::Endpoint {
    discovery::Endpoint { hints: None, deprecated_topology: None, hostname: None, ..endpoint.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(family: &str, port: i32, endpoints: Value) -> Arc<discovery::EndpointSlice> {
        let value = json!({"metadata": {"name": "s"}, "addressType": family, "endpoints": endpoints,
            "ports": [{"name": "proxy", "port": 1}, {"name": "http", "port": port}]});
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn addresses(router: &RouterEndpoints, family: &str) -> Option<(i32, Vec<String>)> {
        let reached = router.ready(family)?;
        let first = |endpoint: &discovery::Endpoint| endpoint.addresses[0].clone();
        Some((reached.port, reached.endpoints.iter().map(first).collect()))
    }

    #[test]
    fn endpoints_are_merged_by_family_and_sorted() {
        let two =
            json!([{"addresses": ["192.0.2.2"]}, {"addresses": ["192.0.2.1"], "hints": {"forZones": []}}]);
        let slices = [
            slice("IPv4", 8080, two),
            slice("IPv4", 8080, json!([{"addresses": ["192.0.2.1"]}])),
            slice("IPv6", 8080, json!([{"addresses": ["2001:db8::1"]}])),
        ];
        let router = RouterEndpoints::of(slices.iter());
        assert_eq!(addresses(&router, "IPv4"), Some((8080, vec!["192.0.2.1".into(), "192.0.2.2".into()])));
        assert_eq!(addresses(&router, "IPv6"), Some((8080, vec!["2001:db8::1".into()])));
        assert_eq!(router.families().collect::<Vec<_>>(), ["IPv4", "IPv6"]);
    }

    #[test]
    fn the_port_that_most_ready_pods_have_counts() {
        let ready = json!([{"addresses": ["192.0.2.1"]}, {"addresses": ["192.0.2.2"]}]);
        let not = json!({"ready": false});
        let starting = json!([{"addresses": ["192.0.2.3"], "conditions": not},
            {"addresses": ["192.0.2.4"], "conditions": not}, {"addresses": ["192.0.2.5"]}]);
        let slices = [slice("IPv4", 8080, ready), slice("IPv4", 8081, starting)];
        let router = RouterEndpoints::of(slices.iter());
        assert_eq!(addresses(&router, "IPv4").map(|(port, _)| port), Some(8080));
    }

    #[test]
    fn a_router_without_ready_endpoints_is_not_reached() {
        let not = json!([{"addresses": ["192.0.2.1"], "conditions": {"ready": false}}]);
        let router = RouterEndpoints::of([slice("IPv4", 8080, not)].iter());
        assert_eq!((addresses(&router, "IPv4"), router.families().count()), (None, 0));
        assert_eq!(RouterEndpoints::of([].iter()), RouterEndpoints::default());
    }
}
