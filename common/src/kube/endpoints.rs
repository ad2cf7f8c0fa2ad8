//! Endpoints of a Service port, merged from its EndpointSlices.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use k8s_openapi::api::discovery::v1 as discovery;

use super::{objects::Kind, reader::Reader, store::ServiceName, switch};
use crate::{
    id::ObjectRef,
    model::{Endpoint, EndpointState, Endpoints, Problem, Severity},
};

/// Which port of which Service a backend's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSource {
    /// The Service whose EndpointSlices count.
    pub service: ServiceName,
    /// Name of the Service port, empty if it has none: slices carry the same name beside the port of the pods.
    pub port_name: Arc<str>,
    /// Port for slices that restrict none (`ports[].port` absent).
    pub default_port: u16,
    /// The same port of the twin, for a Service that is switched to the router or on its way there or back: then either
    /// may have the pods, or both. The addresses of the router itself never count.
    pub twin: Option<Box<EndpointSource>>,
}

impl EndpointSource {
    /// It and its twin.
    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |source| source.twin.as_deref())
    }
}

/// The endpoints of a Service port, sorted and each address once, with what is wrong in the slices.
pub fn endpoints(reader: &Reader<'_>, source: &EndpointSource) -> (Endpoints, Vec<Problem>) {
    let mut merged: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
    let mut problems = Vec::new();
    let slices =
        source.all().flat_map(|source| reader.slices(&source.service).map(move |slice| (source, slice)));
    for (source, slice) in slices.filter(|(_, slice)| !switch::is_of_router(slice)) {
        if slice.address_type == "FQDN" {
            problems.push(fqdn_problem(slice));
            continue;
        }
        let Some(port) = port_of(slice, source) else { continue };
        for (index, endpoint) in slice.endpoints.iter().flatten().enumerate() {
            match read_endpoint(slice, index, endpoint, port) {
                Ok(Some(endpoint)) => {
                    // A pod that moves between slices is in both for a moment; the better state counts.
                    let entry = merged.entry(endpoint.address).or_insert_with(|| endpoint.clone());
                    if endpoint < *entry {
                        *entry = endpoint;
                    }
                }
                Ok(None) => {}
                Err(problem) => problems.push(*problem),
            }
        }
    }
    (merged.into_values().collect(), problems)
}

fn port_of(slice: &discovery::EndpointSlice, source: &EndpointSource) -> Option<u16> {
    let port = slice.ports.iter().flatten().find(|port| {
        port.name.as_deref().unwrap_or_default() == &*source.port_name
            && matches!(port.protocol.as_deref(), None | Some("" | "TCP"))
    })?;
    match port.port {
        None => Some(source.default_port),
        Some(number) => u16::try_from(number).ok().filter(|number| *number != 0),
    }
}

fn read_endpoint(
    slice: &discovery::EndpointSlice,
    index: usize,
    endpoint: &discovery::Endpoint,
    port: u16,
) -> Result<Option<Endpoint>, Box<Problem>> {
    let Some(state) = state_of(endpoint.conditions.as_ref()) else { return Ok(None) };
    // The API gives no meaning to addresses beyond the first.
    let text = endpoint.addresses.first().map(String::as_str).unwrap_or_default();
    let address = text.parse::<IpAddr>().ok().filter(|address| match slice.address_type.as_str() {
        "IPv4" => address.is_ipv4(),
        "IPv6" => address.is_ipv6(),
        _ => false,
    });
    let Some(address) = address else {
        return Err(Box::new(Problem {
            object: slice_ref(slice),
            field: format!("endpoints[{index}].addresses[0]"),
            severity: Severity::Error,
            reason: "InvalidAddress".into(),
            message: format!(
                "{text:?} is not an address of type {:?}; it gets no requests",
                slice.address_type
            ),
        }));
    };
    let zone = endpoint.zone.as_deref().map(Arc::from);
    let hints = hints_of(endpoint);
    Ok(Some(Endpoint { address: SocketAddr::new(address, port), state, zone, hints }))
}

/// The zones that an endpoint is meant for, sorted and each once.
fn hints_of(endpoint: &discovery::Endpoint) -> Arc<[Arc<str>]> {
    let zones = endpoint.hints.iter().flat_map(|hints| hints.for_zones.iter().flatten());
    let zones: BTreeSet<Arc<str>> = zones.map(|zone| zone.name.as_str().into()).collect();
    zones.into_iter().collect()
}

/// `None` if the endpoint gets no request at all. A condition that is absent counts as the API documents it:
/// ready and serving as true, terminating as false.
fn state_of(conditions: Option<&discovery::EndpointConditions>) -> Option<EndpointState> {
    let Some(conditions) = conditions else { return Some(EndpointState::Ready) };
    if conditions.ready.unwrap_or(true) {
        return Some(EndpointState::Ready);
    }
    let draining = conditions.serving.unwrap_or(true) && conditions.terminating.unwrap_or(false);
    draining.then_some(EndpointState::Draining)
}

fn fqdn_problem(slice: &discovery::EndpointSlice) -> Problem {
    Problem {
        object: slice_ref(slice),
        field: "addressType".into(),
        severity: Severity::Error,
        reason: "UnsupportedAddressType".into(),
        message: "names are not resolved: use IPv4 or IPv6, or a Service of type ExternalName".into(),
    }
}

fn slice_ref(slice: &discovery::EndpointSlice) -> ObjectRef {
    let metadata = &slice.metadata;
    ObjectRef::new(
        Kind::EndpointSlice.name(),
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kube::{
        known::Known,
        objects::{Object, ObjectEvent},
        store::{Objects, SERVICE_NAME_LABEL},
    };

    fn slice(name: &str, family: &str, ports: Value, endpoints: Value) -> Object {
        Object::from_json(
            Kind::EndpointSlice,
            json!({
                "metadata": {"name": name, "namespace": "ns", "labels": {SERVICE_NAME_LABEL: "shop"}},
                "addressType": family, "ports": ports, "endpoints": endpoints,
            }),
        )
        .unwrap()
    }

    fn merged(slices: Vec<Object>) -> (Vec<String>, Vec<String>) {
        let mut objects = Objects::default();
        for slice in slices {
            objects.apply(ObjectEvent::Applied(slice));
        }
        let known = Known::default();
        let reader = Reader::new(&objects, &known);
        let source = EndpointSource {
            service: ServiceName::new("ns", "shop"),
            port_name: "web".into(),
            default_port: 80,
            twin: None,
        };
        let (endpoints, problems) = endpoints(&reader, &source);
        let print = |e: &Endpoint| match e.state {
            EndpointState::Ready => e.address.to_string(),
            EndpointState::Draining => format!("{} draining", e.address),
        };
        (endpoints.iter().map(print).collect(), problems.into_iter().map(|p| p.reason).collect())
    }

    fn web() -> Value {
        json!([{"name": "admin", "port": 9000}, {"name": "web", "port": 8080}])
    }

    #[test]
    fn conditions_decide_the_state() {
        let table = [
            (json!(null), Some("192.0.2.1:8080")),
            (json!({}), Some("192.0.2.1:8080")),
            (json!({"ready": true}), Some("192.0.2.1:8080")),
            (json!({"ready": true, "terminating": true}), Some("192.0.2.1:8080")),
            (json!({"ready": false}), None),
            (json!({"ready": false, "serving": true, "terminating": false}), None),
            (json!({"ready": false, "serving": true, "terminating": true}), Some("192.0.2.1:8080 draining")),
            (json!({"ready": false, "serving": false, "terminating": true}), None),
        ];
        for (conditions, want) in table {
            let endpoint = json!([{"addresses": ["192.0.2.1"], "conditions": conditions}]);
            let (got, _) = merged(vec![slice("a", "IPv4", web(), endpoint)]);
            assert_eq!(got, want.into_iter().collect::<Vec<_>>(), "{conditions}");
        }
    }

    #[test]
    fn hints_are_the_zones_that_an_endpoint_is_meant_for_sorted() {
        let table = [
            (json!(null), vec![]),
            (json!({}), vec![]),
            (json!({"forZones": [{"name": "b"}, {"name": "a"}, {"name": "b"}]}), vec!["a", "b"]),
        ];
        for (hints, want) in table {
            let endpoint = serde_json::from_value(json!({"addresses": ["192.0.2.1"], "hints": hints}));
            let got = hints_of(&endpoint.unwrap());
            assert_eq!(got.iter().map(|zone| &**zone).collect::<Vec<_>>(), want, "{hints}");
        }
    }

    #[test]
    fn slices_are_merged_sorted_and_without_duplicates() {
        let (got, problems) = merged(vec![
            slice("b", "IPv4", web(), json!([{"addresses": ["192.0.2.9"]}, {"addresses": ["192.0.2.1"]}])),
            slice(
                "a",
                "IPv4",
                web(),
                json!([{"addresses": ["192.0.2.1"], "conditions":
                    {"ready": false, "serving": true, "terminating": true}}]),
            ),
            slice("c", "IPv6", web(), json!([{"addresses": ["2001:db8::1"]}])),
        ]);
        assert_eq!(got, ["192.0.2.1:8080", "192.0.2.9:8080", "[2001:db8::1]:8080"]);
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn ports_are_found_by_name() {
        let one = json!([{"addresses": ["192.0.2.1"]}]);
        let table = [
            (json!([{"name": "other", "port": 1}]), vec![]),
            (json!([{"name": "web", "port": 1, "protocol": "UDP"}]), vec![]),
            (json!([{"name": "web"}]), vec!["192.0.2.1:80"]),
            (json!([{"name": "web", "port": 0}]), vec![]),
            (json!([{"name": "web", "port": 70000}]), vec![]),
            (json!([]), vec![]),
        ];
        for (ports, want) in table {
            assert_eq!(merged(vec![slice("a", "IPv4", ports.clone(), one.clone())]).0, want, "{ports}");
        }
    }

    #[test]
    fn addresses_that_do_not_fit_are_told_and_leave_the_rest() {
        let bad = json!([{"addresses": ["nonsense"]}, {"addresses": []}, {"addresses": ["2001:db8::1"]},
            {"addresses": ["192.0.2.1"]}]);
        let (got, problems) = merged(vec![slice("a", "IPv4", web(), bad)]);
        assert_eq!(got, ["192.0.2.1:8080"]);
        assert_eq!(problems, ["InvalidAddress"; 3]);
        let (got, problems) =
            merged(vec![slice("a", "FQDN", web(), json!([{"addresses": ["shop.example"]}]))]);
        assert_eq!((got, problems), (vec![], vec!["UnsupportedAddressType".to_owned()]));
    }
}
