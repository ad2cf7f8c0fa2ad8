//! What is deployed: well-formed objects, the rights that the code uses and no more, flags that the programs know.

mod edge;
pub mod router;

use std::collections::{BTreeMap, BTreeSet};

use clap::Command;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, Namespace, PodSpec, Service, ServiceAccount},
    networking::v1::IngressClass,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject},
};
use selvedge_common::{kube::objects::Kind, program::args::DrainArgs};
use selvedge_tests::{api_server::ApiServer, edge::folder};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::files;

/// A folder with all that a program needs in a cluster.
struct Deployed(&'static str);

/// The folders.
const ALL: [Deployed; 3] = [edge::DEPLOYED, router::DEPLOYED, router::SWITCH];

impl Deployed {
    /// Every object of the folder with the name of its file.
    fn objects(&self) -> Vec<(String, Value)> {
        let objects = files(self.0).into_iter().flat_map(|(path, text)| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("names are text").to_owned();
            selvedge_tests::edge::objects(&text).into_iter().map(move |object| (name.clone(), object))
        });
        objects.collect()
    }

    /// The objects of a kind.
    fn of_kind<T: DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let objects = self.objects().into_iter().filter(|(_, object)| object["kind"] == kind);
        objects.map(|(_, object)| serde_json::from_value(object).expect("checked by another test")).collect()
    }

    /// The only object of a kind.
    fn the<T: DeserializeOwned>(&self, kind: &str) -> T {
        let mut objects = self.of_kind(kind);
        assert_eq!(objects.len(), 1, "{}: one {kind}", self.0);
        objects.remove(0)
    }

    /// The rights in the whole cluster.
    fn cluster_rights(&self) -> Rights {
        rights(self.the::<ClusterRole>("ClusterRole").rules.as_deref().unwrap_or_default())
    }

    /// The pods of the Deployment.
    fn pod(&self) -> PodSpec {
        let deployment = self.the::<Deployment>("Deployment");
        deployment.spec.template.spec.expect("a Deployment has pods")
    }

    /// The container of each pod.
    fn container(&self) -> Container {
        self.pod().containers.remove(0)
    }

    /// The words of the container's command line.
    fn words(&self, program: &str) -> Vec<String> {
        [program.to_owned()].into_iter().chain(self.container().args.unwrap_or_default()).collect()
    }
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
    for (file, object) in ALL.iter().flat_map(Deployed::objects) {
        let kind = &object["kind"];
        wrong.extend(lost_of_kind(&object).into_iter().map(|lost| format!("{file}: {kind}: {lost}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_field_that_is_misspelt_is_found() {
    let text =
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, tagetPort: 1}]}}";
    let lost = lost_of_kind(&selvedge_tests::edge::objects(text)[0]);
    assert_eq!(lost.len(), 1);
    assert!(lost[0].starts_with(".spec.ports[0].tagetPort "), "{lost:?}");
}

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

/// Every kind that is watched may be read, and besides what `writes` says; of Leases the one of this name.
fn check_rights(deployed: &Deployed, kinds: &[Kind], writes: &[(&str, &[&str])], lease_name: &str) {
    let mut cluster = wanted(writes);
    for kind in kinds {
        let resource = kind.resource();
        let verbs = ["get", "list", "watch"].map(str::to_owned).into();
        cluster.insert(format!("{}/{}", resource.group, resource.plural), verbs);
    }
    assert_eq!(deployed.cluster_rights(), cluster);
    let role = deployed.the::<Role>("Role");
    let lease = wanted(&[("coordination.k8s.io/leases", &["create", "get", "update"])]);
    assert_eq!(rights(role.rules.as_deref().unwrap_or_default()), lease);
    // What exists is reached by its name; what is made has none yet.
    for rule in role.rules.iter().flatten() {
        let names = rule.resource_names.clone().unwrap_or_default();
        let wanted = if rule.verbs == ["create"] { vec![] } else { vec![lease_name.to_owned()] };
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
        ("DELETE", _) => "delete",
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

/// What has been asked of an API server since the last call.
fn asked(server: &ApiServer) -> BTreeSet<(String, String)> {
    server.take_requests().into_iter().map(|request| needed(&request.verb, &request.path)).collect()
}

/// All that was asked is permitted, and what may be written was written, but for what the test gave no cause for.
fn check_permitted(
    deployed: &[&Deployed],
    seen: &BTreeSet<(String, String)>,
    without_cause: &[(&str, &str)],
) {
    let mut permitted = Rights::new();
    for deployed in deployed {
        let roles =
            deployed.of_kind::<Role>("Role").into_iter().flat_map(|role| role.rules.unwrap_or_default());
        let own = rights(&roles.collect::<Vec<_>>());
        for (resource, verbs) in deployed.cluster_rights().into_iter().chain(own) {
            permitted.entry(resource).or_default().extend(verbs);
        }
    }
    let denied = |(resource, verb): &&(String, String)| {
        !permitted.get(resource).is_some_and(|verbs| verbs.contains(verb))
    };
    assert_eq!(seen.iter().filter(denied).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    for (resource, verbs) in &permitted {
        for verb in verbs.iter().filter(|verb| !["get", "list", "watch"].contains(&verb.as_str())) {
            let is_seen = seen.contains(&(resource.clone(), verb.clone()));
            let is_excused = without_cause.contains(&(resource.as_str(), verb.as_str()));
            assert!(is_seen != is_excused, "{verb} {resource} in {seen:?}");
        }
    }
}

/// A kubeconfig of an API server, in a folder that lives as long as it is needed.
fn kubeconfig(server: &ApiServer) -> (tempfile::TempDir, String) {
    let folder = folder();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, server.kubeconfig()).expect("the folder can be written to");
    let path = path.to_str().expect("paths of tests are text").to_owned();
    (folder, path)
}

#[test]
fn rights_are_bound_to_the_account_of_the_pods() {
    for deployed in [edge::DEPLOYED, router::DEPLOYED] {
        let namespace = deployed.the::<Deployment>("Deployment").metadata.namespace;
        let account = deployed.the::<ServiceAccount>("ServiceAccount");
        assert_eq!(
            (&account.metadata.name, &account.metadata.namespace),
            (&deployed.pod().service_account_name, &namespace)
        );
        let own = deployed.the::<RoleBinding>("RoleBinding");
        assert_eq!(own.metadata.namespace, namespace);
        check_bound(&deployed, "Role", &own.role_ref.name, own.subjects.as_deref(), &account);
        check_cluster_bound(&deployed, &account);
    }
    check_cluster_bound(&router::SWITCH, &router::DEPLOYED.the::<ServiceAccount>("ServiceAccount"));
}

fn check_cluster_bound(deployed: &Deployed, account: &ServiceAccount) {
    let cluster = deployed.the::<ClusterRoleBinding>("ClusterRoleBinding");
    check_bound(deployed, "ClusterRole", &cluster.role_ref.name, cluster.subjects.as_deref(), account);
}

fn check_bound(
    deployed: &Deployed,
    kind: &str,
    role: &str,
    subjects: Option<&[Subject]>,
    account: &ServiceAccount,
) {
    let [subject] = subjects.unwrap_or_default() else { panic!("one subject") };
    assert_eq!(Some(&subject.name), account.metadata.name.as_ref());
    assert_eq!(subject.namespace, account.metadata.namespace);
    let roles = deployed.objects().into_iter().filter(|(_, object)| object["kind"] == *kind);
    assert_eq!(roles.filter(|(_, object)| object["metadata"]["name"] == *role).count(), 1);
}

/// Variables of the container are those of the program, its ports are those of the listeners, and a pod gets the time
/// that stopping takes.
fn check_container(
    deployed: &Deployed,
    command: &Command,
    listen: &[(&str, std::net::SocketAddr)],
    drain: &DrainArgs,
) {
    let container = deployed.container();
    let known = command.find_subcommand("run").expect("there is run").get_arguments();
    // The allocator has variables of its own.
    let known = known.filter_map(|known| known.get_env()?.to_str()).chain(["MIMALLOC_PURGE_DELAY"]);
    let known: BTreeSet<_> = known.collect();
    for variable in container.env.iter().flatten() {
        assert!(known.contains(&*variable.name), "{} is no variable of the program", variable.name);
    }
    let ports = container.ports.iter().flatten().map(|port| (port.name.clone(), port.container_port));
    let ports: BTreeMap<_, _> = ports.map(|(name, port)| (name.unwrap_or_default(), port)).collect();
    for (name, address) in listen {
        assert_eq!(ports.get(*name), Some(&i32::from(address.port())), "{name}");
        assert!(address.ip().is_unspecified(), "{name}: probes and the Service come from outside");
    }
    let most = drain.lameduck + drain.drain_deadline;
    let grace = deployed.pod().termination_grace_period_seconds.unwrap_or(30);
    assert!(grace >= 0 && u64::try_from(grace).is_ok_and(|grace| grace > most.as_secs()), "{grace} s");
}

#[test]
fn pods_have_nothing_that_they_do_not_need_and_are_spread() {
    for deployed in [edge::DEPLOYED, router::DEPLOYED] {
        let pod = serde_json::to_value(deployed.pod()).expect("objects are JSON");
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{}", deployed.0);
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{}", deployed.0);
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(container["readOnlyRootFilesystem"], true, "{}", deployed.0);
        assert_eq!(container["allowPrivilegeEscalation"], false, "{}", deployed.0);
        assert_eq!(container["capabilities"]["drop"][0], "ALL", "{}", deployed.0);
        assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
        let replicas = deployed.the::<Deployment>("Deployment").spec.replicas;
        assert!(replicas >= Some(2), "{}", deployed.0);
        deployed.the::<PodDisruptionBudget>("PodDisruptionBudget");
    }
}

#[test]
fn everything_is_in_the_namespace_that_is_made() {
    for deployed in [edge::DEPLOYED, router::DEPLOYED] {
        let namespace = deployed.the::<Namespace>("Namespace");
        for (file, object) in deployed.objects() {
            let own = object["metadata"]["namespace"].as_str();
            assert!(own.is_none() || own == namespace.metadata.name.as_deref(), "{file}: {own:?}");
        }
    }
}
