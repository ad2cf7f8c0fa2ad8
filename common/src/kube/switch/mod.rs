//! The switch of a Service: by its label the traffic to a Service goes through the router, while a twin keeps the old way.
//!
//! What is observed is compared with what shall be, step by step; nothing is remembered between the steps.

mod execute;
mod follow;
mod objects;
mod plan;
mod refusals;
mod router;

use std::sync::Arc;

pub use execute::{Steps, run};
pub use follow::{Followed, Switches, Touched};
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
pub use plan::{Action, Observed, Plan, plan};
pub use router::RouterEndpoints;

use super::reader::Reader;

/// Label of a Service whose value says which way its traffic goes, [`VIA_ROUTER`] or [`VIA_DIRECT`]; key in its selector
/// by which no pod is selected any more while it is switched.
pub const VIA_LABEL: &str = "selvedge.dev/via";
/// Through the router.
pub const VIA_ROUTER: &str = "router";
/// Straight to the pods, as without the label.
pub const VIA_DIRECT: &str = "direct";
/// What the name of the twin of a switched Service ends with; the twin has the endpoints.
pub const TWIN_SUFFIX: &str = "-direct";
/// Label of a twin; its value is the name of the Service whose twin it is.
pub const TWIN_OF_LABEL: &str = "selvedge.dev/twin-of";
/// Label by which an EndpointSlice names who writes it.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// Value of that label for slices with the addresses of the router.
pub const SLICE_MANAGER: &str = "router.selvedge.dev";
/// Value of that label for slices with the addresses of pods.
const CLUSTER_MANAGER: &str = "endpointslice-controller.k8s.io";

/// The twin of a Service, if it has one. One whose name fits but that does not say whose twin it is, is another Service.
pub fn twin<'a>(reader: &Reader<'a>, namespace: &str, name: &str) -> Option<&'a Arc<core::Service>> {
    let twin = reader.service(namespace, &twin_name(name))?;
    is_twin_of(twin, name).then_some(twin)
}

/// Whether an EndpointSlice has the addresses of the router in place of those of the pods.
pub fn is_of_router(slice: &discovery::EndpointSlice) -> bool {
    is_managed_by(slice, SLICE_MANAGER)
}

fn is_managed_by(slice: &discovery::EndpointSlice, manager: &str) -> bool {
    slice
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(MANAGED_BY_LABEL))
        .is_some_and(|by| by == manager)
}

fn is_twin_of(twin: &core::Service, name: &str) -> bool {
    twin.metadata.labels.as_ref().and_then(|labels| labels.get(TWIN_OF_LABEL)).is_some_and(|of| of == name)
}

fn twin_name(name: &str) -> String {
    format!("{name}{TWIN_SUFFIX}")
}
