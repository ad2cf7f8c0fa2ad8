//! The plan: from what is observed of a Service to the next steps on its way to the router or back.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};

use super::{
    CLUSTER_MANAGER, RouterEndpoints, VIA_DIRECT, VIA_LABEL, VIA_ROUTER, is_managed_by, is_of_router,
    is_twin_of, objects,
    refusals::{self, refusal},
    router::is_ready,
    twin_name,
};
use crate::model::Problem;

/// What is observed of a Service.
#[derive(Clone, Debug)]
pub struct Observed<'o> {
    /// The Service.
    pub service: &'o core::Service,
    /// The Service of the twin's name.
    pub twin: Option<&'o core::Service>,
    /// The EndpointSlices of the Service.
    pub slices: Vec<&'o Arc<discovery::EndpointSlice>>,
    /// The EndpointSlices of the Service of the twin's name.
    pub twin_slices: Vec<&'o Arc<discovery::EndpointSlice>>,
    /// Where the router is reached; `None` if its Service is not known.
    pub router: Option<&'o RouterEndpoints>,
}

/// What is to be done next, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Steps, each to be taken when the one before it has been taken. What comes after them follows from what is
    /// observed then.
    pub actions: Vec<Action>,
    /// What keeps the Service from being as its label says.
    pub problems: Vec<Problem>,
}

/// One step. Each does nothing if it has been taken already.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write the twin.
    ApplyTwin {
        /// As it shall be.
        twin: Box<core::Service>,
        /// Whether there is one that was made here; else nothing of another one may be taken over.
        ours: bool,
    },
    /// Remove the twin.
    DeleteTwin {
        /// Its name.
        name: String,
        /// Which one of this name.
        uid: Option<String>,
    },
    /// Write a slice with the addresses of the router.
    ApplySlice(Box<discovery::EndpointSlice>),
    /// Remove such a slice.
    DeleteSlice {
        /// Its name.
        name: String,
        /// Which one of this name.
        uid: Option<String>,
    },
    /// Put the key by which no pod is selected into the selector of the Service, or take it out.
    SetSelector {
        /// Whether it shall be there.
        switched: bool,
        /// The version of the Service that was observed; a newer one is looked at anew.
        version: Option<String>,
    },
}

/// The next steps of a Service.
pub fn plan(observed: &Observed<'_>) -> Plan {
    let service = observed.service;
    let way = service.metadata.labels.as_ref().and_then(|labels| labels.get(VIA_LABEL)).map(String::as_str);
    if service.metadata.deletion_timestamp.is_some() {
        // All that is ours goes with it.
        return Plan::default();
    }
    let mut problems = match way {
        None | Some("" | VIA_DIRECT) => return Plan { actions: observed.back(), problems: Vec::new() },
        Some(VIA_ROUTER) if observed.is_switched_by_hand() => return Plan::default(),
        Some(VIA_ROUTER) => Vec::new(),
        Some(other) => vec![unknown_way(service, other)],
    };
    let is_unknown = !problems.is_empty();
    if is_unknown && !observed.leads_to_router() {
        return Plan { actions: Vec::new(), problems };
    }
    let obstacles = observed.obstacles();
    let refused = refusals::refuse(&obstacles);
    problems.extend(obstacles);
    if refused {
        return Plan { actions: observed.back(), problems };
    }
    let missing = match observed.router.map(|router| objects::slices(service, router)) {
        Some(Some(slices)) => {
            let mut actions = observed.forward(&slices);
            // What is there is kept up, and goes no further.
            actions.retain(|action| !is_unknown || !matches!(action, Action::SetSelector { .. }));
            return Plan { actions, problems };
        }
        Some(None) => refusal(service, label_field(), "RouterNotReady", NO_ROUTER),
        // Nobody would answer where the traffic goes now.
        None => refusal(service, label_field(), "RouterUnknown", UNKNOWN_ROUTER),
    };
    problems.push(missing);
    Plan { actions: observed.back(), problems }
}

const UNKNOWN_ROUTER: &str = "the Service of the router is not known (give it by --router-service; its namespace must be \
                              among those of --namespace)";
const NO_ROUTER: &str = "the router has no ready endpoint of each family of addresses that the Service has, on a port \
                         named \"http\"";

impl Observed<'_> {
    /// Towards the router: twin, slices with the router, selector.
    fn forward(&self, wanted: &[discovery::EndpointSlice]) -> Vec<Action> {
        let service = self.service;
        let is_switched = objects::is_switched(service);
        let mut actions: Vec<_> = self.mend_twin().into_iter().collect();
        // Whoever calls the twin, or is sent there by the router, must find all that the Service has.
        if !is_switched && self.ready_of_twin() < self.ready_of_service() {
            return actions;
        }
        let mine: Vec<_> = self.of_router().collect();
        let missing = wanted
            .iter()
            .filter(|wanted| !mine.iter().any(|slice| objects::is_slice(slice, wanted, service)));
        actions.extend(missing.map(|slice| Action::ApplySlice(Box::new(slice.clone()))));
        let extra = mine
            .iter()
            .filter(|slice| wanted.iter().all(|wanted| wanted.metadata.name != slice.metadata.name));
        actions.extend(extra.map(|slice| delete_slice(slice)));
        if actions.is_empty() && !is_switched {
            actions.push(self.set_selector(true));
        }
        actions
    }

    /// Back to the pods: selector, and when their slices are filled again, the slices with the router and the twin.
    fn back(&self) -> Vec<Action> {
        if objects::is_switched(self.service) {
            return vec![self.set_selector(false)];
        }
        let Some(twin) = self.twin.filter(|twin| objects::is_ours(twin, self.service)) else {
            return self.of_router().map(|slice| delete_slice(slice)).collect();
        };
        if self.fills_slices() && self.ready_of_service() < self.ready_of_twin() {
            return self.mend_twin().into_iter().collect();
        }
        let mut actions: Vec<_> = self.of_router().map(|slice| delete_slice(slice)).collect();
        if actions.is_empty() {
            let name = twin.metadata.name.clone().unwrap_or_default();
            actions.push(Action::DeleteTwin { name, uid: twin.metadata.uid.clone() });
        }
        actions
    }

    /// What keeps the Service from the router.
    fn obstacles(&self) -> Vec<Problem> {
        let mut problems = refusals::refusals(self.service);
        if let Some(twin) = self.twin.filter(|twin| !objects::is_ours(twin, self.service)) {
            let name = twin.metadata.name.as_deref().unwrap_or_default();
            let why = format!("there is a Service {name:?} that is not its twin, which would have this name");
            problems.push(refusal(self.service, label_field(), "TwinNameTaken", &why));
        }
        problems
    }

    /// A person has made both: a Service whose external name leads to the router, and its twin.
    fn is_switched_by_hand(&self) -> bool {
        let is_external =
            self.service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName"));
        let name = self.service.metadata.name.as_deref().unwrap_or_default();
        is_external && self.twin.is_some_and(|twin| is_twin_of(twin, name))
    }

    fn mend_twin(&self) -> Option<Action> {
        let ours = self.twin.is_some_and(|twin| objects::is_ours(twin, self.service));
        match self.twin {
            Some(twin) if objects::is_twin(twin, self.service) => None,
            _ => Some(Action::ApplyTwin { twin: Box::new(objects::twin(self.service)), ours }),
        }
    }

    fn set_selector(&self, switched: bool) -> Action {
        Action::SetSelector { switched, version: self.service.metadata.resource_version.clone() }
    }

    /// Whether the cluster's controller makes slices for the Service at all.
    fn fills_slices(&self) -> bool {
        let Some(spec) = &self.service.spec else { return false };
        spec.type_.as_deref() != Some("ExternalName")
            && spec.selector.as_ref().is_some_and(|keys| !keys.is_empty())
    }

    fn of_router(&self) -> impl Iterator<Item = &Arc<discovery::EndpointSlice>> {
        self.slices.iter().copied().filter(|slice| is_of_router(slice))
    }

    /// Whether callers of the Service may come to the router.
    fn leads_to_router(&self) -> bool {
        objects::is_switched(self.service) || self.of_router().next().is_some()
    }

    fn ready_of_service(&self) -> usize {
        count_pods(&self.slices)
    }

    fn ready_of_twin(&self) -> usize {
        count_pods(&self.twin_slices)
    }
}

/// How many ready addresses the cluster's controller has put into these slices.
fn count_pods(slices: &[&Arc<discovery::EndpointSlice>]) -> usize {
    let of_cluster = slices.iter().filter(|slice| is_managed_by(slice, CLUSTER_MANAGER));
    let endpoints = of_cluster.flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints
        .filter(|endpoint| is_ready(endpoint))
        .filter_map(|endpoint| endpoint.addresses.first())
        .collect::<BTreeSet<_>>()
        .len()
}

fn delete_slice(slice: &discovery::EndpointSlice) -> Action {
    Action::DeleteSlice {
        name: slice.metadata.name.clone().unwrap_or_default(),
        uid: slice.metadata.uid.clone(),
    }
}

fn unknown_way(service: &core::Service, way: &str) -> Problem {
    let message = format!(
        "{way:?} is no way for its traffic, which stays as it is; say {VIA_ROUTER:?} or {VIA_DIRECT:?}"
    );
    Problem::error(&refusals::object(service), label_field(), "UnknownWay", message)
}

fn label_field() -> String {
    format!("metadata.labels[{VIA_LABEL}]")
}

/// The Service whose traffic hangs on what is said about a Service of this name: its own, or that whose twin it is.
pub(super) fn concerned(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(name.strip_suffix(super::TWIN_SUFFIX))
}

/// That of the Service of the router: nothing is ever done.
pub(super) fn plan_of_router(service: &core::Service) -> Plan {
    let problem = || refusal(service, label_field(), "NotSwitchable", "the router would call itself");
    Plan { actions: Vec::new(), problems: has_way(service).then(problem).into_iter().collect() }
}

/// The name of the twin of a Service.
pub(super) fn twin_of(service: &core::Service) -> String {
    twin_name(service.metadata.name.as_deref().unwrap_or_default())
}

/// Whether a Service says anything about its way.
pub(super) fn has_way(service: &core::Service) -> bool {
    service.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(VIA_LABEL))
}

#[cfg(test)]
mod tests;
