//! The program as an operator runs it: with a folder of manifests, on loopback.

use std::{
    io::Read,
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc,
};

use clap::CommandFactory;
use selvedge_router::args::Arguments;
use selvedge_tests::{
    client::Client,
    edge::{folder, write},
    origin::{After, Origin},
    process::Process,
    router::{Router, service},
    waiting::until,
};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_selvedge-router");

/// What the program does with these words, alone in its environment.
fn output(words: &[&str]) -> (Output, String, String) {
    let output = Command::new(PROGRAM).args(words).env_clear().stdin(Stdio::null()).output();
    let output = output.expect("the program is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (standard, error) = (text(&output.stdout), text(&output.stderr));
    (output, standard, error)
}

fn start(manifests: &Path, flags: &[&str]) -> Process {
    let manifests = manifests.to_str().expect("paths of tests are text");
    let process = Process::start(Path::new(PROGRAM), &[&["--manifests", manifests], flags].concat());
    process.until_ready();
    process
}

#[test]
fn a_service_answers_by_its_name_and_others_get_404_with_the_reason() {
    let orders = Origin::named("orders");
    let manifests = folder();
    write(manifests.path(), "orders.json", &service("shop", "orders", 8080, &[orders.address]));
    let mut process = start(manifests.path(), &[]);
    let answer = Client::connect(process.http()).get("orders.shop", "/a?b");
    assert_eq!((answer.status, answer.text()), (200, "orders".into()));
    assert_eq!(orders.seen()[0].line, "GET /a?b HTTP/1.1");
    let answer = Client::connect(process.http()).get("carts.shop", "/");
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (404, Some("no_route")));
    process.terminate();
    assert_eq!(process.ended().code(), Some(0));
}

#[test]
fn a_service_that_comes_later_is_served_without_a_restart() {
    let manifests = folder();
    let process = start(manifests.path(), &[]);
    assert_eq!(process.status("orders.shop", "/"), 404);
    let orders = Origin::named("orders");
    write(manifests.path(), "orders.json", &service("shop", "orders", 80, &[orders.address]));
    process.until_body("orders.shop", "/", "orders");
    std::fs::remove_file(manifests.path().join("orders.json")).unwrap();
    process.until_status("orders.shop", "/", 404);
}

#[test]
fn only_services_of_the_namespaces_that_are_given_are_served() {
    let origin = Origin::named("origin");
    let manifests = folder();
    write(manifests.path(), "shop.json", &service("shop", "orders", 80, &[origin.address]));
    write(manifests.path(), "bank.json", &service("bank", "orders", 80, &[origin.address]));
    let router =
        Router::start(&["--manifests", manifests.path().to_str().unwrap(), "--namespace=shop,other"]);
    let statuses = ["orders.shop", "orders.bank"].map(|host| router.get(host, "/").status);
    assert_eq!(statuses, [200, 404]);
}

#[test]
fn a_service_without_endpoints_gets_503() {
    let manifests = folder();
    write(manifests.path(), "orders.json", &service("shop", "orders", 80, &[]));
    assert_eq!(Router::with_manifests(manifests.path()).get("orders.shop", "/").status, 503);
}

#[test]
fn an_endpoint_that_keeps_answering_500_gets_no_more_requests_without_any_policy() {
    let ill = Origin::answering("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    let well = Origin::named("orders");
    let manifests = folder();
    write(manifests.path(), "orders.json", &service("shop", "orders", 80, &[ill.address, well.address]));
    let router = Router::with_manifests(manifests.path());
    let mut client = Client::connect(router.http);
    (0..100).for_each(|_| drop(client.get("orders.shop", "/")));
    assert!(ill.seen().len() <= 5, "{} of a hundred", ill.seen().len());
}

#[test]
fn objects_of_other_programs_are_told_once_and_harm_nothing() {
    let manifests = folder();
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"}});
    let class =
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "a"}});
    write(manifests.path(), "edge.json", &[ingress, class]);
    let process = start(manifests.path(), &[]);
    let is_notice = |line: &Value| {
        line["message"].as_str().is_some_and(|text| text.contains("of kind Ingress, IngressClass"))
    };
    // What the process has written is read a little later.
    let notices = until(|| {
        let notices: Vec<_> = process.log().into_iter().filter(is_notice).collect();
        (!notices.is_empty()).then_some(notices)
    });
    assert_eq!(notices.iter().map(|line| &line["level"]).collect::<Vec<_>>(), ["INFO"]);
    let (output, said, _) = output(&["check", manifests.path().to_str().unwrap()]);
    assert_eq!((output.status.code(), said.lines().count()), (Some(0), 1), "{said}");
    assert!(said.starts_with("notice: "), "{said}");
}

#[test]
fn check_prints_what_is_wrong_and_exits_1_on_errors() {
    let manifests = folder();
    let path = manifests.path().to_str().unwrap();
    write(manifests.path(), "orders.json", &service("shop", "orders", 80, &[]));
    let (sound, said, error) = output(&["check", path]);
    assert_eq!((sound.status.code(), &*said, &*error), (Some(0), "", ""));
    let name = json!({"name": "metadata", "namespace": "shop"});
    let forbidden = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": name,
        "spec": {"type": "ExternalName", "externalName": "169.254.169.254", "ports": [{"port": 80}]},
    });
    write(manifests.path(), "metadata.json", &[forbidden]);
    let (wrong, said, _) = output(&["check", path]);
    assert_eq!(wrong.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: ") && said.contains("Service shop/metadata"), "{said}");
    let (_, json, _) = output(&["check", "--format=json", path]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["problems"][0]["reason"], "ForbiddenBackend", "{json}");
}

/// Kind and `spec` of objects that are wrong, the field that is, and a part of what is said of it.
fn wrong_objects() -> Vec<(&'static str, serde_json::Value, &'static str, &'static str)> {
    let target = json!([{"service": "orders"}]);
    let rule = |rule: serde_json::Value| json!({"targets": target, "rules": [rule]});
    vec![
        (
            "RouteRule",
            json!({"targets": [{"service": "ordres"}], "rules": [{}]}),
            "targets[0].service: ",
            "mean \"orders\"",
        ),
        (
            "RouteRule",
            rule(json!({"backends": [{"service": "order"}]})),
            "backends[0].service: ",
            "mean \"orders\"",
        ),
        (
            "RouteRule",
            rule(json!({"backends": [{"service": "orders", "port": 1}]})),
            "backends[0].port: ",
            "has 80",
        ),
        (
            "RouteRule",
            rule(json!({"backends": [{"service": "orders", "weight": 0}]})),
            "rules[0].backends: ",
            "weights",
        ),
        (
            "RouteRule",
            rule(json!({"backends": [{"service": "a", "namespace": "b"}]})),
            "service: ",
            "RouteGrant",
        ),
        ("RouteRule", rule(json!({"matches": [{"path": {"regex": "(a"}}]})), "path.regex: ", "unclosed"),
        (
            "RouteRule",
            rule(json!({"matches": [{"path": {"prefix": "/a/../b"}}]})),
            "path.prefix: ",
            "write \"/b\"",
        ),
        (
            "RouteRule",
            rule(json!({"headers": {"request": {"remove": ["via"]}}})),
            "remove[0]: ",
            "proxy's own",
        ),
        ("RouteRule", rule(json!({"redirect": {}})), "rules[0].redirect: ", "what the redirect changes"),
        ("RouteRule", rule(json!({"retry": {"when": ["rest"]}})), "retry.when[0]: ", "connect-failure"),
        ("RouteRule", rule(json!({"retrys": {}})), "rules[0].retrys is no field", "mean \"retry\""),
        (
            "TrafficPolicy",
            json!({"targets": [{"kind": "Service", "name": "order"}]}),
            "targets[0].name: ",
            "mean \"orders\"",
        ),
        (
            "TrafficPolicy",
            json!({"targets": [{"kind": "Namespace"}], "tls": {"ca": {"secret": "x"}}}),
            "tls.ca.secret: ",
            "x",
        ),
        (
            "TrafficPolicy",
            json!({"targets": [{"kind": "Namespace"}], "ratelimit": {}}),
            "ratelimit is",
            "mean \"rateLimit\"",
        ),
    ]
}

#[test]
fn check_names_every_wrong_object_of_a_folder_with_its_file_and_the_field() {
    let manifests = folder();
    let path = manifests.path().to_str().unwrap();
    write(manifests.path(), "orders.json", &service("shop", "orders", 80, &[]));
    let object = |kind: &str, name: &str, spec: serde_json::Value| {
        let metadata = json!({"name": name, "namespace": "shop"});
        json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
    };
    let rows = wrong_objects();
    for (at, (kind, spec, ..)) in rows.iter().enumerate() {
        write(manifests.path(), &format!("{at:02}.json"), &[object(kind, &format!("o{at}"), spec.clone())]);
    }
    let (wrong, said, _) = output(&["check", path]);
    assert_eq!(wrong.status.code(), Some(1), "{said}");
    for (at, (kind, _, field, hint)) in rows.iter().enumerate() {
        let named = format!("/{at:02}.json:1: {kind} shop/o{at}: spec.");
        let told = |line: &&str| line.contains(&named) && line.contains(field) && line.contains(hint);
        assert!(said.lines().any(|line| told(&line)), "no {named} {field} {hint} in\n{said}");
    }
    assert!(!said.contains("Service shop/orders:"), "{said}");
}

#[test]
fn help_lists_every_flag() {
    for command in Arguments::command().get_subcommands() {
        let (output, said, _) = output(&[command.get_name(), "--help"]);
        assert!(output.status.success());
        for flag in command.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(said.contains(&format!("--{flag}")), "{} --{flag}", command.get_name());
        }
    }
}

#[test]
fn wrong_flags_are_one_line_and_exit_2() {
    for flags in
        [&["run", "--http", "8080"][..], &["run", "--sufix=x"], &["run", "--suffix=a..b"], &["check"]]
    {
        let (output, said, error) = output(flags);
        assert_eq!((output.status.code(), &*said, error.lines().count()), (Some(2), "", 1), "{error}");
        assert!(error.starts_with("selvedge-router: "), "{error}");
    }
}

#[test]
fn a_path_that_is_not_there_is_one_line_and_exits_1() {
    for words in [&["check", "missing.yaml"][..], &["run", "--http=127.0.0.1:0", "--manifests=missing.yaml"]]
    {
        let (output, said, error) = output(words);
        assert_eq!((output.status.code(), &*said, error.lines().count()), (Some(1), "", 1), "{error}");
        assert!(error.contains("missing.yaml"), "{error}");
    }
}

#[test]
fn a_service_that_hangs_takes_only_its_part_of_the_router() {
    let (come, came) = mpsc::channel();
    let hung = Origin::scripted(move |_, stream| {
        come.send(()).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "it never answers");
        After::Close
    });
    let well = Origin::named("well");
    let manifests = folder();
    write(manifests.path(), "hung.json", &service("shop", "hung", 80, &[hung.address]));
    write(manifests.path(), "well.json", &service("shop", "well", 80, &[well.address]));
    let folder = manifests.path().to_str().unwrap();
    let router = Router::start(&["--manifests", folder, "--max-requests-per-service=3", "--max-requests=10"]);
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let mut client = Client::connect(router.http);
            client.send("GET / HTTP/1.1\r\nHost: hung.shop\r\n\r\n");
            came.recv().unwrap();
            client
        })
        .collect();
    for _ in 0..20 {
        let answer = router.get("hung.shop", "/");
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (503, Some("overload")));
        assert_eq!(router.get("well.shop", "/").text(), "well");
    }
    drop(busy);
}

#[test]
fn an_unknown_host_is_refused_or_with_the_flag_passed_on_but_never_to_this_machine() {
    let secret = Origin::named("secret");
    let manifests = folder();
    let folder = manifests.path().to_str().unwrap();
    let host = secret.address.to_string();
    for (flags, status, reason) in [
        (vec!["--manifests", folder], 404, "no_route"),
        (vec!["--manifests", folder, "--pass-through"], 403, "forbidden_destination"),
    ] {
        let answer = Router::start(&flags).get(&host, "/");
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (status, Some(reason)));
    }
    assert_eq!(secret.connections(), 0);
}
