//! The switch of a Service by its label: the whole router against API servers where the test is the cluster's controllers.

use std::fmt::Debug;

use clap::Parser;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use selvedge_common::kube::{
    events::ProblemInput,
    store::ServiceName,
    switch::{self, Action, Steps},
};
use selvedge_router::{
    app::Router,
    args::{Arguments, Command},
};
use selvedge_tests::waiting::eventually;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::servers::{on_each, on_each_with_kubeconfig, until_told};

const TWIN: &str = "orders-direct";
const SLICE: &str = "orders-via-router-ipv4";

/// What a test does with the objects of its namespace, in the place of a person and of the cluster's controllers.
struct Cluster {
    services: Api<Service>,
    slices: Api<EndpointSlice>,
}

impl Cluster {
    fn new(client: &Client, namespace: &str) -> Self {
        let services = Api::namespaced(client.clone(), namespace);
        Self { services, slices: Api::namespaced(client.clone(), namespace) }
    }

    /// A router of one pod, and Service `orders` of another one.
    async fn with_router_and_orders(client: &Client, namespace: &str) -> Self {
        let cluster = Self::new(client, namespace);
        cluster.serve("router", &["192.0.2.1"]).await;
        cluster.serve("orders", &["192.0.2.7"]).await;
        cluster
    }

    async fn serve(&self, name: &str, addresses: &[&str]) {
        create(&self.services, service(name, json!({}))).await;
        self.fill(name, addresses).await;
    }

    /// The slice of a Service gets the addresses of its ready pods.
    async fn fill(&self, name: &str, addresses: &[&str]) {
        let endpoint = |address: &&str| json!({"addresses": [address], "conditions": {"ready": true}});
        let labels = json!({"kubernetes.io/service-name": name,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-pods"), "labels": labels}, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
        });
        let parameters = PatchParams::apply("endpointslice-controller").force();
        self.slices.patch(&format!("{name}-pods"), &parameters, &Patch::Apply(slice)).await.unwrap();
    }

    async fn label(&self, name: &str, way: Option<&str>) {
        let patch = json!({"metadata": {"labels": {"selvedge.dev/via": way}}});
        self.services.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn service(&self, name: &str) -> Service {
        self.services.get(name).await.unwrap()
    }

    async fn selector(&self, name: &str) -> Value {
        json!(self.service(name).await.spec.unwrap().selector)
    }

    async fn until_selector(&self, name: &str, wanted: Value) {
        eventually(async || (self.selector(name).await == wanted).then_some(())).await;
    }

    /// The addresses and ports of the slice that leads to the router.
    async fn led_to(&self) -> Option<(Vec<String>, Value)> {
        let slice = self.slices.get_opt(SLICE).await.unwrap()?;
        let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone());
        Some((addresses.collect(), json!(slice.ports)))
    }
}

async fn create<T>(api: &Api<T>, object: Value) -> T
where
    T: DeserializeOwned + Clone + Debug + Serialize + kube::Resource,
{
    api.create(&PostParams::default(), &T::deserialize(object).unwrap()).await.unwrap()
}

fn service(name: &str, labels: Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

/// Runs a router that switches the Services of a namespace beside a test.
async fn with_router(namespace: &str, kubeconfig: &str, test: impl AsyncFnOnce()) {
    let of = ["--kubeconfig", kubeconfig, "--namespace", namespace, "--lease-namespace", namespace];
    let own = format!("--router-service={namespace}/router");
    let quiet =
        ["--http=127.0.0.1:0", "--admin=127.0.0.1:0", "--workers=1", "--access-log=off", "--lameduck=0"];
    let words = ["selvedge-router", "run", "--switch-services", &own].into_iter().chain(of).chain(quiet);
    let Command::Run(args) = Arguments::try_parse_from(words).unwrap().command else { panic!("not run") };
    let router = Router::start(args).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = router.run(async move { drop(stopped.await) });
    let testing = async {
        test().await;
        drop(stop);
    };
    tokio::join!(running, testing);
}

fn version(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_label_leads_a_service_to_the_router_and_back_to_what_it_was() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let cluster = Cluster::with_router_and_orders(&client, &namespace).await;
        let before = cluster.service("orders").await;
        with_router(&namespace, &kubeconfig, async || {
            cluster.label("orders", Some("router")).await;
            let twin = eventually(async || cluster.services.get_opt(TWIN).await.unwrap()).await;
            assert_eq!(cluster.selector(TWIN).await, json!({"app": "orders"}));
            assert_eq!(cluster.led_to().await, None, "the twin has no pods yet");
            cluster.fill(TWIN, &["192.0.2.7"]).await;
            cluster.until_selector("orders", json!({"app": "orders", "selvedge.dev/via": "router"})).await;
            let ports = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
            assert_eq!(cluster.led_to().await, Some((vec!["192.0.2.1".into()], ports)));
            let slice = cluster.slices.get(SLICE).await.unwrap();
            let switched = cluster.service("orders").await;
            assert!(version(&twin.metadata) < version(&slice.metadata));
            assert!(version(&slice.metadata) < version(&switched.metadata));

            // The pods go from the slice of the Service, and a pod of the router comes.
            cluster.fill("orders", &[]).await;
            cluster.fill("router", &["192.0.2.1", "192.0.2.2"]).await;
            eventually(async || (cluster.led_to().await?.0.len() == 2).then_some(())).await;

            cluster.label("orders", None).await;
            cluster.until_selector("orders", json!({"app": "orders"})).await;
            assert!(cluster.led_to().await.is_some(), "the Service has no pods yet");
            cluster.fill("orders", &["192.0.2.7"]).await;
            eventually(async || cluster.services.get_opt(TWIN).await.unwrap().is_none().then_some(())).await;
            assert_eq!(cluster.led_to().await, None);
        })
        .await;
        let after = cluster.service("orders").await;
        assert_eq!(after.spec, before.spec);
        assert_eq!(after.metadata.labels.unwrap_or_default(), before.metadata.labels.unwrap_or_default());
    })
    .await;
}

#[tokio::test]
async fn a_service_of_the_twins_name_stays_as_it_is_and_the_owner_is_told() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let cluster = Cluster::with_router_and_orders(&client, &namespace).await;
        let foreign = create(&cluster.services, service(TWIN, json!({"app": "another"}))).await;
        cluster.label("orders", Some("router")).await;
        with_router(&namespace, &kubeconfig, async || {
            until_told(&client, &namespace, ("Service", "orders"), "TwinNameTaken").await;
        })
        .await;
        assert_eq!(version(&cluster.service(TWIN).await.metadata), version(&foreign.metadata));
        assert_eq!(cluster.selector("orders").await, json!({"app": "orders"}));
        assert_eq!(cluster.led_to().await, None);
    })
    .await;
}

#[tokio::test]
async fn a_service_that_cannot_be_switched_is_told_and_stays() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let cluster = Cluster::with_router_and_orders(&client, &namespace).await;
        let mut headless = service("headless", json!({"selvedge.dev/via": "router"}));
        headless["spec"]["clusterIP"] = "None".into();
        create(&cluster.services, headless).await;
        with_router(&namespace, &kubeconfig, async || {
            until_told(&client, &namespace, ("Service", "headless"), "NotSwitchable").await;
        })
        .await;
        assert_eq!(cluster.services.get_opt("headless-direct").await.unwrap(), None);
    })
    .await;
}

/// An executor of steps that leads or does not.
struct Executor {
    leader: watch::Sender<bool>,
    steps: mpsc::UnboundedSender<Steps>,
    problems: mpsc::UnboundedReceiver<Vec<ProblemInput>>,
}

impl Executor {
    fn new(client: &Client, leads: bool) -> Self {
        let (leader, leads) = watch::channel(leads);
        let (steps, inbox) = mpsc::unbounded_channel();
        let (problem_sender, problems) = mpsc::unbounded_channel();
        tokio::spawn(switch::run(client.clone(), "selvedge-router", leads, (inbox, problem_sender)));
        Self { leader, steps, problems }
    }

    fn send(&self, namespace: &str, name: &str, actions: Vec<Action>) {
        self.steps.send(vec![(ServiceName::new(namespace, name), actions)]).unwrap();
    }
}

fn write_twin(name: &str) -> Action {
    let mut twin = service(&format!("{name}-direct"), json!({"selvedge.dev/twin-of": name}));
    twin["spec"]["ports"][0]["protocol"] = "TCP".into();
    Action::ApplyTwin { twin: Box::new(Service::deserialize(twin).unwrap()), ours: false }
}

#[tokio::test]
async fn only_the_leader_takes_steps() {
    on_each(async |client, namespace| {
        let cluster = Cluster::new(&client, &namespace);
        let (follower, leader) = (Executor::new(&client, false), Executor::new(&client, true));
        follower.send(&namespace, "a", vec![write_twin("a")]);
        follower.send(&namespace, "b", vec![write_twin("b")]);
        leader.send(&namespace, "c", vec![write_twin("c")]);
        eventually(async || cluster.services.get_opt("c-direct").await.unwrap()).await;
        assert_eq!(cluster.services.get_opt("a-direct").await.unwrap(), None);
        // What is not to be done any more is not done by the next leader.
        follower.send(&namespace, "b", Vec::new());
        follower.leader.send(true).unwrap();
        eventually(async || cluster.services.get_opt("a-direct").await.unwrap()).await;
        assert_eq!(cluster.services.get_opt("b-direct").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn steps_that_came_too_late_change_nothing() {
    on_each(async |client, namespace| {
        let cluster = Cluster::new(&client, &namespace);
        let seen = create(&cluster.services, service("orders", json!({}))).await;
        let gone = create(&cluster.services, service(TWIN, json!({}))).await;
        cluster.label("orders", Some("direct")).await;
        let executor = Executor::new(&client, true);
        // The Service has changed since, and the other is not the twin that was seen.
        let switched = Action::SetSelector { switched: true, version: seen.metadata.resource_version };
        executor.send(&namespace, "orders", vec![switched]);
        let another = Some(format!("{}0", gone.metadata.uid.as_deref().unwrap()));
        executor.send(&namespace, "x", vec![Action::DeleteTwin { name: TWIN.into(), uid: another }]);
        // What is gone already holds nothing up.
        let missing = Action::DeleteSlice { name: "missing".into(), uid: None };
        executor.send(&namespace, "z", vec![missing, write_twin("z")]);
        eventually(async || cluster.services.get_opt("z-direct").await.unwrap()).await;
        // Steps that come later are taken when all those have been tried.
        executor.send(&namespace, "w", vec![write_twin("w")]);
        eventually(async || cluster.services.get_opt("w-direct").await.unwrap()).await;
        assert_eq!(cluster.selector("orders").await, json!({"app": "orders"}));
        assert_eq!(cluster.service(TWIN).await.metadata.uid, gone.metadata.uid);
    })
    .await;
}

#[tokio::test]
async fn a_step_that_fails_is_told_until_it_is_taken() {
    on_each(async |client, namespace| {
        let cluster = Cluster::new(&client, &namespace);
        let orders = create(&cluster.services, service("orders", json!({}))).await;
        let twin = create(&cluster.services, service(TWIN, json!({}))).await;
        let mut executor = Executor::new(&client, true);
        let delete = |uid: Option<String>| vec![Action::DeleteTwin { name: TWIN.into(), uid }];
        executor.send(&namespace, "orders", delete(Some("another".into())));
        let told = executor.problems.recv().await.unwrap();
        let [ProblemInput::Added { problem, uid }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((&*problem.reason, uid), ("SwitchFailed", &orders.metadata.uid));
        assert_eq!(problem.object.to_string(), format!("Service {namespace}/orders"));
        executor.send(&namespace, "orders", delete(twin.metadata.uid));
        assert_eq!(executor.problems.recv().await, Some(vec![ProblemInput::Removed(problem.clone())]));
    })
    .await;
}

#[tokio::test]
async fn a_slice_of_somebody_else_is_not_taken_over() {
    on_each(async |client, namespace| {
        let cluster = Cluster::new(&client, &namespace);
        let slice = |address: &str, manager: &str| {
            let labels = json!({"endpointslice.kubernetes.io/managed-by": manager});
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": SLICE, "labels": labels}, "addressType": "IPv4",
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                "endpoints": [{"addresses": [address]}]})
        };
        let theirs = create(&cluster.slices, slice("192.0.2.9", "somebody.example")).await;
        let mut executor = Executor::new(&client, true);
        let ours = EndpointSlice::deserialize(slice("192.0.2.1", "router.selvedge.dev")).unwrap();
        executor.send(&namespace, "orders", vec![Action::ApplySlice(Box::new(ours))]);
        let told = executor.problems.recv().await.unwrap();
        assert!(matches!(&told[..], [ProblemInput::Added { .. }]), "{told:?}");
        let left = cluster.slices.get(SLICE).await.unwrap();
        assert_eq!((left.metadata.uid, left.endpoints), (theirs.metadata.uid, theirs.endpoints));
    })
    .await;
}
