//! Parameters of classes: what EdgeParameters say counts at once, and where they are gone nothing passes.

use k8s_openapi::api::networking::v1 as networking;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use selvedge_crds::EdgeParameters;
use selvedge_tests::waiting::eventually;
use serde_json::{Value, json};

use crate::{
    edge::with_edge,
    servers::{create, ingress, on_each_with_kubeconfig, until_told},
};

/// A class that names EdgeParameters of its own name.
async fn create_class(client: &Client, name: &str) {
    let class = json!({"metadata": {"name": name}, "spec": {
        "controller": "selvedge.dev/ingress",
        "parameters": {"apiGroup": "selvedge.dev", "kind": "EdgeParameters", "name": name},
    }});
    let class: networking::IngressClass = serde_json::from_value(class).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &class).await.unwrap();
}

async fn create_parameters(api: &Api<EdgeParameters>, name: &str, spec: Value) {
    let parameters = json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": "EdgeParameters",
        "metadata": {"name": name}, "spec": spec});
    api.create(&PostParams::default(), &serde_json::from_value(parameters).unwrap()).await.unwrap();
}

/// Waits until the status says for how many classes the edge accepts them, and what is wrong.
async fn until_accepted(api: &Api<EdgeParameters>, name: &str, wanted: (&str, &str)) {
    eventually(async || {
        let status = api.get(name).await.unwrap().status?;
        let entry = status.of("selvedge.dev/ingress")?;
        let problem = entry.problems.first().map(String::as_str).unwrap_or_default();
        assert_eq!(entry.targets[0].target, format!("class {name}"));
        (entry.accepted.as_deref() == Some(wanted.0) && problem.contains(wanted.1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn parameters_of_a_class_count_at_once_and_close_its_paths_while_they_are_gone() {
    on_each_with_kubeconfig(async |client, namespace, kubeconfig| {
        let class = format!("public-{namespace}");
        let api: Api<EdgeParameters> = Api::all(client.clone());
        create_class(&client, &class).await;
        create_parameters(&api, &class, json!({"redirectToHttps": {"when": "Always"}})).await;
        let mut wanted = ingress("a", "a.test");
        wanted.spec.as_mut().unwrap().ingress_class_name = Some(class.clone());
        create(&client, &namespace, &wanted).await;
        let flags = ["--kubeconfig", &kubeconfig, "--namespace", &namespace, "--lease-namespace", &namespace];
        with_edge(&[&flags[..], &["--ingress-class", &class]].concat(), async |edge| {
            edge.ready().await;
            assert_eq!(edge.status("a.test").await, 308);
            until_accepted(&api, &class, ("True", "")).await;
            let patch = async |spec: Value| {
                let patch = Patch::Merge(json!({"spec": spec}));
                api.patch(&class, &PatchParams::default(), &patch).await.unwrap();
            };
            patch(json!({"redirectToHttps": {"status": 301}})).await;
            edge.until("a.test", 301).await;
            // The redirect comes before the access list, as in ingress-nginx.
            patch(json!({"access": {"block": ["127.0.0.0/8"]}, "redirectToHttps": {"when": "Never"}})).await;
            edge.until("a.test", 403).await;
            // The schema takes it, and no network is so long.
            patch(json!({"access": {"block": ["127.0.0.0/99"]}})).await;
            until_accepted(&api, &class, ("False", "127.0.0.0/99")).await;
            patch(json!({"access": null, "redirectToHttps": null})).await;
            until_accepted(&api, &class, ("True", "")).await;
            // Its Service is missing.
            eventually(async || edge.answer("a.test").await.contains("service_not_found").then_some(()))
                .await;
            api.delete(&class, &DeleteParams::default()).await.unwrap();
            eventually(async || edge.answer("a.test").await.contains("unreadable_protection").then_some(()))
                .await;
            until_told(&client, "default", ("IngressClass", &class), "ParametersNotFound").await;
            create_parameters(&api, &class, json!({"redirectToHttps": {"when": "Always"}})).await;
            edge.until("a.test", 308).await;
        })
        .await;
    })
    .await;
}
