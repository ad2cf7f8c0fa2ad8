//! `examples/deploy-router` and `examples/deploy-switch`: the router in a cluster.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};
use k8s_openapi::api::core::v1::Service;
use selvedge_common::program::Role;
use selvedge_router::{
    args::{Arguments, Command, RunArgs},
    translate::Tier,
};
use selvedge_tests::{api_server::ApiServer, client::Client, edge::eventually, router::Router};
use serde_json::{Value, json};

use super::{Deployed, asked, check_container, check_permitted, check_rights, kubeconfig, wanted};

pub(super) const DEPLOYED: Deployed = Deployed("examples/deploy-router");
/// The rights that it needs in addition to switch Services.
pub(super) const SWITCH: Deployed = Deployed("examples/deploy-switch");

/// What the container's arguments come to.
pub(crate) fn run() -> RunArgs {
    let words = DEPLOYED.words("selvedge-router");
    match Arguments::try_parse_from(words).expect("the flags are accepted").command {
        Command::Run(run) => *run,
        Command::Check(_) | Command::Graph(_) => panic!("not the command run"),
    }
}

/// The Service by which the router is reached.
pub(crate) fn service() -> Service {
    let name = run().switch.router_service;
    let services = DEPLOYED.of_kind::<Service>("Service").into_iter();
    let mut found = services.filter(|service| {
        let metadata = &service.metadata;
        (metadata.namespace.as_deref(), metadata.name.as_deref())
            == (Some(&*name.namespace), Some(&*name.name))
    });
    found.next().expect("the Service that --router-service names is deployed")
}

#[test]
fn rights_of_the_router_are_those_that_the_code_uses_and_no_more() {
    let writes: &[(&str, &[&str])] = &[
        ("selvedge.dev/routerules/status", &["patch"]),
        ("selvedge.dev/trafficpolicies/status", &["patch"]),
        ("events.k8s.io/events", &["create"]),
        ("authentication.k8s.io/tokenreviews", &["create"]),
    ];
    check_rights(&DEPLOYED, <Tier as Role>::KINDS, writes, &run().lease.name);
    let verbs: &[&str] = &["create", "delete", "patch"];
    let switch = wanted(&[("/services", verbs), ("discovery.k8s.io/endpointslices", verbs)]);
    assert_eq!(SWITCH.cluster_rights(), switch);
}

fn slice(service: &str, endpoints: Value) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": service, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints,
    })
}

/// The router with a Service to switch there, another that is on its way back, a token to verify, an event to tell and a
/// lease to take and give back.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn everything_that_a_running_router_asks_is_permitted() {
    let server = ApiServer::start().await;
    let service = |name: &str, labels: Value| {
        let ports = json!([{"port": 80, "appProtocol": if name == "odd" { "odd" } else { "http" }}]);
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels},
            "spec": {"selector": {"app": name}, "ports": ports}})
    };
    let mut twin = service("back-direct", json!({"selvedge.dev/twin-of": "back"}));
    twin["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Service", "name": "back", "uid": "any"}]);
    let mut left = slice("back", json!([]));
    left["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "router.selvedge.dev".into();
    for object in [
        service("router", json!({})),
        slice("router", json!([{"addresses": ["192.0.2.1"]}])),
        service("orders", json!({"selvedge.dev/via": "router"})),
        service("odd", json!({})),
        service("back", json!({})),
        twin,
        left,
    ] {
        server.create(object).await;
    }
    server.take_requests();
    let seen = tokio::task::spawn_blocking(move || {
        let (_folder, kubeconfig) = kubeconfig(&server);
        let own = ["--switch-services", "--router-service=default/router"];
        let running = Router::start(&[&["--kubeconfig", &kubeconfig], &own[..]].concat());
        let mut client = Client::connect(running.http);
        client.send("GET / HTTP/1.1\r\nHost: a.b\r\nX-Selvedge-Token: token\r\n\r\n");
        client.answer();
        let mut seen = BTreeSet::new();
        let written = [
            "authentication.k8s.io/tokenreviews create",
            "events.k8s.io/events create",
            "/services patch",
            "/services delete",
            "discovery.k8s.io/endpointslices patch",
            "discovery.k8s.io/endpointslices delete",
        ];
        eventually("all that it writes", || {
            seen.extend(asked(&server));
            let is_seen =
                |wanted: &&str| seen.iter().any(|(resource, verb)| **wanted == format!("{resource} {verb}"));
            written.iter().all(is_seen).then_some(())
        });
        // It gives the lease back.
        drop(running);
        seen.extend(asked(&server));
        seen
    });
    // What is applied and not there is created. There are no rules and policies whose status would be written.
    let without_cause = [
        ("/services", "create"),
        ("discovery.k8s.io/endpointslices", "create"),
        ("selvedge.dev/routerules/status", "patch"),
        ("selvedge.dev/trafficpolicies/status", "patch"),
    ];
    check_permitted(&[&DEPLOYED, &SWITCH], &seen.await.expect("the router runs"), &without_cause);
}

#[test]
fn flags_and_variables_of_the_container_are_those_of_the_router() {
    let run = run();
    check_container(
        &DEPLOYED,
        &Arguments::command(),
        &[("http", run.listen.http), ("admin", run.listen.admin)],
        &run.drain,
    );
}

#[test]
fn the_service_of_the_router_leads_to_its_plain_port_by_the_name_that_the_switch_looks_for() {
    let spec = service().spec.expect("a Service says something");
    let ports: Vec<_> = spec.ports.iter().flatten().collect();
    assert!(ports.iter().any(|port| port.name.as_deref() == Some("http") && port.port == 80));
    for port in ports {
        assert_eq!(serde_json::to_value(&port.target_port).expect("objects are JSON"), "http");
    }
}
