//! Follows the events of a program and says what is to be done for the Services that they touch.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Observed, RouterEndpoints,
    plan::{concerned, has_way, plan, plan_of_router, twin_of},
};
use crate::{
    kube::{
        objects::{Kind, Object, ObjectEvent},
        store::{Objects, ServiceName, service_of},
    },
    model::Problem,
};

/// The Services that are switched or on their way.
#[derive(Debug)]
pub struct Switches {
    /// The Service of the router.
    router: ServiceName,
    /// Where it was last reached.
    endpoints: Option<RouterEndpoints>,
    /// What was said last of Services of which there was anything to say.
    told: BTreeMap<ServiceName, Told>,
}

#[derive(Debug, Default)]
struct Told {
    is_busy: bool,
    problems: Vec<Problem>,
}

/// What events touch.
#[derive(Debug, Default)]
pub struct Touched {
    services: BTreeSet<ServiceName>,
}

/// What came of them.
#[derive(Debug, Default, PartialEq)]
pub struct Followed {
    /// The next steps of Services, in place of those that were said before.
    pub steps: Vec<(ServiceName, Vec<Action>)>,
    /// Problems that were not there before.
    pub added: Vec<Problem>,
    /// Problems that are gone.
    pub removed: Vec<Problem>,
}

impl Switches {
    /// Switches to the router that is reached by this Service.
    pub fn new(router: ServiceName) -> Self {
        Self { router, endpoints: None, told: BTreeMap::new() }
    }

    /// All that is wrong now.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.told.values().flat_map(|told| &told.problems)
    }

    /// What these events touch, before they are taken into `objects`.
    pub fn touched(&self, objects: &Objects, events: &[ObjectEvent]) -> Touched {
        let mut touched = Touched::default();
        for event in events {
            let (key, after) = match event {
                ObjectEvent::Applied(object) => (object.key(), Some(object)),
                ObjectEvent::Deleted(key) => (key.clone(), None),
            };
            match key.kind {
                Kind::Service => touched.add(&ServiceName { namespace: key.namespace, name: key.name }),
                Kind::EndpointSlice => {
                    let before = objects.get(key.kind, &key.namespace, &key.name);
                    let services = [before, after].into_iter().flatten().filter_map(service_of);
                    services.for_each(|service| touched.add(&service));
                }
                _ => {}
            }
        }
        touched
    }

    /// What is to be done, when the events have been taken in.
    pub fn follow(&mut self, objects: &Objects, mut touched: Touched) -> Followed {
        if touched.services.contains(&self.router) && self.look_at_router(objects) {
            let switched = objects.of_kind(Kind::Service).filter_map(|object| match object {
                Object::Service(service) if has_way(service) => Some(object.key()),
                _ => None,
            });
            let names = switched.map(|key| ServiceName { namespace: key.namespace, name: key.name });
            touched.services.extend(names);
        }
        let mut followed = Followed::default();
        for name in touched.services {
            self.look_at(objects, name, &mut followed);
        }
        followed
    }

    /// Whether it is reached otherwise than before.
    fn look_at_router(&mut self, objects: &Objects) -> bool {
        let is_there = objects.get(Kind::Service, &self.router.namespace, &self.router.name).is_some();
        let now = is_there.then(|| RouterEndpoints::of(objects.slices(&self.router)));
        let changed = self.endpoints != now;
        self.endpoints = now;
        changed
    }

    fn look_at(&mut self, objects: &Objects, name: ServiceName, followed: &mut Followed) {
        let planned = self.plan(objects, &name);
        let now = Told { is_busy: !planned.actions.is_empty(), problems: planned.problems };
        let before = self.told.remove(&name).unwrap_or_default();
        if now.is_busy || before.is_busy {
            followed.steps.push((name.clone(), planned.actions));
        }
        followed.added.extend(now.problems.iter().filter(|new| !before.problems.contains(new)).cloned());
        followed.removed.extend(before.problems.into_iter().filter(|old| !now.problems.contains(old)));
        if now.is_busy || !now.problems.is_empty() {
            self.told.insert(name, now);
        }
    }

    fn plan(&self, objects: &Objects, name: &ServiceName) -> super::Plan {
        let service = |name: &str, namespace: &str| match objects.get(Kind::Service, namespace, name) {
            Some(Object::Service(service)) => Some(&**service),
            _ => None,
        };
        let Some(observed) = service(&name.name, &name.namespace) else { return super::Plan::default() };
        if *name == self.router {
            return plan_of_router(observed);
        }
        let twin_name = ServiceName::new(&name.namespace, &twin_of(observed));
        plan(&Observed {
            service: observed,
            twin: service(&twin_name.name, &twin_name.namespace),
            slices: objects.slices(name).collect(),
            twin_slices: objects.slices(&twin_name).collect(),
            router: self.endpoints.as_ref(),
        })
    }
}

impl Touched {
    fn add(&mut self, service: &ServiceName) {
        let names = concerned(&service.name).map(|name| ServiceName::new(&service.namespace, name));
        self.services.extend(names);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kube::{
        store::SERVICE_NAME_LABEL,
        switch::{MANAGED_BY_LABEL, VIA_LABEL},
    };

    struct Follower {
        objects: Objects,
        switches: Switches,
    }

    impl Follower {
        fn new() -> Self {
            Self { objects: Objects::default(), switches: Switches::new(ServiceName::new("mesh", "router")) }
        }

        fn take(&mut self, events: Vec<ObjectEvent>) -> (Vec<String>, usize, usize) {
            let touched = self.switches.touched(&self.objects, &events);
            for event in events {
                self.objects.apply(event);
            }
            let Followed { steps, added, removed } = self.switches.follow(&self.objects, touched);
            let text =
                |(name, actions): (ServiceName, Vec<Action>)| format!("{} {}", name.name, actions.len());
            (steps.into_iter().map(text).collect(), added.len(), removed.len())
        }
    }

    fn service(namespace: &str, name: &str, labels: Value) -> ObjectEvent {
        let value = json!({"metadata": {"namespace": namespace, "name": name, "uid": name, "labels": labels},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}});
        ObjectEvent::Applied(Object::from_json(Kind::Service, value).unwrap())
    }

    fn slice(namespace: &str, service: &str, address: &str) -> ObjectEvent {
        let labels =
            json!({SERVICE_NAME_LABEL: service, MANAGED_BY_LABEL: "endpointslice-controller.k8s.io"});
        let value = json!({"metadata": {"namespace": namespace, "name": service, "labels": labels},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": [{"addresses": [address]}]});
        ObjectEvent::Applied(Object::from_json(Kind::EndpointSlice, value).unwrap())
    }

    fn steps(texts: &[&str], added: usize, removed: usize) -> (Vec<String>, usize, usize) {
        (texts.iter().map(ToString::to_string).collect(), added, removed)
    }

    #[test]
    fn only_what_is_touched_is_looked_at_and_the_router_touches_all_that_lead_to_it() {
        let mut follower = Follower::new();
        let via = || json!({VIA_LABEL: "router"});
        let first = vec![
            service("mesh", "router", json!({})),
            slice("mesh", "router", "192.0.2.1"),
            service("shop", "orders", via()),
            service("shop", "carts", json!({})),
        ];
        assert_eq!(follower.take(first), steps(&["orders 2"], 0, 0));
        assert_eq!(follower.take(vec![service("shop", "carts", json!({}))]), steps(&[], 0, 0));
        assert_eq!(follower.take(vec![slice("mesh", "router", "192.0.2.2")]), steps(&["orders 2"], 0, 0));
        assert_eq!(follower.take(vec![slice("mesh", "router", "192.0.2.2")]), steps(&[], 0, 0));
        // Slices of a twin touch the Service whose twin it is.
        assert_eq!(
            follower.take(vec![slice("shop", "orders-direct", "192.0.2.7")]),
            steps(&["orders 2"], 0, 0)
        );
        // What shall not be done any more is taken back.
        assert_eq!(follower.take(vec![service("shop", "orders", json!({}))]), steps(&["orders 0"], 0, 0));
        assert_eq!(follower.take(vec![service("shop", "orders", json!({}))]), steps(&[], 0, 0));
    }

    #[test]
    fn problems_are_told_once_and_taken_back_when_they_are_gone() {
        let mut follower = Follower::new();
        let orders = || service("shop", "orders", json!({VIA_LABEL: "router"}));
        assert_eq!(follower.take(vec![orders()]), steps(&[], 1, 0));
        assert_eq!(follower.take(vec![orders()]), steps(&[], 0, 0));
        assert_eq!(follower.switches.problems().count(), 1);
        let router = vec![service("mesh", "router", json!({})), slice("mesh", "router", "192.0.2.1")];
        assert_eq!(follower.take(router), steps(&["orders 2"], 0, 1));
        let gone =
            ObjectEvent::Deleted(crate::kube::objects::ObjectKey::new(Kind::Service, "shop", "orders"));
        assert_eq!(follower.take(vec![gone]), steps(&["orders 0"], 0, 0));
        assert_eq!(follower.switches.problems().count(), 0);
    }

    #[test]
    fn the_router_is_never_led_to_itself() {
        let mut follower = Follower::new();
        assert_eq!(
            follower.take(vec![service("mesh", "router", json!({VIA_LABEL: "router"}))]),
            steps(&[], 1, 0)
        );
    }
}
