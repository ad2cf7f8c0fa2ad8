//! Who calls: tokens that a real API server has made, and pods as both servers tell of them.

use std::time::SystemTime;

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::{Api, Client, api::PostParams};
use selvedge_common::{
    kube::{
        callers::source_of,
        objects::{Kind, Object, ObjectEvent},
        tokens::{AUDIENCE, TokenReviews},
        watch::{self, Scope, WatchEvent},
    },
    source::tokens::{Token, TokenError, TokenVerifier},
};
use selvedge_tests::waiting::PATIENCE;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::servers::{create_namespace, on_each, own_real};

/// A token of ServiceAccount `web` for an audience, as a kubelet asks for it (`authentication.k8s.io/v1` TokenRequest).
async fn token(client: &Client, namespace: &str, audience: &str) -> Token {
    let wanted = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": 600}});
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/web/token");
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(wanted.to_string().into_bytes()).unwrap();
    let answer: Value = client.request(request).await.unwrap();
    Token::new(answer["status"]["token"].as_str().unwrap().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_real_server_tells_whose_a_token_is_and_refuses_others() {
    let Some(mut server) = own_real().await else { return };
    let client = server.client();
    let namespace = create_namespace(&client).await;
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "web"}})).unwrap();
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    api.create(&PostParams::default(), &account).await.unwrap();
    let (verifier, reviewing) = TokenReviews::new(client.clone(), AUDIENCE.into());
    let reviewing = tokio::spawn(reviewing);
    let ours = token(&client, &namespace, AUDIENCE).await;
    let verified = verifier.verify(ours.clone()).await.unwrap();
    assert_eq!(verified.caller.to_string(), format!("{namespace}/web"));
    let left = verified.expires.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(left.as_secs() <= 600);
    let others = token(&client, &namespace, "others").await;
    let mut forged = ours.reveal().to_owned();
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    for refused in [others, Token::new(forged.as_bytes()).unwrap(), Token::new(b"admin-token").unwrap()] {
        let answer = verifier.verify(refused).await;
        assert!(matches!(answer, Err(TokenError::Refused(_))), "{answer:?}");
    }
    server.kill();
    let answer = verifier.verify(ours).await;
    assert!(matches!(answer, Err(TokenError::Unavailable(_))), "{answer:?}");
    drop(verifier);
    tokio::time::timeout(PATIENCE, reviewing).await.expect("it ends with its verifier").unwrap();
}

#[tokio::test]
async fn a_pod_that_is_watched_says_who_is_behind_its_address() {
    on_each(async |client, namespace| {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "labels": {"pod-template-hash": "abc"}, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc", "uid": "u", "controller": true}]},
            "spec": {"serviceAccountName": "frontend", "containers": [{"name": "web", "image": "web"}]}}))
        .unwrap();
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        api.create(&PostParams::default(), &pod).await.unwrap();
        let scope = Scope { kinds: &[Kind::Pod], namespaces: vec![namespace.clone()], ..Scope::default() };
        let (tell, mut told) = mpsc::channel(8);
        let watching = tokio::spawn(watch::run(client.clone(), scope, tell));
        let Some(WatchEvent::Synced(events)) = told.recv().await else { panic!("no first list") };
        let [ObjectEvent::Applied(Object::Pod(pod))] = &events[..] else { panic!("{events:?}") };
        assert_eq!(source_of(pod), None, "it has no address yet");
        let mut status = api.get("web-1").await.unwrap();
        status.status = serde_json::from_value(json!({"phase": "Running", "podIP": "10.0.0.7",
            "podIPs": [{"ip": "10.0.0.7"}]}))
        .unwrap();
        replace_status(&client, &namespace, &status).await;
        let (addresses, source) = loop {
            let Some(WatchEvent::Changed(events)) = told.recv().await else { panic!("the watch ended") };
            let Some(ObjectEvent::Applied(Object::Pod(pod))) = events.last() else { panic!("{events:?}") };
            if let Some(found) = source_of(pod) {
                break found;
            }
        };
        assert_eq!(addresses, ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(source.caller.to_string(), format!("{namespace}/frontend"));
        assert_eq!(*source.workload, format!("{namespace}/web"));
        watching.abort();
    })
    .await;
}

/// Writes the status as a kubelet does.
async fn replace_status(client: &Client, namespace: &str, pod: &Pod) {
    let path = format!("/api/v1/namespaces/{namespace}/pods/web-1/status");
    let request = http::Request::put(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(pod).unwrap()).unwrap();
    let _: Value = client.request(request).await.unwrap();
}
