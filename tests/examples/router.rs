//! `examples/router`: requests at the top of a file are answered as it says, and what it names is deployed.

use std::path::Path;

use clap::Parser;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use selvedge_router::{
    app,
    args::{Arguments, Command},
};
use selvedge_tests::{
    client::Client,
    edge::{self, folder},
    router::Router,
};
use serde_json::Value;

use crate::{deploy, files, origins, tries};

fn example(name: &str) -> (String, Vec<Value>) {
    let files = files("examples/router").into_iter();
    let mut named = files.filter(|(path, _)| path.file_name().is_some_and(|file| file == name));
    let (_, text) = named.next().expect("the example is there");
    let objects = edge::objects(&text);
    (text, objects)
}

#[test]
fn every_example_of_the_router_answers_as_it_says() {
    let mut wrong = Vec::new();
    for name in ["switch.yaml", "ways-in.yaml"] {
        let (text, mut objects) = example(name);
        let tries = tries::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!tries.is_empty(), "{name}: no line `# try: METHOD URL -> EXPECTED` at its top");
        origins::supply(&mut objects);
        let manifests = folder();
        edge::write(manifests.path(), "objects.json", &objects);
        let said = checked(manifests.path());
        wrong.extend((!said.is_empty()).then(|| format!("{name}: `check` says\n{said}")));
        let router = Router::with_manifests(manifests.path());
        wrong.extend(tries.iter().filter_map(|one| {
            let ask = || {
                let mut client = Client::connect(router.http);
                client.send(one.request());
                client.answer()
            };
            one.check(ask).err().map(|seen| format!("{name}: {}: but {seen}", one.line))
        }));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What `selvedge-router check` prints of a folder.
fn checked(folder: &Path) -> String {
    let words = ["selvedge-router", "check", folder.to_str().expect("paths of tests are text")];
    let Command::Check(args) = Arguments::parse_from(words).command else { panic!("not the command check") };
    let mut output = Vec::new();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(app::check(&args, &mut output)).expect("the folder is readable");
    String::from_utf8(output).expect("it prints text")
}

/// `selvedge-router.selvedge-system`, as it is deployed.
fn name_of_router() -> String {
    let metadata = deploy::router::service().metadata;
    format!("{}.{}", metadata.name.unwrap_or_default(), metadata.namespace.unwrap_or_default())
}

#[test]
fn names_of_examples_lead_to_the_router_that_is_deployed() {
    let domain = deploy::router::run().names.cluster_domain;
    let (_, objects) = example("switch.yaml");
    let wanted = format!("{}.svc.{domain}", name_of_router());
    assert_eq!(objects[0]["spec"]["externalName"], *wanted);
    // Whoever calls by the external name keeps the port, so the router has it.
    let ports = |service: &Value| serde_json::from_value::<Service>(service.clone()).expect("a Service").spec;
    let of_router = deploy::router::service().spec.and_then(|spec| spec.ports).unwrap_or_default();
    for port in ports(&objects[0]).and_then(|spec| spec.ports).unwrap_or_default() {
        assert!(of_router.iter().any(|known| known.port == port.port), "{}", port.port);
    }
}

#[test]
fn the_proxy_of_the_monolith_is_the_router() {
    let (_, objects) = example("ways-in.yaml");
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("a Deployment");
    let variables = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    let proxy = variables.as_array().and_then(|all| all.iter().find(|one| one["name"] == "http_proxy"));
    let ports = deploy::router::service().spec.and_then(|spec| spec.ports).unwrap_or_default();
    let port = ports.iter().find(|port| port.name.as_deref() == Some("proxy")).expect("a port for proxying");
    let wanted = format!("http://{}:{}", name_of_router(), port.port);
    assert_eq!(proxy.expect("it has a proxy")["value"], *wanted);
    // The port that a Service asks for is reached by a Service that leads to the router.
    let asked = &objects[0]["metadata"]["annotations"]["selvedge.dev/router-port"];
    assert_eq!(objects[1]["spec"]["ports"][0]["targetPort"].to_string(), asked.as_str().expect("a text"));
    let selector = deploy::router::service().spec.and_then(|spec| spec.selector);
    assert_eq!(objects[1]["spec"]["selector"], serde_json::json!(selector));
}

#[test]
fn names_with_the_suffix_of_the_router_are_rewritten_to_its_service() {
    let (_, objects) = example("coredns.yaml");
    let map: ConfigMap = serde_json::from_value(objects[0].clone()).expect("a ConfigMap");
    let text = map.data.unwrap_or_default().remove("router.override").expect("the part of the Corefile");
    let names = deploy::router::run().names;
    let suffix = names.suffix[0].replace('.', r"\.");
    let wanted = format!(
        r"rewrite stop name regex ^(.+)\.{suffix}\.?$ {}.svc.{} answer auto",
        name_of_router(),
        names.cluster_domain
    );
    assert_eq!(text.trim(), wanted);
}
