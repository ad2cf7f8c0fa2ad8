//! The whole edge follows what owners of Ingresses, Secrets and Services change, and tells them what is wrong.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Secret, Service},
        networking::v1::{Ingress, IngressClass},
    },
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use selvedge_common::model::Certificate;
use selvedge_tests::{api_server::ApiServer, tls, waiting::eventually};
use serde_json::{Value, json};

use crate::{
    edge::{Edges, with_edge},
    servers::{create, create_namespace, flags, ingress, on_each_with_kubeconfig, until_told},
};

/// The Secret `a` with this chain and key.
fn secret(chain: &[u8], key: &[u8]) -> Secret {
    let data = [("tls.crt", chain), ("tls.key", key)];
    let data: BTreeMap<_, _> =
        data.into_iter().map(|(name, bytes)| (name.to_owned(), ByteString(bytes.to_vec()))).collect();
    let mut secret =
        Secret { type_: Some("kubernetes.io/tls".into()), data: Some(data), ..Secret::default() };
    secret.metadata.name = Some("a".into());
    secret
}

/// Whether a new client that asks for `a.test` is shown this certificate.
async fn shows(edge: &Edges, certificate: &Certificate) -> bool {
    let address = edge.https;
    let shown = tokio::task::spawn_blocking(move || tls::shown(address, "a.test")).await.unwrap();
    shown == tls::leaf(certificate)
}

async fn until_shown(edge: &Edges, certificate: &Certificate) {
    eventually(async || shows(edge, certificate).await.then_some(())).await;
}

#[tokio::test]
async fn a_secret_is_served_and_replaced_and_garbage_leaves_the_old_one() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let (first, second) = (tls::certificate(&["a.test"]), tls::certificate(&["a.test"]));
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let replace = async |chain: &[u8], key: &[u8]| {
            secrets.replace("a", &PostParams::default(), &secret(chain, key)).await.unwrap();
        };
        secrets.create(&PostParams::default(), &secret(&first.chain_pem, &first.key_pem)).await.unwrap();
        let mut wanted = ingress("a", "a.test");
        let entry = serde_json::from_value(json!([{"hosts": ["a.test"], "secretName": "a"}])).unwrap();
        wanted.spec.as_mut().unwrap().tls = entry;
        create(&client, &namespace, &wanted).await;
        with_edge(&flags(&namespace, &kubeconfig), async |edge| {
            edge.ready().await;
            assert!(shows(edge, &first).await);
            replace(&second.chain_pem, &second.key_pem).await;
            until_shown(edge, &second).await;
            replace(b"garbage", &first.key_pem).await;
            until_told(&client, &namespace, ("Secret", "a"), "InvalidCertificate").await;
            assert!(shows(edge, &second).await);
            replace(&first.chain_pem, b"garbage").await;
            until_told(&client, &namespace, ("Secret", "a"), "InvalidPrivateKey").await;
            assert!(shows(edge, &second).await);
            replace(&first.chain_pem, &first.key_pem).await;
            until_shown(edge, &first).await;
        })
        .await;
    })
    .await;
}

/// The addresses in the status of Ingress `a`.
async fn addresses(client: &Client, namespace: &str) -> Vec<String> {
    let ingress = Api::<Ingress>::namespaced(client.clone(), namespace).get("a").await.unwrap();
    let status = ingress.status.unwrap_or_default().load_balancer.unwrap_or_default();
    let entries = status.ingress.unwrap_or_default().into_iter();
    entries.map(|entry| entry.ip.or(entry.hostname).unwrap_or_default()).collect()
}

async fn until_addresses(client: &Client, namespace: &str, wanted: &[&str]) {
    eventually(async || (addresses(client, namespace).await == wanted).then_some(())).await;
}

async fn create_class(client: &Client, name: &str, controller: &str) {
    let class = json!({"metadata": {"name": name}, "spec": {"controller": controller}});
    let class: IngressClass = serde_json::from_value(class).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &class).await.unwrap();
}

#[tokio::test]
async fn a_change_of_class_withdraws_routes_and_clears_the_status() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let (ours, another) = (format!("ours-{namespace}"), format!("another-{namespace}"));
        create_class(&client, &ours, "selvedge.dev/ingress").await;
        create_class(&client, &another, "another.test/ingress").await;
        let mut wanted = ingress("a", "a.test");
        wanted.spec.as_mut().unwrap().ingress_class_name = Some(ours.clone());
        create(&client, &namespace, &wanted).await;
        let ingresses: Api<Ingress> = Api::namespaced(client.clone(), &namespace);
        let change = async |class: &str| {
            let patch = json!({"spec": {"ingressClassName": class}});
            ingresses.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        };
        let flags = [&flags(&namespace, &kubeconfig)[..], &["--publish-address", "192.0.2.1"]].concat();
        with_edge(&flags, async |edge| {
            edge.ready().await;
            assert_eq!(edge.status("a.test").await, 503);
            until_addresses(&client, &namespace, &["192.0.2.1"]).await;
            change(&another).await;
            edge.until("a.test", 404).await;
            until_addresses(&client, &namespace, &[]).await;
            change(&ours).await;
            edge.until("a.test", 503).await;
            until_addresses(&client, &namespace, &["192.0.2.1"]).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_status_follows_the_addresses_of_the_published_service() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
        let service = json!({"metadata": {"name": "edge"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
        let service = serde_json::from_value(service).unwrap();
        services.create(&PostParams::default(), &service).await.unwrap();
        let balance = async |entries: Value| {
            let status = json!({"status": {"loadBalancer": {"ingress": entries}}});
            services.patch_status("edge", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        };
        balance(json!([{"ip": "192.0.2.7"}])).await;
        create(&client, &namespace, &ingress("a", "a.test")).await;
        let published = format!("{namespace}/edge");
        let flags = [&flags(&namespace, &kubeconfig)[..], &["--publish-service", &published]].concat();
        with_edge(&flags, async |edge| {
            edge.ready().await;
            until_addresses(&client, &namespace, &["192.0.2.7"]).await;
            balance(json!([{"hostname": "lb.test"}, {"ip": "192.0.2.8"}])).await;
            until_addresses(&client, &namespace, &["lb.test", "192.0.2.8"]).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_api_server_is_waited_for() {
    let mut server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    create(&client, &namespace, &ingress("a", "a.test")).await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig").to_str().unwrap().to_owned();
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    // Nothing is answered at first, so that what is seen then does not depend on how fast the test is.
    server.slow(Duration::from_hours(1));
    with_edge(&flags(&namespace, &kubeconfig), async |edge| {
        assert_eq!(edge.readiness().await, 503);
        let wake = async {
            server.slow(Duration::from_millis(200));
            server.restart().await;
        };
        // Who comes before anything is known waits as well, and gets the answer of a route.
        let (status, ()) = tokio::join!(edge.status("a.test"), wake);
        assert_eq!(status, 503);
        edge.ready().await;
        create(&client, &namespace, &ingress("b", "b.test")).await;
        edge.until("b.test", 503).await;
        until_told(&client, &namespace, ("Ingress", "b"), "ServiceNotFound").await;
    })
    .await;
}
