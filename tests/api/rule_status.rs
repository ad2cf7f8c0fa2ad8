//! Entries in the status of RouteRules and TrafficPolicies: written by the whole router, and by a writer alone.

use clap::Parser;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use selvedge_common::kube::{
    conditions::{Condition, ConditionKind, TargetStatus},
    objects::{Kind, ObjectKey},
    status::{self, Author, KnownStatus, StatusInput, rules::Verdict},
};
use selvedge_crds::{ControllerStatus, RouteRule, Status, TrafficPolicy};
use selvedge_router::{
    app::Router,
    args::{Arguments, Command},
};
use selvedge_tests::{api_server::ApiServer, waiting::eventually};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::servers::{create_namespace, on_each, on_each_with_kubeconfig};

const ROUTER: &str = "selvedge.dev/router";
const ANOTHER: &str = "another.test/router";

/// Runs a router for one namespace beside a test, and drains it after.
async fn with_router((kubeconfig, namespace): (&str, &str), test: impl AsyncFnOnce()) {
    let usual =
        ["--http=127.0.0.1:0", "--admin=127.0.0.1:0", "--workers=1", "--access-log=off", "--lameduck=0"];
    let of = ["--kubeconfig", kubeconfig, "--namespace", namespace, "--lease-namespace", namespace];
    let all = ["selvedge-router", "run", "--drain-deadline=0"].iter().chain(&usual).chain(&of);
    let Command::Run(args) = Arguments::try_parse_from(all).unwrap().command else { panic!("not run") };
    let router = Router::start(args).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = router.run(async move { drop(stopped.await) });
    let testing = async {
        test().await;
        drop(stop);
    };
    tokio::join!(running, testing);
}

/// The objects of a test in its namespace.
struct Space {
    client: Client,
    namespace: String,
}

impl Space {
    fn rules(&self) -> Api<RouteRule> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn policies(&self) -> Api<TrafficPolicy> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn create_service(&self, name: &str) {
        let api: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        api.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
    }

    async fn create_rule(&self, name: &str, spec: Value) {
        let rule = json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteRule",
            "metadata": {"name": name}, "spec": spec});
        let rule: RouteRule = serde_json::from_value(rule).unwrap();
        self.rules().create(&PostParams::default(), &rule).await.unwrap();
    }

    async fn change_rule(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.rules().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Writes an entry as somebody else.
    async fn say(&self, manager: &str, name: &str, controller: &str) {
        let status = json!({"controllers": [{"name": controller, "accepted": "True"}]});
        let patch = Patch::Apply(json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteRule",
            "metadata": {"name": name}, "status": status}));
        self.rules().patch_status(name, &PatchParams::apply(manager), &patch).await.unwrap();
    }

    async fn status(&self, name: &str) -> Status {
        self.rules().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until the entry of the router is as wanted.
    async fn until(&self, name: &str, wanted: impl Fn(&ControllerStatus) -> bool) -> ControllerStatus {
        eventually(async || self.status(name).await.of(ROUTER).filter(|entry| wanted(entry)).cloned()).await
    }
}

/// `service orders: Accepted True`, for each condition.
fn conditions(entry: &ControllerStatus) -> Vec<String> {
    let each = entry.targets.iter().flat_map(|target| {
        let conditions = target.conditions.iter();
        conditions.map(|held| format!("{}: {} {}", target.target, held.type_, held.reason))
    });
    each.collect()
}

#[tokio::test]
async fn the_entry_of_the_router_follows_the_object_and_those_of_others_stay() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let space = Space { client, namespace: namespace.clone() };
        space.create_service("orders").await;
        let backends = json!([{"service": "orders"}, {"service": "absent"}, {"service": "lost"}]);
        let targets = json!([{"service": "orders"}, {"service": "late"}]);
        space.create_rule("a", json!({"targets": targets, "rules": [{"backends": backends}]})).await;
        with_router((&kubeconfig, &namespace), async || {
            let first = space.until("a", |entry| entry.problems.len() == 3).await;
            assert_eq!((first.observed_generation, first.accepted.as_deref()), (Some(1), Some("Partly")));
            let wanted = [
                "service orders: Accepted Accepted",
                "service orders: ResolvedRefs ServiceNotFound",
                "service late: Accepted TargetNotFound",
                "service late: ResolvedRefs ServiceNotFound",
            ];
            assert_eq!(conditions(&first), wanted);
            assert!(first.problems[0].starts_with("spec.rules[0].backends[1]"), "{:?}", first.problems);
            space.say("another", "a", ANOTHER).await;
            // Less is wrong, and of the targets the same is said as before.
            space.create_service("lost").await;
            let second = space.until("a", |entry| entry.problems.len() == 2).await;
            assert_eq!(second.targets, first.targets);
            space.change_rule("a", json!({"priority": 5})).await;
            let third = space.until("a", |entry| entry.observed_generation == Some(2)).await;
            for (before, after) in second.targets.iter().zip(&third.targets) {
                for (before, after) in before.conditions.iter().zip(&after.conditions) {
                    assert_eq!(after.last_transition_time, before.last_transition_time);
                    assert_eq!(after.observed_generation, Some(2));
                }
            }
            space.create_service("late").await;
            space.create_service("absent").await;
            let mended = space.until("a", |entry| entry.problems.is_empty()).await;
            assert_eq!(mended.accepted.as_deref(), Some("True"));
            assert_eq!(space.status("a").await.of(ANOTHER).unwrap().accepted.as_deref(), Some("True"));
            // What is for hosts is the edge's.
            space.change_rule("a", json!({"targets": [{"host": "a.test"}]})).await;
            eventually(async || space.status("a").await.of(ROUTER).is_none().then_some(())).await;
            assert!(space.status("a").await.of(ANOTHER).is_some());
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_has_conditions_for_each_of_its_targets() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let space = Space { client, namespace: namespace.clone() };
        let targets = json!([{"kind": "Namespace"}, {"kind": "Service", "name": "orders", "port": 80}]);
        let policy = json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": "TrafficPolicy",
            "metadata": {"name": "a"}, "spec": {"targets": targets, "slowStart": {"window": "1s"}}});
        let policy: TrafficPolicy = serde_json::from_value(policy).unwrap();
        space.policies().create(&PostParams::default(), &policy).await.unwrap();
        with_router((&kubeconfig, &namespace), async || {
            let entry =
                eventually(async || space.policies().get("a").await.unwrap().status?.of(ROUTER).cloned())
                    .await;
            assert_eq!(entry.accepted.as_deref(), Some("Partly"));
            let wanted = [
                "namespace: Accepted Accepted",
                "namespace: ResolvedRefs ResolvedRefs",
                "service orders:80: Accepted TargetNotFound",
                "service orders:80: ResolvedRefs ResolvedRefs",
            ];
            assert_eq!(conditions(&entry), wanted);
            assert!(entry.problems[0].contains("there is no Service \"orders\""), "{:?}", entry.problems);
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_entry_from_before_the_start_is_withdrawn_where_the_object_is_ours_no_longer() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let space = Space { client, namespace: namespace.clone() };
        let rules = json!([{"respond": {"status": 200}}]);
        space.create_rule("a", json!({"targets": [{"host": "a.test"}], "rules": rules})).await;
        space.say("selvedge-router", "a", ROUTER).await;
        space.say("another", "a", ANOTHER).await;
        with_router((&kubeconfig, &namespace), async || {
            eventually(async || space.status("a").await.of(ROUTER).is_none().then_some(())).await;
            assert!(space.status("a").await.of(ANOTHER).is_some());
        })
        .await;
    })
    .await;
}

/// How often the status of each RouteRule has been written since the last call.
fn writes(server: &ApiServer) -> Vec<(String, usize)> {
    let mut writes = std::collections::BTreeMap::new();
    for request in server.take_requests().into_iter().filter(|request| request.verb == "PATCH") {
        if let Some((_, name)) = request.path.split_once("/routerules/") {
            *writes.entry(name.to_owned()).or_default() += 1;
        }
    }
    writes.into_iter().collect()
}

#[tokio::test]
async fn a_status_is_written_once_and_not_again_by_the_next_leader() {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig").to_str().unwrap().to_owned();
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let space = Space { client, namespace: namespace.clone() };
    let spec = json!({"targets": [{"service": "orders"}], "rules": [{"name": "a"}]});
    space.create_rule("a", spec.clone()).await;
    with_router((&kubeconfig, &namespace), async || {
        space.until("a", |_| true).await;
        space.create_rule("b", spec.clone()).await;
        space.until("b", |_| true).await;
    })
    .await;
    assert_eq!(writes(&server), [("a/status".into(), 1), ("b/status".into(), 1)]);
    with_router((&kubeconfig, &namespace), async || {
        space.create_rule("c", spec.clone()).await;
        space.until("c", |_| true).await;
    })
    .await;
    assert_eq!(writes(&server), [("c/status".into(), 1)]);
}

struct Writer {
    leader: watch::Sender<bool>,
    inputs: mpsc::UnboundedSender<Vec<StatusInput>>,
}

impl Writer {
    /// One as the edge has it, which knows no addresses.
    fn new(client: &Client, leads: bool) -> Self {
        let author = Author { manager: "selvedge-ingress".into(), controller: "selvedge.dev/ingress".into() };
        let (leader, leads) = watch::channel(leads);
        let (_, addresses) = watch::channel(None);
        let (inputs, inbox) = mpsc::unbounded_channel();
        tokio::spawn(status::run(client.clone(), author, leads, addresses, inbox));
        Self { leader, inputs }
    }

    fn seen(&self, namespace: &str, name: &str, wanted: Option<Verdict>, current: Option<ControllerStatus>) {
        let key = ObjectKey::new(Kind::RouteRule, namespace, name);
        let known = KnownStatus::Rule { wanted, current };
        self.inputs.send(vec![StatusInput::Seen { key, known }]).unwrap();
    }
}

fn verdict() -> Verdict {
    let condition = Condition {
        kind: ConditionKind::Accepted,
        holds: true,
        reason: "Accepted".into(),
        message: String::new(),
    };
    let target = TargetStatus { target: "host a.test".into(), conditions: vec![condition] };
    Verdict { generation: Some(1), targets: vec![target], problems: vec!["spec: odd".into()] }
}

#[tokio::test]
async fn only_the_leader_writes_entries_and_needs_no_addresses_for_them() {
    on_each(async |client, namespace| {
        let space = Space { client: client.clone(), namespace: namespace.clone() };
        let rules = json!([{"respond": {"status": 200}}]);
        for name in ["a", "b"] {
            space.create_rule(name, json!({"targets": [{"host": "a.test"}], "rules": rules})).await;
        }
        let edge = "selvedge.dev/ingress";
        let until = async |name: &str| eventually(async || space.status(name).await.of(edge).cloned()).await;
        let follower = Writer::new(&client, false);
        follower.seen(&namespace, "a", Some(verdict()), None);
        let leader = Writer::new(&client, true);
        leader.seen(&namespace, "b", Some(verdict()), None);
        let written = until("b").await;
        assert_eq!(
            (written.accepted.as_deref(), written.problems),
            (Some("True"), vec!["spec: odd".to_owned()])
        );
        assert!(space.status("a").await.controllers.is_empty());
        follower.leader.send(true).unwrap();
        let written = until("a").await;
        leader.seen(&namespace, "a", None, Some(written));
        eventually(async || space.status("a").await.of(edge).is_none().then_some(())).await;
    })
    .await;
}

#[tokio::test]
async fn a_status_that_is_refused_holds_up_no_other() {
    on_each(async |client, namespace| {
        let space = Space { client: client.clone(), namespace: namespace.clone() };
        let rules = json!([{"respond": {"status": 200}}]);
        for name in ["a", "b"] {
            space.create_rule(name, json!({"targets": [{"host": "a.test"}], "rules": rules})).await;
        }
        let writer = Writer::new(&client, true);
        // A real server takes no such reason.
        let mut refused = verdict();
        refused.targets[0].conditions[0].reason = "no word".into();
        writer.seen(&namespace, "a", Some(refused), None);
        writer.seen(&namespace, "b", Some(verdict()), None);
        eventually(async || space.status("b").await.controllers.first().cloned()).await;
        // What is mended is written at once.
        writer.seen(&namespace, "a", Some(verdict()), None);
        let written = async || space.status("a").await.controllers.first().cloned();
        let reason = |entry: ControllerStatus| entry.targets[0].conditions[0].reason.clone();
        eventually(async || written().await.map(reason).filter(|reason| reason == "Accepted")).await;
    })
    .await;
}
