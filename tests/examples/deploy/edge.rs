//! `examples/deploy`: the edge in a cluster.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};
use k8s_openapi::api::{core::v1::Service, networking::v1::IngressClass};
use selvedge_common::program::Role;
use selvedge_ingress::{
    args::{Arguments, Command, RunArgs},
    class::CONTROLLER,
    translate,
};
use selvedge_tests::{
    api_server::ApiServer,
    edge::{Edge, eventually},
};
use serde_json::{Value, json};

use super::{Deployed, asked, check_container, check_permitted, check_rights, kubeconfig};

pub(super) const DEPLOYED: Deployed = Deployed("examples/deploy");

/// What the container's arguments come to.
fn run() -> RunArgs {
    let words = DEPLOYED.words("selvedge-ingress");
    match Arguments::try_parse_from(words).expect("the flags are accepted").command {
        Command::Run(run) => *run,
        Command::Check(_) | Command::Migrate(_) => panic!("not the command run"),
    }
}

#[test]
fn rights_of_the_edge_are_those_that_the_code_uses_and_no_more() {
    let writes: &[(&str, &[&str])] = &[
        ("networking.k8s.io/ingresses/status", &["patch"]),
        ("selvedge.dev/routerules/status", &["patch"]),
        ("selvedge.dev/trafficpolicies/status", &["patch"]),
        ("selvedge.dev/edgeparameters/status", &["patch"]),
        ("events.k8s.io/events", &["create"]),
    ];
    check_rights(&DEPLOYED, <translate::Edge as Role>::KINDS, writes, &run().publish.lease.name);
}

/// The edge with a published Service, a status to write, an event to tell and a lease to take and give back.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn everything_that_a_running_edge_asks_is_permitted() {
    let server = ApiServer::start().await;
    let backend = json!({"service": {"name": "missing", "port": {"number": 80}}});
    for object in [
        DEPLOYED.the::<Value>("IngressClass"),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "other"},
            "spec": {
                "controller": CONTROLLER,
                "parameters": {"apiGroup": "selvedge.dev", "kind": "EdgeParameters", "name": "a"},
            },
        }),
        json!({
            "apiVersion": "selvedge.dev/v1alpha1", "kind": "EdgeParameters", "metadata": {"name": "a"},
            "spec": {"accessLog": false},
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"},
            "spec": {"ingressClassName": "selvedge", "defaultBackend": backend},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        }),
        json!({
            "apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteRule", "metadata": {"name": "a"},
            "spec": {"targets": [{"host": "a.example"}], "rules": [{"respond": {"status": 204}}]},
        }),
        json!({
            "apiVersion": "selvedge.dev/v1alpha1", "kind": "TrafficPolicy", "metadata": {"name": "a"},
            "spec": {"targets": [{"kind": "Ingress", "name": "a"}]},
        }),
    ] {
        server.create(object).await;
    }
    server.take_requests();
    let seen = tokio::task::spawn_blocking(move || {
        let (_folder, kubeconfig) = kubeconfig(&server);
        let running = Edge::start(&["--kubeconfig", &kubeconfig, "--publish-service", "default/edge"]);
        let mut seen = BTreeSet::new();
        let written = [
            "networking.k8s.io/ingresses/status",
            "selvedge.dev/routerules/status",
            "selvedge.dev/trafficpolicies/status",
            "selvedge.dev/edgeparameters/status",
            "events.k8s.io/events",
        ];
        eventually("statuses and an event", || {
            seen.extend(asked(&server));
            written.iter().all(|wanted| seen.iter().any(|(resource, _)| resource == wanted)).then_some(())
        });
        // It gives the lease back.
        drop(running);
        seen.extend(asked(&server));
        seen
    });
    check_permitted(&[&DEPLOYED], &seen.await.expect("the edge runs"), &[]);
}

#[test]
fn flags_and_variables_of_the_container_are_those_of_the_edge() {
    let run = run();
    let listen = [("http", run.listen.http), ("https", run.listen.https), ("admin", run.listen.admin)];
    check_container(&DEPLOYED, &Arguments::command(), &listen, &run.drain);
    // What it publishes is the Service that is there.
    let published = run.publish.publish_service.expect("it publishes a Service");
    let service = DEPLOYED.the::<Service>("Service");
    assert_eq!(service.metadata.name.as_deref(), Some(&*published.name));
    assert_eq!(service.metadata.namespace.as_deref(), Some(&*published.namespace));
}

#[test]
fn the_class_is_of_our_controller() {
    let class = DEPLOYED.the::<IngressClass>("IngressClass");
    assert_eq!(class.spec.as_ref().and_then(|spec| spec.controller.as_deref()), Some(CONTROLLER));
}
