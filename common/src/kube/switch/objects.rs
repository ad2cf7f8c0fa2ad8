//! The objects of a switched Service as they shall be: its twin, and slices with the addresses of the router.

use k8s_openapi::{
    api::{core::v1 as core, discovery::v1 as discovery},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use super::{
    MANAGED_BY_LABEL, RouterEndpoints, SLICE_MANAGER, TWIN_OF_LABEL, VIA_LABEL, VIA_ROUTER, is_twin_of,
    twin_name,
};
use crate::kube::store::SERVICE_NAME_LABEL;

/// The twin of a Service: the same pods and ports by the old way.
pub(super) fn twin(service: &core::Service) -> core::Service {
    let name = name(service);
    core::Service {
        metadata: metadata(service, twin_name(name), &[(TWIN_OF_LABEL, name)]),
        spec: Some(copied(service)),
        status: None,
    }
}

/// Whether a twin is as it shall be.
pub(super) fn is_twin(twin: &core::Service, service: &core::Service) -> bool {
    is_twin_of(twin, name(service)) && is_owned(&twin.metadata, service) && copied(twin) == copied(service)
}

/// Whether a Service of the twin's name was made here. A twin that a person made has no owner.
pub(super) fn is_ours(twin: &core::Service, service: &core::Service) -> bool {
    let name = name(service);
    let mut owners = twin.metadata.owner_references.iter().flatten();
    is_twin_of(twin, name) && owners.any(|owner| owner.kind == "Service" && owner.name == name)
}

/// The slices that lead a Service to the router, one for each family of addresses. `None` if the Service has a family by
/// which the router is not reached.
pub(super) fn slices(
    service: &core::Service,
    router: &RouterEndpoints,
) -> Option<Vec<discovery::EndpointSlice>> {
    let of_service = service.spec.as_ref().and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
    let families: Vec<&str> = match of_service {
        [] => router.families().collect(),
        families => families.iter().map(String::as_str).collect(),
    };
    let slices: Option<Vec<_>> = families.into_iter().map(|family| slice(service, router, family)).collect();
    slices.filter(|slices| !slices.is_empty())
}

/// Whether a slice is as it shall be.
pub(super) fn is_slice(
    slice: &discovery::EndpointSlice,
    wanted: &discovery::EndpointSlice,
    of: &core::Service,
) -> bool {
    let labels = |slice: &discovery::EndpointSlice| slice.metadata.labels.clone().unwrap_or_default();
    let has = labels(slice);
    slice.metadata.name == wanted.metadata.name
        && slice.address_type == wanted.address_type
        && slice.endpoints == wanted.endpoints
        && slice.ports == wanted.ports
        && is_owned(&slice.metadata, of)
        && labels(wanted).iter().all(|(label, value)| has.get(label) == Some(value))
}

/// Whether the key by which no pod is selected is in the selector of a Service.
pub(super) fn is_switched(service: &core::Service) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selector.get(VIA_LABEL).is_some_and(|value| value == VIA_ROUTER))
}

/// What a twin has of its Service, or of itself: all by which pods and ports are found, and how they are chosen.
fn copied(service: &core::Service) -> core::ServiceSpec {
    let spec = service.spec.clone().unwrap_or_default();
    let mut selector = spec.selector.unwrap_or_default();
    selector.remove(VIA_LABEL);
    let port = |port: core::ServicePort| core::ServicePort {
        // With its number it is the key of the port in the list.
        protocol: port.protocol.or_else(|| Some("TCP".into())),
        node_port: None,
        ..port
    };
    core::ServiceSpec {
        type_: Some("ClusterIP".into()),
        selector: Some(selector),
        ports: spec.ports.map(|ports| ports.into_iter().map(port).collect()),
        ip_families: spec.ip_families,
        ip_family_policy: spec.ip_family_policy,
        publish_not_ready_addresses: spec.publish_not_ready_addresses,
        session_affinity: spec.session_affinity,
        session_affinity_config: spec.session_affinity_config,
        traffic_distribution: spec.traffic_distribution,
        ..core::ServiceSpec::default()
    }
}

fn slice(
    service: &core::Service,
    router: &RouterEndpoints,
    family: &str,
) -> Option<discovery::EndpointSlice> {
    let reached = router.ready(family)?;
    let name = name(service);
    let slice_name = format!("{name}-via-router-{}", family.to_ascii_lowercase());
    let labels = [(SERVICE_NAME_LABEL, name), (MANAGED_BY_LABEL, SLICE_MANAGER)];
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let port = |port: &core::ServicePort| discovery::EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        protocol: Some("TCP".into()),
        port: Some(reached.port),
        app_protocol: None,
    };
    Some(discovery::EndpointSlice {
        metadata: metadata(service, slice_name, &labels),
        address_type: family.to_owned(),
        endpoints: Some(reached.endpoints.clone()),
        ports: Some(ports.iter().map(port).collect()),
    })
}

/// Of an object that goes when its Service goes.
fn metadata(service: &core::Service, name: String, labels: &[(&str, &str)]) -> ObjectMeta {
    let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Service".into(),
        name: self::name(service).to_owned(),
        uid: service.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    };
    ObjectMeta {
        name: Some(name),
        namespace: service.metadata.namespace.clone(),
        labels: Some(labels),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

fn is_owned(metadata: &ObjectMeta, by: &core::Service) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| Some(&owner.uid) == by.metadata.uid.as_ref())
}

fn name(service: &core::Service) -> &str {
    service.metadata.name.as_deref().unwrap_or_default()
}
