//! The definitions of our kinds, as a real API server takes them and what it makes of objects.

mod invalid;

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{Api, Client, api::PostParams};
use selvedge_tests::{edge::objects, waiting::eventually};
use serde_json::{Value, json};

use crate::servers::{create_namespace, real_with_namespace};

/// Objects with every field at least once.
const VALID: &str = include_str!("valid.yaml");

/// Gives a server all definitions and waits until it serves them.
pub async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in selvedge_crds::all() {
        let name = definition.metadata.name.clone().unwrap();
        api.create(&PostParams::default(), &definition)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        eventually(async || {
            let path = format!("/apis/selvedge.dev/v1alpha1/{}", definition.spec.names.plural);
            let listed = client.request::<Value>(http::Request::get(path).body(Vec::new()).unwrap()).await;
            listed.ok()
        })
        .await;
    }
}

/// Where the objects of a kind are, in a namespace if it has any.
fn address(kind: &str, namespace: &str) -> String {
    let definitions = selvedge_crds::all();
    let of_kind = |definition: &&CustomResourceDefinition| definition.spec.names.kind == kind;
    let spec = &definitions.iter().find(of_kind).expect("a kind of ours").spec;
    let plural = &spec.names.plural;
    match spec.scope.as_str() {
        "Namespaced" => format!("/apis/selvedge.dev/v1alpha1/namespaces/{namespace}/{plural}"),
        _ => format!("/apis/selvedge.dev/v1alpha1/{plural}"),
    }
}

/// Tries to create an object in a namespace, or creates it.
async fn create(client: &Client, namespace: &str, object: &Value, dry: bool) -> Result<Value, String> {
    let address = address(object["kind"].as_str().unwrap_or_default(), namespace);
    let dry = if dry { "&dryRun=All" } else { "" };
    let path = format!("{address}?fieldValidation=Strict{dry}");
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    })
}

#[tokio::test]
async fn a_real_server_takes_all_definitions_without_complaint() {
    let Some((client, _)) = real_with_namespace().await else { return };
    let api: Api<CustomResourceDefinition> = Api::all(client);
    for definition in selvedge_crds::all() {
        let held = api.get(definition.metadata.name.as_deref().unwrap()).await.unwrap();
        let conditions = held.status.unwrap().conditions.unwrap();
        let conditions: Vec<_> = conditions
            .iter()
            .map(|condition| (condition.type_.as_str(), condition.status.as_str()))
            .collect();
        // Further ones, such as NonStructuralSchema, are complaints.
        assert_eq!(conditions, [("NamesAccepted", "True"), ("Established", "True")], "{definition:?}");
    }
}

#[tokio::test]
async fn objects_with_every_field_are_taken_and_stay_as_they_are() {
    let Some((client, namespace)) = real_with_namespace().await else { return };
    for object in objects(VALID) {
        let held = create(&client, &namespace, &object, false).await.unwrap();
        let lost = lost(&object["spec"], &held["spec"]);
        assert_eq!(lost, [""; 0], "{} {}", object["kind"], object["metadata"]["name"]);
    }
}

/// Paths of what one value has and another one has not, or otherwise.
fn lost(given: &Value, held: &Value) -> Vec<String> {
    let within = |name: String, given: &Value, held: &Value| {
        lost(given, held).into_iter().map(move |rest| format!(".{name}{rest}")).collect::<Vec<_>>()
    };
    match (given, held) {
        (Value::Object(fields), Value::Object(_)) => {
            fields.iter().flat_map(|(name, value)| within(name.clone(), value, &held[name])).collect()
        }
        (Value::Array(items), Value::Array(_)) => {
            let items = items.iter().enumerate();
            items.flat_map(|(at, value)| within(at.to_string(), value, &held[at])).collect()
        }
        (given, held) if given == held => Vec::new(),
        _ => vec![String::new()],
    }
}

#[test]
fn no_field_is_forgotten_in_the_valid_objects() {
    let given = objects(VALID);
    for definition in selvedge_crds::all() {
        let kind = &definition.spec.names.kind;
        let mut used = BTreeSet::new();
        let of_kind = given.iter().filter(|object| object["kind"] == kind.as_str());
        of_kind.for_each(|object| gather_used("", &object["spec"], &mut used));
        let schema =
            definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let mut declared = BTreeSet::new();
        gather_declared("", &schema.properties.as_ref().unwrap()["spec"], &mut declared);
        let forgotten: Vec<_> = declared.difference(&used).collect();
        assert!(forgotten.is_empty(), "{kind}: {forgotten:?}");
    }
}

fn gather_used(path: &str, value: &Value, used: &mut BTreeSet<String>) {
    used.insert(path.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| gather_used(&format!("{path}.{name}"), value, used));
        }
        Value::Array(items) => items.iter().for_each(|item| gather_used(path, item, used)),
        _ => {}
    }
}

fn gather_declared(path: &str, schema: &JSONSchemaProps, declared: &mut BTreeSet<String>) {
    declared.insert(path.to_owned());
    for (name, property) in schema.properties.iter().flatten() {
        gather_declared(&format!("{path}.{name}"), property, declared);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        gather_declared(path, items, declared);
    }
}

#[tokio::test]
async fn kinds_have_short_names_a_category_and_a_status_of_their_own() {
    let Some((client, _)) = real_with_namespace().await else { return };
    let listed = client.list_api_group_resources("selvedge.dev/v1alpha1").await.unwrap().resources;
    for (kind, short, has_status) in [
        ("RouteRule", "rr", true),
        ("TrafficPolicy", "tp", true),
        ("RouteGrant", "rg", false),
        ("EdgeParameters", "edp", true),
    ] {
        let of_kind: Vec<_> = listed.iter().filter(|resource| resource.kind == kind).collect();
        let (main, status): (Vec<_>, Vec<_>) =
            of_kind.into_iter().partition(|resource| !resource.name.contains('/'));
        assert_eq!(main[0].short_names.as_deref(), Some(&[short.to_owned()][..]), "{kind}");
        assert_eq!(main[0].categories.as_deref(), Some(&["selvedge".to_owned()][..]), "{kind}");
        // Those of IngressClasses are as these are.
        assert_eq!(main[0].namespaced, kind != "EdgeParameters", "{kind}");
        assert_eq!(status.len(), usize::from(has_status), "{kind}");
    }
}

/// The table that `kubectl get -o wide` shows: names of columns, then the cells of each row.
async fn table(client: &Client, namespace: &str, kind: &str) -> (Vec<String>, Vec<Vec<Value>>) {
    let path = address(kind, namespace);
    let request = http::Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = client.request(request.body(Vec::new()).unwrap()).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let columns = columns.map(|column| column["name"].as_str().unwrap().to_owned()).collect();
    let cells = |row: &Value| row["cells"].as_array().unwrap().clone();
    (columns, table["rows"].as_array().unwrap().iter().map(cells).collect())
}

#[tokio::test]
async fn columns_say_for_what_an_object_counts_and_what_became_of_it() {
    let Some((client, namespace)) = real_with_namespace().await else { return };
    let entry = |name: &str, accepted: &str, problems: &[&str]| json!({"name": name, "accepted": accepted, "problems": problems});
    let router = entry("selvedge.dev/router", "Partly", &["spec.targets[1]: no"]);
    let edge = entry("selvedge.dev/ingress", "True", &[]);
    let cases = [
        ("RouteRule", json!({"targets": [{"service": "a"}], "rules": [{}]})),
        ("TrafficPolicy", json!({"targets": [{"kind": "Namespace"}]})),
        ("RouteGrant", json!({"from": [{"namespace": "web"}]})),
    ];
    for (kind, spec) in cases {
        let object = json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        create(&client, &namespace, &object, false).await.unwrap();
        if kind == "RouteGrant" {
            let (columns, rows) = table(&client, &namespace, kind).await;
            assert_eq!(columns, ["Name", "From", "To", "Age"]);
            assert_eq!(rows[0][1], r#"[{"namespace":"web"}]"#);
            continue;
        }
        let path = format!("{}/a/status", address(kind, &namespace));
        let status = json!({"status": {"controllers": [edge, router]}}).to_string();
        let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
        let _: Value = client.request(request.body(status.into_bytes()).unwrap()).await.unwrap();
        let (mut columns, mut rows) = table(&client, &namespace, kind).await;
        let mut cells = rows.swap_remove(0);
        if kind == "RouteRule" {
            assert_eq!((columns.remove(2).as_str(), cells.remove(2)), ("Priority", json!(0)));
        }
        assert_eq!(columns, ["Name", "Targets", "Router", "Edge", "Router Problems", "Edge Problems", "Age"]);
        assert_eq!(
            cells[2..6],
            [json!("Partly"), json!("True"), json!(r#"["spec.targets[1]: no"]"#), json!("[]")]
        );
    }
}

#[tokio::test]
async fn columns_of_parameters_say_what_they_hold_and_what_became_of_it() {
    let Some((client, namespace)) = real_with_namespace().await else { return };
    // They are of the whole cluster, so others may have some, too.
    let name = format!("first-{namespace}");
    let spec = json!({"redirectToHttps": {"when": "Always"}, "maxBodyBytes": 1024, "externalAuth": {"url": "http://a/"}});
    let object = json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": "EdgeParameters", "metadata": {"name": name}, "spec": spec});
    create(&client, &namespace, &object, false).await.unwrap();
    let path = format!("{}/{name}/status", address("EdgeParameters", &namespace));
    let status = json!({"status": {"controllers": [{"name": "selvedge.dev/ingress", "accepted": "True"}]}});
    let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
    let _: Value = client.request(request.body(status.to_string().into_bytes()).unwrap()).await.unwrap();
    let (columns, rows) = table(&client, &namespace, "EdgeParameters").await;
    assert_eq!(columns, ["Name", "Redirect", "Max Body", "External Auth", "Edge", "Edge Problems", "Age"]);
    let cells = rows.iter().find(|cells| cells[0] == name.as_str()).unwrap();
    assert_eq!(cells[1..5], [json!("Always"), json!(1024), json!("http://a/"), json!("True")]);
}

#[tokio::test]
async fn what_an_entry_of_a_status_may_be_is_checked() {
    let Some((client, namespace)) = real_with_namespace().await else { return };
    let other = create_namespace(&client).await;
    assert_ne!(namespace, other);
    let spec = json!({"targets": [{"service": "a"}], "rules": [{}]});
    let object = json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": "RouteRule", "metadata": {"name": "a"}, "spec": spec});
    create(&client, &namespace, &object, false).await.unwrap();
    let cases = [
        (json!([{"name": "a", "accepted": "Maybe"}]), r#"supported values: "True", "False", "Partly""#),
        (json!([{"accepted": "True"}]), "status.controllers[0].name: Required value"),
        (json!([{"name": "a"}, {"name": "a"}]), "status.controllers[1]: Duplicate value"),
        (
            json!([{"name": "a", "targets": [{"target": "a"}, {"target": "a"}]}]),
            "targets[1]: Duplicate value",
        ),
    ];
    for (controllers, wanted) in cases {
        let path = format!("/apis/selvedge.dev/v1alpha1/namespaces/{namespace}/routerules/a/status");
        let status = json!({"status": {"controllers": controllers}}).to_string();
        let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
        let answer = client.request::<Value>(request.body(status.into_bytes()).unwrap()).await;
        let Err(kube::Error::Api(refusal)) = answer else { panic!("{controllers}: taken") };
        assert!(refusal.message.contains(wanted), "{controllers}: {}", refusal.message);
    }
}
