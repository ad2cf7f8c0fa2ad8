//! Tables of what is observed and what is done next.

use serde_json::{Value, json};

use super::*;
use crate::kube::{
    store::SERVICE_NAME_LABEL,
    switch::{MANAGED_BY_LABEL, SLICE_MANAGER, TWIN_OF_LABEL},
};

/// What an API server and the controllers of a cluster have of a Service.
#[derive(Clone)]
struct World {
    service: Value,
    twin: Option<Value>,
    slices: Vec<Value>,
    twin_slices: Vec<Value>,
    router: Option<Value>,
}

fn pods(name: &str, service: &str, addresses: &[&str]) -> Value {
    let endpoint = |address: &&str| json!({"addresses": [address], "conditions": {"ready": true}});
    json!({
        "metadata": {"name": name, "labels": {SERVICE_NAME_LABEL: service, MANAGED_BY_LABEL: CLUSTER_MANAGER}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

fn of_router(addresses: &[&str]) -> Value {
    let mut slice = pods("orders-via-router-ipv4", "orders", addresses);
    slice["metadata"]["labels"][MANAGED_BY_LABEL] = SLICE_MANAGER.into();
    slice["metadata"]["ownerReferences"] = owner();
    slice["ports"] = json!([{"name": "http", "port": 18080, "protocol": "TCP"}]);
    slice
}

fn owner() -> Value {
    json!([{"apiVersion": "v1", "kind": "Service", "name": "orders", "uid": "u1"}])
}

fn twin() -> Value {
    json!({
        "metadata": {"name": "orders-direct", "namespace": "shop", "uid": "u2", "labels": {TWIN_OF_LABEL: "orders"},
            "ownerReferences": owner()},
        "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.2", "selector": {"app": "orders"}, "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    })
}

impl World {
    /// A Service with two pods, and a router of two.
    fn new() -> Self {
        let service = json!({
            "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "labels": {}},
            "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "selector": {"app": "orders"},
                "ipFamilies": ["IPv4"], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
        });
        let mut router = pods("r", "router", &["192.0.2.1", "192.0.2.2"]);
        router["ports"] = json!([{"name": "http", "port": 18080, "protocol": "TCP"}]);
        Self {
            service,
            twin: None,
            slices: vec![pods("orders-x", "orders", &["10.1.0.1", "10.1.0.2"])],
            twin_slices: Vec::new(),
            router: Some(router),
        }
    }

    /// The same on its way to the router.
    fn via(way: &str) -> Self {
        let mut world = Self::new();
        world.service["metadata"]["labels"][VIA_LABEL] = way.into();
        world
    }

    /// With a twin that has these pods.
    fn twin(mut self, addresses: &[&str]) -> Self {
        self.twin = Some(twin());
        self.twin_slices = vec![pods("orders-direct-x", "orders-direct", addresses)];
        self
    }

    /// With pods and addresses of the router in the slices of the Service.
    fn slices(mut self, addresses: &[&str], router: Option<&[&str]>) -> Self {
        self.slices = vec![pods("orders-x", "orders", addresses)];
        self.slices.extend(router.map(of_router));
        self
    }

    /// With the key in the selector.
    fn switched(mut self) -> Self {
        self.service["spec"]["selector"][VIA_LABEL] = VIA_ROUTER.into();
        self
    }

    fn plan(&self) -> (Vec<String>, Vec<String>) {
        let service = |value: &Value| serde_json::from_value::<core::Service>(value.clone()).unwrap();
        let slices = |values: &[Value]| {
            let read = |value: &Value| Arc::new(serde_json::from_value(value.clone()).unwrap());
            values.iter().map(read).collect::<Vec<Arc<discovery::EndpointSlice>>>()
        };
        let (of_service, twin) = (service(&self.service), self.twin.as_ref().map(service));
        let (own, of_twin) = (slices(&self.slices), slices(&self.twin_slices));
        let router = self.router.clone().map(|slice| RouterEndpoints::of(slices(&[slice]).iter()));
        let Plan { actions, problems } = plan(&Observed {
            service: &of_service,
            twin: twin.as_ref(),
            slices: own.iter().collect(),
            twin_slices: of_twin.iter().collect(),
            router: router.as_ref(),
        });
        (actions.iter().map(text).collect(), problems.into_iter().map(|problem| problem.reason).collect())
    }
}

fn text(action: &Action) -> String {
    match action {
        Action::ApplyTwin { ours, .. } => format!("twin{}", if *ours { " again" } else { "" }),
        Action::DeleteTwin { name, uid } => format!("no {name} {}", uid.as_deref().unwrap_or("?")),
        Action::ApplySlice(slice) => {
            let addresses = slice.endpoints.iter().flatten().map(|endpoint| &*endpoint.addresses[0]);
            let ports = slice.ports.iter().flatten().map(|port| {
                format!("{}={}", port.name.as_deref().unwrap_or("?"), port.port.unwrap_or_default())
            });
            format!("{} {}", addresses.collect::<Vec<_>>().join(","), ports.collect::<Vec<_>>().join(","))
        }
        Action::DeleteSlice { name, .. } => format!("no {name}"),
        Action::SetSelector { switched, version } => {
            format!("{} at {}", if *switched { "key" } else { "no key" }, version.as_deref().unwrap_or("?"))
        }
    }
}

const PODS: &[&str] = &["10.1.0.1", "10.1.0.2"];
const ROUTER: &[&str] = &["192.0.2.1", "192.0.2.2"];
const WRITE_SLICE: &str = "192.0.2.1,192.0.2.2 http=18080";

#[track_caller]
fn check(rows: &[(&str, World, &[&str], &[&str])]) {
    for (what, world, actions, problems) in rows {
        let (planned, wrong) = world.plan();
        assert_eq!((planned, wrong), (strings(actions), strings(problems)), "{what}");
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn to_the_router_each_step_waits_until_the_one_before_is_seen() {
    let via = || World::via("router");
    check(&[
        ("nothing is asked for", World::new(), &[], &[]),
        ("first a twin", via(), &["twin"], &[]),
        ("its slices are not there", via().twin(&[]), &[], &[]),
        ("nor all of its pods", via().twin(&PODS[..1]), &[], &[]),
        ("then the slice with the router", via().twin(PODS), &[WRITE_SLICE], &[]),
        ("then the selector", via().twin(PODS).slices(PODS, Some(ROUTER)), &["key at 7"], &[]),
        (
            "until the pods are gone nothing is done",
            via().twin(PODS).slices(PODS, Some(ROUTER)).switched(),
            &[],
            &[],
        ),
        ("nor after", via().twin(PODS).slices(&[], Some(ROUTER)).switched(), &[], &[]),
        ("without pods nobody waits for them", via().slices(&[], None), &["twin", WRITE_SLICE], &[]),
    ]);
}

#[test]
fn back_to_the_pods_the_router_goes_last() {
    let back = World::new;
    check(&[
        ("first the selector", back().twin(PODS).slices(&[], Some(ROUTER)).switched(), &["no key at 7"], &[]),
        ("the pods are not back", back().twin(PODS).slices(&[], Some(ROUTER)), &[], &[]),
        ("nor all of them", back().twin(PODS).slices(&PODS[..1], Some(ROUTER)), &[], &[]),
        (
            "then the slice goes",
            back().twin(PODS).slices(PODS, Some(ROUTER)),
            &["no orders-via-router-ipv4"],
            &[],
        ),
        ("then the twin", back().twin(PODS).slices(PODS, None), &["no orders-direct u2"], &[]),
        (
            "without pods nobody waits for them",
            back().twin(&[]).slices(&[], None),
            &["no orders-direct u2"],
            &[],
        ),
        ("a slice without a twin", back().slices(PODS, Some(ROUTER)), &["no orders-via-router-ipv4"], &[]),
        (
            "the label may say so",
            World::via("direct").twin(PODS).slices(PODS, None),
            &["no orders-direct u2"],
            &[],
        ),
    ]);
}

#[test]
fn what_was_switched_follows_its_service_and_the_router() {
    let on = || World::via("router").twin(PODS).slices(&[], Some(ROUTER)).switched();
    let with = |change: fn(&mut World)| {
        let mut world = on();
        change(&mut world);
        world
    };
    let port = json!({"name": "http-admin", "port": 90, "protocol": "TCP"});
    let mut more_ports = on();
    more_ports.service["spec"]["ports"].as_array_mut().unwrap().push(port);
    check(&[
        (
            "a pod of the router less",
            with(|world| drop(world.router.as_mut().unwrap()["endpoints"].as_array_mut().unwrap().pop())),
            &["192.0.2.1 http=18080"],
            &[],
        ),
        ("a port more", more_ports, &["twin again", "192.0.2.1,192.0.2.2 http=18080,http-admin=18080"], &[]),
        (
            "another selector",
            with(|w| w.service["spec"]["selector"]["app"] = "new".into()),
            &["twin again"],
            &[],
        ),
        (
            "another owner",
            with(|w| w.service["metadata"]["uid"] = "u9".into()),
            &["twin again", WRITE_SLICE],
            &[],
        ),
        ("the twin is gone", with(|world| world.twin = None), &["twin"], &[]),
        ("the slice is gone", on().slices(&[], None), &[WRITE_SLICE], &[]),
        (
            "a slice too many",
            with(|w| w.slices[1]["metadata"]["name"] = "old".into()),
            &[WRITE_SLICE, "no old"],
            &[],
        ),
        (
            "it is being deleted",
            with(|w| w.service["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into()),
            &[],
            &[],
        ),
    ]);
}

#[test]
fn what_cannot_be_goes_back_or_stays_and_is_told() {
    let on = || World::via("router").twin(PODS).slices(&[], Some(ROUTER)).switched();
    let with = |mut world: World, change: fn(&mut World)| {
        change(&mut world);
        world
    };
    check(&[
        ("no Service of the router", with(on(), |w| w.router = None), &["no key at 7"], &["RouterUnknown"]),
        (
            "nor when the pods are back",
            with(World::via("router").twin(PODS).slices(PODS, Some(ROUTER)), |w| w.router = None),
            &["no orders-via-router-ipv4"],
            &["RouterUnknown"],
        ),
        ("nor at first", with(World::via("router"), |w| w.router = None), &[], &["RouterUnknown"]),
        (
            "no router is ready",
            with(on(), |w| w.router.as_mut().unwrap()["endpoints"] = json!([])),
            &["no key at 7"],
            &["RouterNotReady"],
        ),
        (
            "no router in a family",
            with(on(), |w| w.service["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"])),
            &["no key at 7"],
            &["RouterNotReady"],
        ),
        (
            "it cannot be switched any more",
            with(on(), |w| w.service["spec"]["ports"][0]["appProtocol"] = "mysql".into()),
            &["no key at 7"],
            &["NotSwitchable"],
        ),
        ("another way", World::via("train"), &[], &["UnknownWay"]),
        (
            "another way of what is switched",
            with(on(), |w| w.service["metadata"]["labels"][VIA_LABEL] = "train".into()),
            &[],
            &["UnknownWay"],
        ),
        (
            "then it follows the router",
            with(on(), |w| {
                w.service["metadata"]["labels"][VIA_LABEL] = "train".into();
                w.router.as_mut().unwrap()["endpoints"].as_array_mut().unwrap().pop();
            }),
            &["192.0.2.1 http=18080"],
            &["UnknownWay"],
        ),
        (
            "and keeps its twin",
            with(on(), |w| {
                w.service["metadata"]["labels"][VIA_LABEL] = "train".into();
                w.twin = None;
            }),
            &["twin"],
            &["UnknownWay"],
        ),
        (
            "and goes no further",
            World::via("train").twin(PODS).slices(PODS, Some(ROUTER)),
            &[],
            &["UnknownWay"],
        ),
        (
            "and back without a router",
            with(on(), |w| {
                w.service["metadata"]["labels"][VIA_LABEL] = "train".into();
                w.router = None;
            }),
            &["no key at 7"],
            &["UnknownWay", "RouterUnknown"],
        ),
    ]);
}

#[test]
fn a_service_of_the_twins_name_is_left_alone() {
    let foreign = |change: fn(&mut Value)| {
        let mut world = World::via("router").twin(PODS);
        change(world.twin.as_mut().unwrap());
        world
    };
    let unlabelled = foreign(|twin| twin["metadata"]["labels"] = json!({}));
    let mut back = unlabelled.clone();
    back.service["metadata"]["labels"] = json!({});
    check(&[
        ("not a twin", unlabelled, &[], &["TwinNameTaken"]),
        (
            "of another",
            foreign(|t| t["metadata"]["labels"][TWIN_OF_LABEL] = "x".into()),
            &[],
            &["TwinNameTaken"],
        ),
        ("made by hand", foreign(|t| t["metadata"]["ownerReferences"] = json!([])), &[], &["TwinNameTaken"]),
        ("nor removed", back, &[], &[]),
    ]);
}

#[test]
fn an_external_name_with_a_twin_was_switched_by_hand() {
    let mut by_hand = World::via("router").twin(PODS);
    by_hand.service["spec"] =
        json!({"type": "ExternalName", "externalName": "router.example", "ports": [{"port": 80}]});
    let mut alone = by_hand.clone();
    alone.twin = None;
    check(&[("both", by_hand, &[], &[]), ("without a twin", alone, &[], &["NotSwitchable"])]);
}

#[test]
fn the_twin_has_all_but_addresses_and_the_key() {
    let mut world = World::via("router").switched();
    world.service["spec"]["ports"] = json!([{"port": 80, "nodePort": 30080, "targetPort": "web"}]);
    world.service["spec"]["publishNotReadyAddresses"] = true.into();
    let service = serde_json::from_value(world.service).unwrap();
    let twin = serde_json::to_value(objects::twin(&service)).unwrap();
    let wanted = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "orders-direct", "namespace": "shop", "labels": {TWIN_OF_LABEL: "orders"},
            "ownerReferences": owner()},
        "spec": {"type": "ClusterIP", "selector": {"app": "orders"}, "ipFamilies": ["IPv4"],
            "publishNotReadyAddresses": true, "ports": [{"port": 80, "protocol": "TCP", "targetPort": "web"}]},
    });
    assert_eq!(twin, wanted);
    let twin = serde_json::from_value(twin).unwrap();
    assert!(objects::is_twin(&twin, &service) && objects::is_ours(&twin, &service));
}
