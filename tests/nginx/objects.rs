//! Objects of cases: what is written in short becomes what an API server has.

use k8s_openapi::ByteString;
use selvedge_common::kube::objects::{Kind, Object};
use serde_json::{Map, Value, json};

use crate::{
    backends::Backends,
    case::{Case, Thing},
    certificates::CERTIFICATES,
};

/// Where the controller looks for its global settings.
pub const GLOBAL: (&str, &str) = ("ingress-nginx", "controller");

/// Users of the cases, as hashes of passwords that protect nothing else.
const USERS: [(&str, &[(&str, &str)]); 3] = [
    (
        "users-file",
        &[("auth", "foo:$apr1$abcdefgh$bGLO42WqKpmLoPH9uGWTg1\nsha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")],
    ),
    (
        "users-map",
        &[("ann", "$apr1$ijklmnop$1HuoiaB6Z5TXChFM0Gm9D."), ("bob", "$apr1$qrstuvwx$mdfzNlVbv2DUJYd7W92iM0")],
    ),
    ("users-bad", &[("other", "x")]),
];

/// All objects of a case: those that were there before, and then all together.
pub fn of(case: &Case, backends: &Backends) -> [Vec<Object>; 2] {
    let mut fixed = backends.objects();
    fixed.extend(secrets());
    let mut before: Vec<Value> = fixed;
    let mut second = 0;
    let mut made = |thing: &Thing| {
        second += if case.spaced { 2 } else { 0 };
        object(thing, second)
    };
    before.extend(case.before.iter().map(&mut made));
    let mut after: Vec<Value> = case.objects.iter().map(&mut made).collect();
    let (namespace, name) = GLOBAL;
    after.push(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "data": case.global,
    }));
    [read(before), read(after)]
}

/// Objects as the watch would give them.
pub fn read(values: Vec<Value>) -> Vec<Object> {
    let read = |value: Value| {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let kind = Kind::find(&text("apiVersion"), &text("kind")).expect("only known kinds are used");
        Object::from_json(kind, value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
    };
    values.into_iter().map(read).collect()
}

fn secrets() -> Vec<Value> {
    let secret = |name: &str, kind: &str, data: &[(&str, &[u8])]| {
        let data: Map<String, Value> =
            data.iter().map(|(key, bytes)| ((*key).to_owned(), json!(ByteString(bytes.to_vec())))).collect();
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name, "namespace": "default"}, "data": data,
        })
    };
    let pairs = CERTIFICATES.pairs.iter().map(|(name, pair)| {
        secret(name, "kubernetes.io/tls", &[("tls.crt", &pair.chain_pem), ("tls.key", &pair.key_pem)])
    });
    let users = USERS.iter().map(|(name, data)| {
        let data: Vec<_> = data.iter().map(|(key, text)| (*key, text.as_bytes())).collect();
        secret(name, "Opaque", &data)
    });
    let authority = secret("ca", "Opaque", &[("ca.crt", CERTIFICATES.authority.as_bytes())]);
    pairs.chain(users).chain([authority]).collect()
}

fn object(thing: &Thing, second: u32) -> Value {
    if let Some(object) = &thing.object {
        return object.clone();
    }
    let prefixed =
        thing.nginx.iter().map(|(key, value)| (format!("nginx.ingress.kubernetes.io/{key}"), value));
    let others = thing.annotations.iter().map(|(key, value)| (key.clone(), value));
    let annotations: Map<_, _> = prefixed.chain(others).map(|(key, value)| (key, json!(value))).collect();
    let mut spec: Map<_, _> = thing.spec.clone().into_iter().collect();
    match thing.class.as_deref() {
        Some("") => {}
        class => drop(spec.insert("ingressClassName".into(), json!(class.unwrap_or("nginx")))),
    }
    if let Some(service) = &thing.default {
        spec.insert("defaultBackend".into(), backend(service));
    }
    if !thing.tls.is_empty() {
        let tls = thing.tls.iter().map(|(secret, hosts)| json!({"secretName": secret, "hosts": hosts}));
        spec.insert("tls".into(), tls.collect());
    }
    if !thing.hosts.is_empty() {
        spec.insert("rules".into(), thing.hosts.iter().map(|(host, paths)| rule(host, paths)).collect());
    }
    let created = format!("2026-01-01T00:00:{second:02}Z");
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec,
        "metadata": {
            "name": thing.name, "namespace": "default", "annotations": annotations,
            "creationTimestamp": created,
        },
    })
}

fn rule(host: &str, paths: &[String]) -> Value {
    let path = |text: &String| {
        let mut words = text.rsplitn(3, ' ');
        let [service, kind, path] = [words.next(), words.next(), words.next()].map(Option::unwrap_or_default);
        json!({"path": path, "pathType": kind, "backend": backend(service)})
    };
    let http = json!({"paths": paths.iter().map(path).collect::<Vec<_>>()});
    match host {
        "any" => json!({"http": http}),
        host => json!({"host": host, "http": http}),
    }
}

/// `SERVICE`, `SERVICE:NUMBER` or `SERVICE:NAME`.
fn backend(text: &str) -> Value {
    let (service, port) = text.split_once(':').unwrap_or((text, "80"));
    let port = match port.parse::<u16>() {
        Ok(number) => json!({"number": number}),
        Err(_) => json!({"name": port}),
    };
    json!({"service": {"name": service, "port": port}})
}
