//! Objects that a real API server refuses, each with what it says to whoever wrote them.

use selvedge_tests::edge::objects;
use serde_json::{Value, json};

use super::create;
use crate::servers::real_with_namespace;

const NAME: &str =
    "a name is made of lower-case letters, digits and '-', and begins and ends with a letter or digit";
const HEADER: &str = "a name of a header or cookie is made of letters, digits, '-' and '_', such as x-client";
const HOST: &str = "a host is a lower-case DNS name without scheme, port or path, such as api.example.com";
const PATH: &str = "a path begins with '/' and has no '?', '#' or space";
const DURATION: &str = "write a duration such as 250ms, 5s or 1m30s";
const ONE_ACTION: &str = "a rule has at most one of backends, redirect and respond";
const ONE_TRY: &str =
    "backend is the time of one try, so it must not be longer than request, the time of all tries";
const ONCE: &str = "targets must differ; one of them is there twice";
const BEGINNING: &str = "a path begins with '/', and here has no '?', '#', ',' or space";
const NETWORK: &str = "a network is an address, with the length of its prefix or without, such as 10.0.0.0/8";
const URL: &str = "a URL begins with http:// or https:// and a host, and has no space";
const RETRY: &str = "retry on a status from 400 to 599 or one of connect-failure, reset, timeout, 5xx, ";

/// Rules of a RouteRule for a Service.
const RULES: &[(&str, &str)] = &[
    (
        "{backends: [{service: a, weight: 0}]}",
        "spec.rules[0]: Invalid value: at least one of the backends needs a weight above 0",
    ),
    ("{backends: []}", "spec.rules[0].backends in body should have at least 1 items"),
    ("{backends: [{service: a, port: 0}]}", "port in body should be greater than or equal to 1"),
    ("{backends: [{service: a, port: 70000}]}", "port in body should be less than or equal to 65535"),
    ("{backends: [{service: Orders}]}", NAME),
    ("{backends: [{service: a.shop}]}", NAME),
    ("{backends: [{port: 80}]}", "spec.rules[0].backends[0].service: Required value"),
    ("{backends: [{service: a, weihgt: 1}]}", r#"unknown field "spec.rules[0].backends[0].weihgt""#),
    ("{backends: [{service: a}], redirect: {path: /}}", ONE_ACTION),
    ("{redirect: {path: /}, respond: {status: 200}}", ONE_ACTION),
    (
        "{redirect: {path: /}, mirror: [{service: a}]}",
        "redirect and respond send nothing to a backend: remove mirror, retry and rewrite",
    ),
    ("{redirect: {}}", "say what the redirect changes: scheme, host, port, path or prefix"),
    ("{redirect: {path: /, prefix: /}}", "give at most one of prefix and path"),
    ("{redirect: {path: /, status: 200}}", r#"supported values: "301", "302", "303", "307", "308""#),
    ("{redirect: {scheme: ftp}}", r#"supported values: "http", "https""#),
    ("{respond: {status: 99}}", "status in body should be greater than or equal to 200"),
    ("{respond: {status: 204, body: x}}", "a response with status 204, 205 or 304 has no body; remove it"),
    (
        "{matches: [{path: {exact: /a, prefix: /b}}]}",
        "spec.rules[0].matches[0].path: Invalid value: give exactly one of exact, prefix and regex",
    ),
    ("{matches: [{path: {}}]}", "give exactly one of exact, prefix and regex"),
    ("{matches: [{path: {exact: a}}]}", PATH),
    ("{matches: [{path: {prefix: '/a?b'}}]}", PATH),
    ("{matches: [{methods: [get]}]}", "a method is written in upper-case letters, such as GET"),
    ("{matches: [{headers: [{name: x client, exact: a}]}]}", HEADER),
    ("{matches: [{headers: [{name: a}]}]}", "give exactly one of exact, regex and present"),
    ("{matches: [{query: [{name: a, exact: b, regex: c}]}]}", "give exactly one of exact, regex and present"),
    ("{matches: [{headers: [{name: a, exact: 1}]}]}", "exact in body must be of type string"),
    ("{matches: [{from: [{}]}]}", "say who may call: namespace, serviceAccount or both"),
    ("{matches: [{from: [{namespace: Web}]}]}", NAME),
    ("{timeouts: {request: 1s, backend: 2s}}", ONE_TRY),
    ("{timeouts: {request: fast}}", DURATION),
    ("{timeouts: {request: 1.5s}}", DURATION),
    (
        "{rewrite: {prefix: /}, matches: [{path: {exact: /a}}]}",
        "a prefix can only be replaced where one is matched: write path.prefix in each of the matches, or replace the whole path by path",
    ),
    ("{rewrite: {}}", "say what is rewritten: prefix, path or host"),
    ("{rewrite: {path: /a, prefix: /b}}", "give at most one of prefix and path"),
    ("{rewrite: {host: 'http://a'}}", HOST),
    ("{retry: {attempts: 11}}", "attempts in body should be less than or equal to 10"),
    ("{retry: {when: [200]}}", RETRY),
    ("{retry: {when: [conect-failure]}}", RETRY),
    ("{fault: {}}", "say which fault: abort, delay or both"),
    ("{fault: {abort: {percent: 101, status: 503}}}", "percent in body should be less than or equal to 100"),
    ("{fault: {abort: {status: 503, grpcStatus: 14}}}", "give exactly one of status and grpcStatus"),
    ("{fault: {delay: {percent: 5}}}", "spec.rules[0].fault.delay.duration: Required value"),
    ("{headers: {request: {remove: [x y]}}}", HEADER),
    (
        "{headers: {request: {set: {a: 1}}}}",
        "spec.rules[0].headers.request.set.a in body must be of type string",
    ),
    ("{name: Mobile}", NAME),
    ("{name: a}, {name: a}", "names of rules must differ; two of the rules have the same name"),
    ("", "spec.rules in body should have at least 1 items"),
];

/// Targets of a RouteRule with a backend.
const RULE_TARGETS: &[(&str, &str)] = &[
    ("", "spec.targets in body should have at least 1 items"),
    ("{service: a, host: b}", "spec.targets[0]: Invalid value: name exactly one of service and host"),
    ("{}", "name exactly one of service and host"),
    ("{host: a.test, port: 80}", "port is one of a Service's; it needs service"),
    ("{service: a}, {service: a}", ONCE),
    ("{host: 'https://a'}", HOST),
    ("{host: '*'}", "such as api.example.com or *.example.com"),
    ("{host: API.test}", HOST),
];

/// Targets of a TrafficPolicy.
const POLICY_TARGETS: &[(&str, &str)] = &[
    (
        "{kind: Namespace, name: a}",
        "name the object; only kind Namespace has no name, as it means the namespace of this policy",
    ),
    ("{kind: Service}", "name the object; only kind Namespace has no name"),
    ("{kind: Ingress, name: a, port: 80}", "port is one of a Service's; it needs kind Service"),
    (
        "{kind: Pod, name: a}",
        r#"supported values: "Namespace", "Service", "RouteRule", "HTTPRoute", "Ingress""#,
    ),
    ("{kind: Service, name: a}, {kind: Service, name: a}", ONCE),
    ("{kind: Service, name: A}", "a name is made of lower-case letters, digits, '-' and '.'"),
];

/// Fields of a TrafficPolicy for a Service.
const POLICIES: &[(&str, &str)] = &[
    ("balance: {algorithm: Random}", r#"supported values: "RoundRobin", "LeastRequests", "Ewma", "Hash""#),
    (
        "balance: {algorithm: Hash}",
        "algorithm Hash needs hash, which says what is hashed; no other algorithm has it",
    ),
    ("balance: {algorithm: Ewma, hash: {source: true}}", "no other algorithm has it"),
    ("balance: {algorithm: Hash, hash: {source: false}}", "this can only be true; leave it out otherwise"),
    (
        "balance: {algorithm: Hash, hash: {source: true, header: a}}",
        "give exactly one of header, cookie and source",
    ),
    ("outlier: {mostEjectedPercent: 101}", "mostEjectedPercent in body should be less than or equal to 100"),
    ("healthCheck: {interval: 1s}", "give exactly one of http, tcp and grpc"),
    ("healthCheck: {tcp: {}, interval: 1s, timeout: 2s}", "timeout must not be longer than interval"),
    ("rateLimit: {requests: 1, per: 0s}", "per must be longer than 0s; write one such as 1s, 1m or 1h"),
    ("rateLimit: {requests: 1, per: 1s, key: {}}", "give exactly one of caller, header and source"),
    (
        "concurrency: {queue: {length: 1, wait: 1s}}",
        "queue is for requests above perCaller; give perCaller too",
    ),
    (
        "tls: {mode: Plain, serverName: a}",
        "mode Plain means connections without TLS: remove ca, serverName, clientCertificate and insecureSkipVerify",
    ),
    (
        "tls: {insecureSkipVerify: true, ca: {secret: a}}",
        "with insecureSkipVerify nothing is checked against ca; remove one of them",
    ),
    ("tls: {ca: {secret: a, configMap: b}}", "name exactly one of secret and configMap"),
    ("proxyProtocol: v3", r#"supported values: "v1", "v2""#),
    ("priority: urgent", r#"supported values: "low", "normal", "high""#),
    ("timeouts: {request: 1s, backend: 1m}", ONE_TRY),
    ("retryBudget: {percent: 101}", "percent in body should be less than or equal to 100"),
    ("connection: {timeout: soon}", DURATION),
];

/// What is in a RouteGrant.
const GRANTS: &[(&str, &str)] = &[
    ("from: []", "spec.from in body should have at least 1 items"),
    ("from: [{}]", "spec.from[0].namespace: Required value"),
    ("from: [{namespace: web, kind: Pod}]", r#"supported values: "RouteRule", "Ingress", "TrafficPolicy""#),
    ("from: [{namespace: web}], to: [{service: a/b}]", NAME),
];

/// Fields of EdgeParameters.
const PARAMETERS: &[(&str, &str)] = &[
    ("redirectToHttps: {when: Sometimes}", r#"supported values: "Never", "WithTls", "Always""#),
    ("redirectToHttps: {status: 200}", r#"supported values: "301", "302", "303", "307", "308""#),
    ("redirectToHttps: {exceptPaths: [public]}", BEGINNING),
    ("redirectToHttps: {exceptPaths: ['/a,/b']}", BEGINNING),
    ("redirectToHttps: {exceptPaths: []}", "exceptPaths in body should have at least 1 items"),
    ("strictTransport: {}", "spec.strictTransport.maxAge: Required value"),
    ("strictTransport: {maxAge: a year}", DURATION),
    ("timeouts: {connect: 0s}", "connect must be longer than 0s, as otherwise every request would fail"),
    ("timeouts: {read: 0s}", "read must be longer than 0s, as otherwise every request would fail"),
    ("timeouts: {read: 60}", "read in body must be of type string"),
    ("retry: {attempts: 10}", "attempts in body should be less than or equal to 9"),
    ("maxBodyBytes: 8m", "maxBodyBytes in body must be of type integer"),
    ("maxBodyBytes: -1", "maxBodyBytes in body should be greater than or equal to 0"),
    ("responseRate: {afterKibibytes: 1}", "spec.responseRate.kibibytesPerSecond: Required value"),
    ("compression: {gzip: {level: 0}}", "level in body should be greater than or equal to 1"),
    ("compression: {brotli: {level: 7}}", "level in body should be less than or equal to 6"),
    (
        "compression: {gzip: {types: ['text/css; a=b']}}",
        "a type is written as type/subtype without parameters",
    ),
    ("errorPages: {statuses: [200]}", "statuses[0] in body should be greater than or equal to 400"),
    ("access: {allow: [office]}", NETWORK),
    ("access: {block: ['10.0.0.0/8,10.1.0.0/16']}", NETWORK),
    ("access: {deny: []}", "spec.access.deny in body should have at least 1 items"),
    ("access: {blockUserAgents: ['a,b']}", "a value has no comma; write several values as items of the list"),
    ("externalAuth: {}", "spec.externalAuth.url: Required value"),
    ("externalAuth: {url: auth.example/check}", URL),
    ("externalAuth: {url: http://a/, signin: login}", URL),
    ("externalAuth: {url: http://a/, method: get}", "a method is written in upper-case letters, such as GET"),
    ("externalAuth: {url: http://a/, responseHeaders: [a b]}", HEADER),
    ("externalAuth: {url: http://a/, cache: {}}", "spec.externalAuth.cache.key: Required value"),
    ("traces: {operationName: \"\"}", "operationName in body should be at least 1 chars long"),
    ("limitStatus: {rate: 200}", "rate in body should be greater than or equal to 400"),
    ("keepAlive: 75s", r#"unknown field "spec.keepAlive""#),
];

/// Every object of the tables, with what must be said of it.
fn cases() -> Vec<(&'static str, String, &'static str)> {
    let mut cases = Vec::new();
    let mut add = |kind, table: &[(&'static str, &'static str)], (before, after): (&str, &str)| {
        for (snippet, wanted) in table {
            cases.push((kind, format!("{before}{snippet}{after}"), *wanted));
        }
    };
    add("RouteRule", RULES, ("{targets: [{service: orders}], rules: [", "]}"));
    add("RouteRule", RULE_TARGETS, ("{targets: [", "], rules: [{backends: [{service: a}]}]}"));
    add("TrafficPolicy", POLICY_TARGETS, ("{targets: [", "]}"));
    add("TrafficPolicy", POLICIES, ("{targets: [{kind: Service, name: orders}], ", "}"));
    add("RouteGrant", GRANTS, ("{", "}"));
    add("EdgeParameters", PARAMETERS, ("{", "}"));
    let host = "a host has no endpoints of its own: with a target host, each of the rules needs backends, redirect or respond";
    cases.push(("RouteRule", "{targets: [{host: a}], rules: [{timeouts: {request: 1s}}]}".into(), host));
    cases.push(("RouteRule", "{targets: [{service: a}]}".into(), "spec.rules: Required value"));
    cases
}

#[tokio::test]
async fn what_is_invalid_is_refused_and_its_owner_told_what_to_write() {
    let Some((client, namespace)) = real_with_namespace().await else { return };
    let mut wrong = Vec::new();
    for (kind, spec, wanted) in cases() {
        let [spec] = &objects(&spec)[..] else { panic!("one document: {spec}") };
        let object: Value = json!({"apiVersion": "selvedge.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        match create(&client, &namespace, &object, true).await {
            Ok(_) => wrong.push(format!("{kind} {spec}: taken")),
            Err(said) if said.contains(wanted) => {}
            Err(said) => wrong.push(format!("{kind} {spec}: {said}")),
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
