//! List and watch through every failure of an API server.

use k8s_openapi::{
    api::{core::v1 as core, networking::v1::Ingress, rbac::v1 as rbac},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use selvedge_common::kube::{objects::Kind, watch::WatchEvent};
use selvedge_tests::api_server::{ApiServer, Break};

use crate::servers::{Watched, create, create_namespace, ingress, on_each, own_real, sorted};
use selvedge_tests::waiting::eventually;

async fn rehost(client: &Client, namespace: &str, name: &str, host: &str) {
    let api: Api<Ingress> = Api::namespaced(client.clone(), namespace);
    let patch = serde_json::to_value(ingress(name, host)).unwrap();
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn delete(client: &Client, namespace: &str, name: &str) {
    let api: Api<Ingress> = Api::namespaced(client.clone(), namespace);
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

/// A small server with a synced watch and one Ingress `a`.
async fn watched() -> (ApiServer, Client, String, Watched) {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    create(&client, &namespace, &ingress("a", "a.test")).await;
    let mut watched = Watched::new(client.clone(), &namespace);
    assert_eq!(watched.synced().await, ["+ Ingress a a.test"]);
    (server, client, namespace, watched)
}

/// Waits until every kind has been asked for by a watch since the last call.
async fn rewatched(server: &ApiServer, plural: &str) {
    eventually(async || {
        let requests = server.take_requests();
        let again = |request: &selvedge_tests::api_server::Request| {
            request.verb == "WATCH" && request.code == 200 && request.path.ends_with(plural)
        };
        requests.iter().any(again).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_first_event_holds_what_is_there_and_changes_follow() {
    on_each(async |client, namespace| {
        create(&client, &namespace, &ingress("a", "a.test")).await;
        let service: core::Service = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}}))
        .unwrap();
        let services: Api<core::Service> = Api::namespaced(client.clone(), &namespace);
        services.create(&PostParams::default(), &service).await.unwrap();
        let mut watched = Watched::new(client.clone(), &namespace);
        assert_eq!(watched.synced().await, ["+ Ingress a a.test", "+ Service shop"]);
        create(&client, &namespace, &ingress("b", "b.test")).await;
        assert_eq!(watched.changes(1).await, ["+ Ingress b b.test"]);
        rehost(&client, &namespace, "b", "new.test").await;
        assert_eq!(watched.changes(1).await, ["+ Ingress b new.test"]);
        delete(&client, &namespace, "a").await;
        assert_eq!(watched.changes(1).await, ["- Ingress a"]);
    })
    .await;
}

#[tokio::test]
async fn only_tls_secrets_are_read() {
    on_each(async |client, namespace| {
        let secrets: Api<core::Secret> = Api::namespaced(client.clone(), &namespace);
        for (name, kind) in [("opaque", "Opaque"), ("tls", "kubernetes.io/tls")] {
            let secret = serde_json::json!({"metadata": {"name": name}, "type": kind,
                "data": {"tls.crt": "", "tls.key": ""}});
            let secret = serde_json::from_value(secret).unwrap();
            secrets.create(&PostParams::default(), &secret).await.unwrap();
        }
        let mut watched = Watched::new(client.clone(), &namespace);
        let first = watched.synced().await;
        assert_eq!(
            first.iter().filter(|event| event.contains("Secret")).collect::<Vec<_>>(),
            ["+ Secret tls"]
        );
    })
    .await;
}

#[tokio::test]
async fn nothing_is_told_before_every_kind_has_its_first_list() {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    create(&client, &namespace, &ingress("a", "a.test")).await;
    server.deny("secrets");
    let mut watched = Watched::new(client.clone(), &namespace);
    rewatched(&server, "ingresses").await;
    assert_eq!(watched.try_next(), None);
    server.allow("secrets");
    // Denied for a moment only, so nothing is said of it.
    assert_eq!(watched.synced().await, ["+ Ingress a a.test"]);
}

#[tokio::test]
async fn a_kind_that_stays_denied_is_told_and_the_rest_goes_on() {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    server.deny("ingressclasses");
    let mut watched = Watched::new(client.clone(), &namespace);
    let denied = watched.next().await;
    assert!(
        matches!(&denied, WatchEvent::Denied { part, .. } if part.kind == Kind::IngressClass),
        "{denied:?}"
    );
    assert_eq!(watched.synced().await, [""; 0]);
    create(&client, &namespace, &ingress("a", "a.test")).await;
    assert_eq!(watched.changes(1).await, ["+ Ingress a a.test"]);
    server.allow("ingressclasses");
    let readable = watched.next().await;
    assert!(
        matches!(&readable, WatchEvent::Readable { part } if part.kind == Kind::IngressClass),
        "{readable:?}"
    );
}

#[tokio::test]
async fn a_kind_denied_later_keeps_its_state_and_comes_back_as_a_difference() {
    let (server, client, namespace, mut watched) = watched().await;
    for name in ["b", "c"] {
        create(&client, &namespace, &ingress(name, "x.test")).await;
        watched.changes(1).await;
    }
    server.deny("ingresses");
    let denied = watched.next().await;
    assert!(matches!(denied, WatchEvent::Denied { .. }), "{denied:?}");
    rehost(&client, &namespace, "b", "new.test").await;
    delete(&client, &namespace, "c").await;
    create(&client, &namespace, &ingress("d", "d.test")).await;
    server.compact();
    server.allow("ingresses");
    let mut events = Vec::new();
    while events.len() < 3 {
        match watched.next().await {
            WatchEvent::Changed(changed) => events.extend(changed),
            WatchEvent::Readable { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sorted(&events), ["+ Ingress b new.test", "+ Ingress d d.test", "- Ingress c"]);
}

#[tokio::test]
async fn a_list_anew_after_too_old_a_version_tells_only_what_differs() {
    let (server, client, namespace, mut watched) = watched().await;
    server.take_requests();
    server.compact();
    server.break_watches(Break::Expired);
    rewatched(&server, "ingresses").await;
    create(&client, &namespace, &ingress("b", "b.test")).await;
    assert_eq!(watched.changes(1).await, ["+ Ingress b b.test"]);
}

#[tokio::test]
async fn a_watch_that_breaks_is_resumed_and_no_event_is_lost() {
    for how in [Break::End, Break::MidLine, Break::Garbage] {
        let (server, client, namespace, mut watched) = watched().await;
        for round in 0..3 {
            server.break_watches(how);
            let name = format!("b{round}");
            create(&client, &namespace, &ingress(&name, "b.test")).await;
            assert_eq!(watched.changes(1).await, [format!("+ Ingress {name} b.test")], "{how:?}");
        }
    }
}

#[tokio::test]
async fn a_missing_kind_is_told_and_the_rest_goes_on() {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    create(&client, &namespace, &ingress("a", "a.test")).await;
    server.forget("endpointslices");
    let mut watched = Watched::new(client.clone(), &namespace);
    let missing = watched.next().await;
    assert!(
        matches!(&missing, WatchEvent::Missing { part } if part.kind == Kind::EndpointSlice),
        "{missing:?}"
    );
    assert_eq!(watched.synced().await, ["+ Ingress a a.test"]);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_and_its_neighbours_are_read() {
    let (server, client, namespace, mut watched) = watched().await;
    // The real server takes no such object, but one of another version might hold it.
    let wrong = serde_json::json!({"metadata": {"name": "wrong"}, "spec": {"rules": "text"}});
    let request = http::Request::post(format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses"))
        .body(wrong.to_string().into_bytes())
        .unwrap();
    let _: serde_json::Value = client.request(request).await.unwrap();
    let told = watched.next().await;
    let WatchEvent::Undecodable { key, message } = &told else { panic!("{told:?}") };
    assert_eq!((&*key.name, message.starts_with("spec.rules: ")), ("wrong", true), "{message}");
    create(&client, &namespace, &ingress("b", "b.test")).await;
    assert_eq!(watched.changes(1).await, ["+ Ingress b b.test"]);
    drop(server);
}

#[tokio::test]
async fn too_many_requests_only_delay() {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    server.too_many(7);
    let mut watched = Watched::new(client.clone(), &namespace);
    assert_eq!(watched.synced().await, [""; 0]);
}

#[tokio::test]
async fn a_list_of_many_pages_is_complete() {
    let server = ApiServer::start().await;
    let client = server.client();
    let namespace = create_namespace(&client).await;
    let api: Api<Ingress> = Api::namespaced(client.clone(), &namespace);
    for number in 0..2_500 {
        api.create(&PostParams::default(), &ingress(&format!("i{number}"), "x.test")).await.unwrap();
    }
    assert_eq!(api.list(&ListParams::default().limit(2_000)).await.unwrap().items.len(), 2_000);
    assert_eq!(Watched::new(client.clone(), &namespace).synced().await.len(), 2_500);
}

#[tokio::test]
async fn a_server_that_was_away_removes_nothing() {
    let (mut server, client, namespace, mut watched) = watched().await;
    server.stop();
    server.restart().await;
    create(&client, &namespace, &ingress("b", "b.test")).await;
    assert_eq!(watched.changes(1).await, ["+ Ingress b b.test"]);
}

#[tokio::test]
async fn a_real_server_that_was_killed_removes_nothing() {
    let Some(mut server) = own_real().await else { return };
    let client = server.client();
    let namespace = create_namespace(&client).await;
    create(&client, &namespace, &ingress("a", "a.test")).await;
    let mut watched = Watched::new(client.clone(), &namespace);
    assert_eq!(watched.synced().await, ["+ Ingress a a.test"]);
    server.kill();
    server.restart().await.unwrap();
    create(&client, &namespace, &ingress("b", "b.test")).await;
    let mut changes = Vec::new();
    while changes.is_empty() {
        // A server that has just started may deny for a moment.
        if let WatchEvent::Changed(events) = watched.next().await {
            changes = sorted(&events);
        }
    }
    assert_eq!(changes, ["+ Ingress b b.test"]);
    may_read_once_it_is_granted(&server, &client, &namespace).await;
}

/// Real RBAC: a user without rights is denied every kind, and reads them once he may.
async fn may_read_once_it_is_granted(
    server: &selvedge_tests::real_api_server::RealApiServer,
    admin: &Client,
    namespace: &str,
) {
    let mut watched = Watched::new(server.limited_client(), namespace);
    for _ in Kind::ALL {
        let denied = watched.next().await;
        assert!(matches!(denied, WatchEvent::Denied { .. }), "{denied:?}");
    }
    assert_eq!(watched.synced().await, [""; 0]);
    let binding: rbac::ClusterRoleBinding = serde_json::from_value(serde_json::json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}]}))
    .unwrap();
    let metadata = ObjectMeta { name: Some("limited".into()), ..ObjectMeta::default() };
    let binding = rbac::ClusterRoleBinding { metadata, ..binding };
    Api::all(admin.clone()).create(&PostParams::default(), &binding).await.unwrap();
    let mut events = Vec::new();
    while sorted(&events) != ["+ Ingress a a.test", "+ Ingress b b.test"] {
        match watched.next().await {
            WatchEvent::Changed(changed) => events.extend(changed),
            WatchEvent::Readable { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}
