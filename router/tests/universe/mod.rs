//! A small universe of objects and random sequences of what happens to them.

mod ours;

use clap::Parser;
use proptest::{collection::vec, option, prelude::*};
use selvedge_common::kube::objects::{Kind, Object, ObjectEvent, ObjectKey};
use selvedge_router::{
    args::{Arguments, Command},
    settings::Settings,
};
use serde_json::{Value, json};

const NAMESPACES: [&str; 3] = ["n", "n", "m"];
const SERVICES: [&str; 5] = ["orders", "orders", "orders-direct", "carts", "carts"];

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Happening {
    kind: Kind,
    /// The object as JSON without its name and namespace; `None` if it is deleted.
    value: Option<Value>,
    namespace: &'static str,
    name: &'static str,
}

/// What happens, batch by batch. Services come first, as without them most that follows is of no consequence.
pub fn batches() -> impl Strategy<Value = Vec<Vec<Happening>>> {
    let services = vec(one(Kind::Service, Just("n"), select(SERVICES), service()), 3..6);
    (services, vec(vec(happening(), 1..10), 1..10)).prop_map(|(services, mut batches)| {
        batches.insert(0, services);
        batches
    })
}

/// The same as events.
pub fn events(batch: &[Happening]) -> impl Iterator<Item = ObjectEvent> {
    batch.iter().map(Happening::event)
}

/// Random settings.
pub fn settings() -> impl Strategy<Value = Settings> {
    let flags: [&[&str]; 4] = [&[], &[], &["--namespace=n"], &["--suffix=mesh.example", "--namespace=m,n"]];
    select(flags).prop_map(|flags| {
        let words = ["selvedge-router", "run"].iter().chain(flags);
        match Arguments::try_parse_from(words).map(|arguments| arguments.command) {
            Ok(Command::Run(run)) => run.settings(),
            other => panic!("{other:?}"),
        }
    })
}

impl Happening {
    fn event(&self) -> ObjectEvent {
        let Some(mut value) = self.value.clone() else {
            return ObjectEvent::Deleted(ObjectKey::new(self.kind, self.namespace, self.name));
        };
        value["metadata"]["name"] = json!(self.name);
        value["metadata"]["namespace"] = json!(self.namespace);
        let object = Object::from_json(self.kind, value);
        ObjectEvent::Applied(object.expect("the universe has only readable objects"))
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let namespace = || select(NAMESPACES);
    prop_oneof![
        3 => one(Kind::Service, namespace(), select(SERVICES), service()),
        2 => one(Kind::EndpointSlice, namespace(), select(["e", "f"]), slice()),
        4 => one(Kind::RouteRule, namespace(), select(["r", "s", "t"]), ours::route_rule()),
        4 => one(Kind::TrafficPolicy, namespace(), select(["p", "q", "o"]), ours::traffic_policy()),
        2 => one(Kind::RouteGrant, namespace(), select(["g", "h"]), ours::route_grant()),
        1 => one(Kind::Secret, namespace(), select(["tls", "ca"]), secret()),
        1 => one(Kind::ConfigMap, namespace(), select(["ca", "cb"]), config_map()),
    ]
}

fn one(
    kind: Kind,
    namespace: impl Strategy<Value = &'static str>,
    name: impl Strategy<Value = &'static str>,
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Happening> {
    (namespace, name, option::weighted(0.75, value)).prop_map(move |(namespace, name, value)| Happening {
        kind,
        value,
        namespace,
        name,
    })
}

fn select<T: Clone + std::fmt::Debug + 'static>(values: impl Into<Vec<T>>) -> impl Strategy<Value = T> {
    proptest::sample::select(values.into())
}

fn service() -> impl Strategy<Value = Value> {
    let spec = select([
        json!({"ports": [{"port": 80}]}),
        json!({"ports": [{"port": 80}]}),
        json!({"ports": [{"port": 80, "name": "web"}, {"port": 81, "name": "grpc", "appProtocol": "grpc"}]}),
        json!({"ports": [{"port": 81, "appProtocol": "htps"}]}),
        json!({"ports": [{"port": 53, "protocol": "UDP"}]}),
        json!({"type": "ExternalName", "externalName": "origin.example"}),
        json!({"type": "ExternalName", "externalName": "localhost", "ports": [{"port": 80}]}),
    ]);
    let via = select([json!({}), json!({}), json!({"selvedge.dev/via": "router"})]);
    let port = select(["", "", "9001", "81=9002/tcp", "80=9001,81=9002", "nonsense"]);
    (spec, via, port).prop_map(|(spec, labels, port)| {
        let annotations = match port {
            "" => json!({}),
            port => json!({"selvedge.dev/router-port": port}),
        };
        json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
    })
}

fn slice() -> impl Strategy<Value = Value> {
    let endpoints = vec((select(["192.0.2.1", "192.0.2.2", "nonsense"]), any::<bool>()), 0..3);
    (select(SERVICES), select(["", "web"]), endpoints).prop_map(|(service, port, endpoints)| {
        let endpoint = |(address, ready): (&str, bool)| {
            json!({"addresses": [address], "conditions": {"ready": ready, "terminating": !ready}})
        };
        json!({
            "metadata": {"labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"name": port, "port": 8080}],
            "endpoints": endpoints.into_iter().map(endpoint).collect::<Vec<_>>(),
        })
    })
}

fn secret() -> impl Strategy<Value = Value> {
    const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    select([
        json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": CHAIN, "tls.key": KEY}}),
        json!({"type": "Opaque", "stringData": {"ca.crt": CHAIN}}),
        json!({"type": "Opaque"}),
    ])
}

fn config_map() -> impl Strategy<Value = Value> {
    select([json!({"data": {"ca.crt": "one"}}), json!({"data": {"ca.crt": "two"}}), json!({"data": {}})])
}
