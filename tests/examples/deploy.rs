//! `examples/deploy`: well-formed objects, the rights that the code uses and no more, flags that the program knows.

use std::collections::{BTreeMap, BTreeSet};

use clap::{CommandFactory, Parser};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Service, ServiceAccount},
    networking::v1::IngressClass,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding},
};
use selvedge_common::program;
use selvedge_ingress::{
    args::{Arguments, Command, RunArgs},
    class::CONTROLLER,
    translate,
};
use selvedge_tests::{
    api_server::ApiServer,
    edge::{self, Edge, eventually},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::files;

/// Every object of the folder with the name of its file.
fn deployed() -> Vec<(String, Value)> {
    let objects = files("examples/deploy").into_iter().flat_map(|(path, text)| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are text").to_owned();
        edge::objects(&text).into_iter().map(move |object| (name.clone(), object))
    });
    objects.collect()
}

/// The objects of a kind.
fn of_kind<T: DeserializeOwned>(kind: &str) -> Vec<T> {
    let objects = deployed().into_iter().filter(|(_, object)| object["kind"] == kind);
    objects.map(|(_, object)| serde_json::from_value(object).expect("checked by another test")).collect()
}

/// What of an object is lost when it is read as its type; empty if nothing is.
fn lost<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    match serde_json::from_value::<T>(object.clone()) {
        Err(error) => vec![error.to_string()],
        Ok(read) => {
            let mut lost = Vec::new();
            compare("", object, &serde_json::to_value(read).expect("objects are JSON"), &mut lost);
            lost
        }
    }
}

fn compare(path: &str, said: &Value, kept: &Value, lost: &mut Vec<String>) {
    match (said, kept) {
        (Value::Object(said), Value::Object(kept)) => {
            for (name, said) in said {
                compare(&format!("{path}.{name}"), said, kept.get(name).unwrap_or(&Value::Null), lost);
            }
        }
        (Value::Array(said), Value::Array(kept)) if said.len() == kept.len() => {
            for (number, (said, kept)) in said.iter().zip(kept).enumerate() {
                compare(&format!("{path}[{number}]"), said, kept, lost);
            }
        }
        _ if said == kept => {}
        _ => lost.push(format!("{path} is not a field of this kind, or not of this form")),
    }
}

fn lost_of_kind(object: &Value) -> Vec<String> {
    match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some("apps/v1"), Some("Deployment")) => lost::<Deployment>(object),
        (Some("v1"), Some("Namespace")) => lost::<Namespace>(object),
        (Some("v1"), Some("Service")) => lost::<Service>(object),
        (Some("v1"), Some("ServiceAccount")) => lost::<ServiceAccount>(object),
        (Some("networking.k8s.io/v1"), Some("IngressClass")) => lost::<IngressClass>(object),
        (Some("policy/v1"), Some("PodDisruptionBudget")) => lost::<PodDisruptionBudget>(object),
        (Some("rbac.authorization.k8s.io/v1"), Some("ClusterRole")) => lost::<ClusterRole>(object),
        (Some("rbac.authorization.k8s.io/v1"), Some("ClusterRoleBinding")) => {
            lost::<ClusterRoleBinding>(object)
        }
        (Some("rbac.authorization.k8s.io/v1"), Some("Role")) => lost::<Role>(object),
        (Some("rbac.authorization.k8s.io/v1"), Some("RoleBinding")) => lost::<RoleBinding>(object),
        _ => vec!["a kind that is not known here".into()],
    }
}

#[test]
fn every_field_is_one_of_its_kind() {
    let mut wrong = Vec::new();
    for (file, object) in deployed() {
        let kind = &object["kind"];
        wrong.extend(lost_of_kind(&object).into_iter().map(|lost| format!("{file}: {kind}: {lost}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_field_that_is_misspelt_is_found() {
    let text =
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, tagetPort: 1}]}}";
    let lost = lost_of_kind(&edge::objects(text)[0]);
    assert_eq!(lost.len(), 1);
    assert!(lost[0].starts_with(".spec.ports[0].tagetPort "), "{lost:?}");
}

/// Statuses that are written where the custom resources are, which this test has none of.
const OF_CUSTOM_RESOURCES: [&str; 2] =
    ["selvedge.dev/routerules/status", "selvedge.dev/trafficpolicies/status"];

/// `group/resource` to verbs.
type Rights = BTreeMap<String, BTreeSet<String>>;

fn rights(rules: &[PolicyRule]) -> Rights {
    let mut rights = Rights::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.entry(format!("{group}/{resource}")).or_default().extend(rule.verbs.iter().cloned());
            }
        }
    }
    rights
}

fn wanted(table: &[(&str, &[&str])]) -> Rights {
    let row = |(resource, verbs): &(&str, &[&str])| {
        ((*resource).to_owned(), verbs.iter().map(ToString::to_string).collect())
    };
    table.iter().map(row).collect()
}

#[test]
fn rights_are_those_that_the_code_uses_and_no_more() {
    let mut cluster =
        wanted(&[("networking.k8s.io/ingresses/status", &["patch"]), ("events.k8s.io/events", &["create"])]);
    cluster.extend(wanted(&OF_CUSTOM_RESOURCES.map(|resource| (resource, &["patch"][..]))));
    for kind in <translate::Edge as program::Role>::KINDS {
        let resource = kind.resource();
        let verbs = ["get", "list", "watch"].map(str::to_owned).into();
        cluster.insert(format!("{}/{}", resource.group, resource.plural), verbs);
    }
    let [role] = &of_kind::<ClusterRole>("ClusterRole")[..] else { panic!("one ClusterRole") };
    assert_eq!(rights(role.rules.as_deref().unwrap_or_default()), cluster);
    let [role] = &of_kind::<Role>("Role")[..] else { panic!("one Role") };
    let lease = wanted(&[("coordination.k8s.io/leases", &["create", "get", "update"])]);
    assert_eq!(rights(role.rules.as_deref().unwrap_or_default()), lease);
    // What exists is reached by its name; what is made has none yet.
    let run = run();
    for rule in role.rules.iter().flatten() {
        let names = rule.resource_names.clone().unwrap_or_default();
        let wanted = if rule.verbs == ["create"] { vec![] } else { vec![run.publish.lease.name.clone()] };
        assert_eq!(names, wanted, "{:?}", rule.verbs);
    }
}

/// What a request to an API server needs.
fn needed(verb: &str, path: &str) -> (String, String) {
    let mut parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let group = if parts[0] == "api" { "" } else { parts.remove(1) };
    // The word `api` or `apis`, and the version.
    let mut rest = &parts[2..];
    if rest.len() > 2 && rest[0] == "namespaces" {
        rest = &rest[2..];
    }
    let resource = match rest {
        [resource, _, part] => format!("{group}/{resource}/{part}"),
        [resource, ..] => format!("{group}/{resource}"),
        [] => path.to_owned(),
    };
    let verb = match (verb, rest.len()) {
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("WATCH", _) => "watch",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        (other, _) => other,
    };
    (resource, verb.to_owned())
}

#[test]
fn requests_to_an_api_server_need_rights() {
    let cases = [
        ("GET", "/api/v1/secrets", "/secrets", "list"),
        ("WATCH", "/apis/discovery.k8s.io/v1/endpointslices", "discovery.k8s.io/endpointslices", "watch"),
        ("GET", "/api/v1/namespaces/a/services/b", "/services", "get"),
        (
            "PATCH",
            "/apis/networking.k8s.io/v1/namespaces/a/ingresses/b/status",
            "networking.k8s.io/ingresses/status",
            "patch",
        ),
    ];
    for (verb, path, resource, wanted) in cases {
        assert_eq!(needed(verb, path), (resource.to_owned(), wanted.to_owned()), "{verb} {path}");
    }
}

/// The edge with a published Service, a status to write, an event to tell and a lease to take and give back.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn everything_that_a_running_edge_asks_is_permitted() {
    let server = ApiServer::start().await;
    let backend = json!({"service": {"name": "missing", "port": {"number": 80}}});
    for object in [
        of_kind::<Value>("IngressClass").remove(0),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"},
            "spec": {"ingressClassName": "selvedge", "defaultBackend": backend},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        }),
    ] {
        server.create(object).await;
    }
    server.take_requests();
    let folder = edge::folder();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).expect("the folder can be written to");
    let seen = tokio::task::spawn_blocking(move || {
        let kubeconfig = kubeconfig.to_str().expect("paths of tests are text");
        let running = Edge::start(&["--kubeconfig", kubeconfig, "--publish-service", "default/edge"]);
        let mut seen = BTreeSet::new();
        let written = ["networking.k8s.io/ingresses/status", "events.k8s.io/events"];
        eventually("a status and an event", || {
            let requests = server.take_requests().into_iter();
            seen.extend(requests.map(|request| needed(&request.verb, &request.path)));
            written.iter().all(|wanted| seen.iter().any(|(resource, _)| resource == wanted)).then_some(())
        });
        // It gives the lease back.
        drop(running);
        let requests = server.take_requests().into_iter();
        seen.extend(requests.map(|request| needed(&request.verb, &request.path)));
        seen
    });
    let seen = seen.await.expect("the edge runs");
    let mut permitted = rights(of_kind::<ClusterRole>("ClusterRole")[0].rules.as_deref().unwrap_or_default());
    permitted.extend(rights(of_kind::<Role>("Role")[0].rules.as_deref().unwrap_or_default()));
    let denied = |(resource, verb): &&(String, String)| {
        !permitted.get(resource).is_some_and(|verbs| verbs.contains(verb))
    };
    assert_eq!(seen.iter().filter(denied).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    // What is permitted to be written is written, all of it.
    let writes = |verb: &str| !["get", "list", "watch"].contains(&verb);
    let is_asked =
        |(resource, _): &(&String, &BTreeSet<String>)| !OF_CUSTOM_RESOURCES.contains(&&***resource);
    for (resource, verbs) in permitted.iter().filter(is_asked) {
        for verb in verbs.iter().filter(|verb| writes(verb)) {
            assert!(seen.contains(&(resource.clone(), verb.clone())), "{verb} {resource} in {seen:?}");
        }
    }
}

#[test]
fn rights_are_bound_to_the_account_of_the_pods() {
    let deployment = deployment();
    let namespace = deployment.metadata.namespace.clone();
    let pod = deployment.spec.template.spec.expect("a Deployment has pods");
    let [account] = &of_kind::<ServiceAccount>("ServiceAccount")[..] else { panic!("one account") };
    assert_eq!(
        (&account.metadata.name, &account.metadata.namespace),
        (&pod.service_account_name, &namespace)
    );
    let [cluster] = &of_kind::<ClusterRoleBinding>("ClusterRoleBinding")[..] else { panic!("one binding") };
    let [own] = &of_kind::<RoleBinding>("RoleBinding")[..] else { panic!("one binding") };
    assert_eq!(own.metadata.namespace, namespace);
    for (role, subjects) in [(&cluster.role_ref, &cluster.subjects), (&own.role_ref, &own.subjects)] {
        let [subject] = &subjects.as_deref().unwrap_or_default() else { panic!("one subject") };
        assert_eq!(Some(&subject.name), account.metadata.name.as_ref());
        assert_eq!(subject.namespace, namespace);
        let roles = deployed().into_iter().filter(|(_, object)| object["kind"] == *role.kind);
        assert_eq!(roles.filter(|(_, object)| object["metadata"]["name"] == *role.name).count(), 1);
    }
}

fn deployment() -> Deployment {
    let [deployment] = &of_kind::<Deployment>("Deployment")[..] else { panic!("one Deployment") };
    deployment.clone()
}

/// What the container's arguments come to.
fn run() -> RunArgs {
    let pod = deployment().spec.template.spec.expect("a Deployment has pods");
    let args = pod.containers[0].args.clone().unwrap_or_default();
    let words = ["selvedge-ingress".to_owned()].into_iter().chain(args);
    match Arguments::try_parse_from(words).expect("the flags are accepted").command {
        Command::Run(run) => *run,
        Command::Check(_) => panic!("not the command run"),
    }
}

#[test]
fn flags_and_variables_of_the_container_are_those_of_the_program() {
    let run = run();
    let deployment = deployment();
    let namespace = deployment.metadata.namespace.clone().expect("it is in a namespace");
    let pod = deployment.spec.template.spec.expect("a Deployment has pods");
    let container = &pod.containers[0];
    let command = Arguments::command();
    let known = command.find_subcommand("run").expect("there is run").get_arguments();
    let known: BTreeSet<_> = known.filter_map(|known| known.get_env()?.to_str()).collect();
    for variable in container.env.iter().flatten() {
        assert!(known.contains(&*variable.name), "{} is no variable of the program", variable.name);
    }
    let ports = container.ports.iter().flatten().map(|port| (port.name.clone(), port.container_port));
    let ports: BTreeMap<_, _> = ports.map(|(name, port)| (name.unwrap_or_default(), port)).collect();
    let listen = [("http", run.listen.http), ("https", run.listen.https), ("admin", run.listen.admin)];
    for (name, address) in listen {
        assert_eq!(ports.get(name), Some(&i32::from(address.port())), "{name}");
        assert!(address.ip().is_unspecified(), "{name}: probes and the Service come from outside");
    }
    // What it publishes is the Service that is there.
    let published = run.publish.publish_service.expect("it publishes a Service");
    let services = of_kind::<Service>("Service");
    assert!(services.iter().any(|service| {
        let metadata = &service.metadata;
        metadata.name.as_deref() == Some(&*published.name)
            && metadata.namespace.as_deref() == Some(&*published.namespace)
    }));
    assert_eq!(*published.namespace, *namespace);
    // A pod gets the time that stopping takes.
    let most = run.drain.lameduck + run.drain.drain_deadline;
    let grace = pod.termination_grace_period_seconds.unwrap_or(30);
    assert!(grace >= 0 && u64::try_from(grace).is_ok_and(|grace| grace > most.as_secs()), "{grace} s");
}

#[test]
fn the_class_is_of_our_controller() {
    let [class] = &of_kind::<IngressClass>("IngressClass")[..] else { panic!("one class") };
    assert_eq!(class.spec.as_ref().and_then(|spec| spec.controller.as_deref()), Some(CONTROLLER));
}

#[test]
fn everything_is_in_the_namespace_that_is_made() {
    let [namespace] = &of_kind::<Namespace>("Namespace")[..] else { panic!("one namespace") };
    for (file, object) in deployed() {
        let own = object["metadata"]["namespace"].as_str();
        assert!(own.is_none() || own == namespace.metadata.name.as_deref(), "{file}: {own:?}");
    }
}
