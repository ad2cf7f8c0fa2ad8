//! Addresses in the status of Ingress objects.

use std::borrow::Cow;

use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use selvedge_common::kube::{
    addresses::{address, follow_service},
    objects::{Kind, ObjectKey},
    status::{self, Addresses, Author, KnownStatus, StatusInput},
};
use selvedge_tests::api_server::ApiServer;
use tokio::sync::{mpsc, watch};

use crate::servers::{create, create_namespace, ingress, on_each};
use selvedge_tests::waiting::eventually;

const EDGE: Author =
    Author { manager: Cow::Borrowed("selvedge-ingress"), controller: Cow::Borrowed("selvedge.dev/ingress") };

struct Writer {
    leader: watch::Sender<bool>,
    addresses: watch::Sender<Addresses>,
    inputs: mpsc::UnboundedSender<Vec<StatusInput>>,
}

impl Writer {
    fn new(client: &Client, leads: bool, addresses: &[&str]) -> Self {
        let (leader, leads) = watch::channel(leads);
        let wanted = addresses.iter().map(|text| address(text)).collect();
        let (addresses, shall) = watch::channel(Some(wanted));
        let (inputs, inbox) = mpsc::unbounded_channel();
        tokio::spawn(status::run(client.clone(), EDGE, leads, shall, inbox));
        Self { leader, addresses, inputs }
    }

    fn seen(&self, namespace: &str, name: &str, ours: bool, current: &[&str]) {
        let key = ObjectKey::new(Kind::Ingress, namespace, name);
        let current = current.iter().map(|text| address(text)).collect();
        let known = KnownStatus::Ingress { ours, current };
        self.inputs.send(vec![StatusInput::Seen { key, known }]).unwrap();
    }
}

fn told(ingress: &Ingress) -> Vec<String> {
    let status = ingress.status.clone().unwrap_or_default().load_balancer.unwrap_or_default();
    let text = |entry: IngressLoadBalancerIngress| entry.ip.or(entry.hostname).unwrap_or_default();
    status.ingress.unwrap_or_default().into_iter().map(text).collect()
}

async fn until(client: &Client, namespace: &str, name: &str, wanted: &[&str]) {
    let api: Api<Ingress> = Api::namespaced(client.clone(), namespace);
    eventually(async || (told(&api.get(name).await.unwrap()) == wanted).then_some(())).await;
}

#[tokio::test]
async fn status_follows_addresses_and_is_taken_back_from_what_is_ours_no_longer() {
    on_each(async |client, namespace| {
        create(&client, &namespace, &ingress("a", "a.test")).await;
        let writer = Writer::new(&client, true, &["192.0.2.1", "lb.test"]);
        writer.seen(&namespace, "a", true, &[]);
        until(&client, &namespace, "a", &["lb.test", "192.0.2.1"]).await;
        writer.addresses.send(Some(vec![address("192.0.2.2")])).unwrap();
        until(&client, &namespace, "a", &["192.0.2.2"]).await;
        writer.seen(&namespace, "a", false, &["192.0.2.2"]);
        until(&client, &namespace, "a", &[]).await;
    })
    .await;
}

#[tokio::test]
async fn what_another_controller_wrote_stays() {
    on_each(async |client, namespace| {
        create(&client, &namespace, &ingress("a", "a.test")).await;
        create(&client, &namespace, &ingress("b", "b.test")).await;
        let api: Api<Ingress> = Api::namespaced(client.clone(), &namespace);
        let theirs = serde_json::json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "a"}, "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}});
        api.patch_status("a", &PatchParams::apply("another"), &Patch::Apply(theirs)).await.unwrap();
        let writer = Writer::new(&client, true, &["192.0.2.1"]);
        writer.seen(&namespace, "a", false, &["198.51.100.1"]);
        writer.seen(&namespace, "b", true, &[]);
        until(&client, &namespace, "b", &["192.0.2.1"]).await;
        until(&client, &namespace, "a", &["198.51.100.1"]).await;
    })
    .await;
}

#[tokio::test]
async fn only_the_leader_writes_and_only_what_differs() {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    for name in ["a", "b", "c"] {
        create(&client, &namespace, &ingress(name, "x.test")).await;
    }
    let follower = Writer::new(&client, false, &["192.0.2.9"]);
    follower.seen(&namespace, "a", true, &[]);
    follower.seen(&namespace, "c", true, &[]);
    let leader = Writer::new(&client, true, &["192.0.2.1"]);
    leader.seen(&namespace, "a", true, &["192.0.2.1"]);
    leader.seen(&namespace, "b", true, &[]);
    until(&client, &namespace, "b", &["192.0.2.1"]).await;
    let patched = || {
        let requests = server.take_requests().into_iter().filter(|request| request.verb == "PATCH");
        requests.filter_map(|request| Some(request.path.split('/').nth(7)?.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(patched(), ["b"]);
    // The follower takes over with what it has gathered.
    follower.leader.send(true).unwrap();
    until(&client, &namespace, "c", &["192.0.2.9"]).await;
    until(&client, &namespace, "a", &["192.0.2.9"]).await;
}

#[tokio::test]
async fn a_write_that_fails_is_tried_again() {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    create(&client, &namespace, &ingress("a", "a.test")).await;
    server.too_many(2);
    let writer = Writer::new(&client, true, &["192.0.2.1"]);
    writer.seen(&namespace, "gone", true, &[]);
    writer.seen(&namespace, "a", true, &[]);
    eventually(async || {
        let requests = server.take_requests();
        requests.iter().any(|request| request.verb == "PATCH" && request.code == 200).then_some(())
    })
    .await;
    until(&client, &namespace, "a", &["192.0.2.1"]).await;
}

#[tokio::test]
async fn the_addresses_of_a_published_service_are_followed() {
    on_each(async |client, namespace| {
        let (sender, mut addresses) = watch::channel(None);
        let (of, within) = (client.clone(), namespace.clone());
        tokio::spawn(async move { follow_service(of, &within, "edge", sender).await });
        let mut until = async |wanted: Vec<&str>| {
            let wanted: Vec<_> = wanted.into_iter().map(address).collect();
            let waiting = addresses.wait_for(|now| now.as_ref() == Some(&wanted));
            tokio::time::timeout(selvedge_tests::waiting::PATIENCE, waiting).await.unwrap().unwrap();
        };
        until(vec![]).await;
        let api: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(client.clone(), &namespace);
        let service = serde_json::from_value(serde_json::json!({"metadata": {"name": "edge"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}))
        .unwrap();
        api.create(&kube::api::PostParams::default(), &service).await.unwrap();
        let status = serde_json::json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}});
        api.patch_status("edge", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        until(vec!["192.0.2.7"]).await;
    })
    .await;
}
