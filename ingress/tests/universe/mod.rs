//! A small universe of objects and random sequences of what happens to them.

mod rules;

use proptest::{collection::vec, option, prelude::*};
use selvedge_common::{
    id::ListenerName,
    kube::objects::{Kind, Object, ObjectEvent, ObjectKey},
    model::ListenerProtocol,
};
use selvedge_ingress::settings::{RouterName, SecretName, Settings};
use selvedge_tests::proxy::listener;
use serde_json::{Value, json};

const NAMESPACES: [&str; 3] = ["n", "n", "m"];
const CLASSES: [&str; 2] = ["edge", "other"];
const SERVICES: [&str; 5] = ["shop", "shop", "shop", "cart", "shop-direct"];
const SECRETS: [&str; 2] = ["tls", "tlz"];
const HOSTS: [&str; 6] = ["", "a.example", "a.example", "b.example", "*.example", "bad:1"];

/// What happens, batch by batch.
#[derive(Clone, Debug)]
pub struct Batches(Vec<Vec<Happening>>);

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Happening {
    kind: Kind,
    /// The object as JSON without its name and namespace; `None` if it is deleted.
    value: Option<Value>,
    namespace: &'static str,
    name: &'static str,
}

impl Batches {
    /// Random batches.
    pub fn any() -> impl Strategy<Value = Self> {
        let ours = || json!({"spec": {"controller": "selvedge.dev/ingress"}});
        // Without the class most that follows would be of no consequence.
        let first = Happening { kind: Kind::IngressClass, value: Some(ours()), namespace: "", name: "edge" };
        vec(vec(happening(), 1..10), 1..12).prop_map(move |mut batches| {
            batches[0].insert(0, first.clone());
            Self(batches)
        })
    }

    /// The same as events.
    pub fn events(&self) -> impl Iterator<Item = Vec<ObjectEvent>> {
        self.0.iter().map(|batch| batch.iter().map(Happening::event).collect())
    }
}

impl Happening {
    fn event(&self) -> ObjectEvent {
        let Some(mut value) = self.value.clone() else {
            return ObjectEvent::Deleted(ObjectKey::new(self.kind, self.namespace, self.name));
        };
        value["metadata"]["name"] = json!(self.name);
        if !self.namespace.is_empty() {
            value["metadata"]["namespace"] = json!(self.namespace);
        }
        ObjectEvent::Applied(
            Object::from_json(self.kind, value).expect("the universe has only readable objects"),
        )
    }
}

/// Random settings.
pub fn settings() -> impl Strategy<Value = Settings> {
    let default_certificate = option::of(Just(SecretName { namespace: "n".into(), name: "tls".into() }));
    let class_names = select(vec![vec![], vec!["edge".to_owned()], vec!["legacy".to_owned()]]);
    let namespaces = prop_oneof![4 => Just(vec![]), 1 => Just(vec!["n".to_owned()])];
    (class_names, any::<bool>(), default_certificate, namespaces).prop_map(
        move |(class_names, watch_ingress_without_class, default_certificate, namespaces)| Settings {
            class_names,
            watch_ingress_without_class,
            default_certificate,
            namespaces,
            router: RouterName { namespace: "n".into(), service: "cart".into(), port: 80 },
            listeners: [(ListenerName::new("https"), listener(ListenerProtocol::Https))].into(),
            ..Settings::default()
        },
    )
}

fn happening() -> impl Strategy<Value = Happening> {
    let namespace = || select(NAMESPACES);
    prop_oneof![
        4 => one(Kind::Ingress, namespace(), select(["i", "j", "k"]), ingress()),
        2 => one(Kind::Service, namespace(), select(SERVICES), service()),
        2 => one(Kind::EndpointSlice, namespace(), select(["e", "f"]), slice()),
        2 => one(Kind::Secret, namespace(), select(SECRETS), secret()),
        1 => one(Kind::IngressClass, Just(""), select(CLASSES), class()),
        3 => one(Kind::RouteRule, namespace(), select(["r", "s"]), rules::route_rule()),
        2 => one(Kind::TrafficPolicy, namespace(), select(["p", "q"]), rules::policy()),
        1 => one(Kind::RouteGrant, namespace(), Just("g"), rules::grant()),
        1 => one(Kind::ConfigMap, namespace(), Just("ca"), rules::config_map()),
        1 => one(Kind::EdgeParameters, Just(""), select(["p", "q"]), parameters()),
    ]
}

fn one(
    kind: Kind,
    namespace: impl Strategy<Value = &'static str>,
    name: impl Strategy<Value = &'static str>,
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Happening> {
    (namespace, name, option::weighted(0.75, value)).prop_map(move |(namespace, name, value)| Happening {
        kind,
        value,
        namespace,
        name,
    })
}

fn select<T: Clone + std::fmt::Debug + 'static>(values: impl Into<Vec<T>>) -> impl Strategy<Value = T> {
    proptest::sample::select(values.into())
}

fn ingress() -> impl Strategy<Value = Value> {
    let metadata = (option::of(select([1, 2])), annotations());
    let class = option::weighted(0.7, select(["edge", "edge", "edge", "edge", "other", "gone"]));
    let tls_hosts = select(["a.example", "*.example", "*.example", "b.example", "bad:1"]);
    let tls = vec((vec(tls_hosts, 0..3), option::of(select(["tls", "tlz", "gone"]))), 0..2);
    let rules = vec((select(HOSTS), vec(path(), 0..3)), 0..3);
    (metadata, class, option::weighted(0.3, backend()), tls, rules).prop_map(
        |((created, annotations), class, default_backend, tls, rules)| {
            let rule = |(host, paths): (&str, Vec<Value>)| json!({"host": host, "http": {"paths": paths}});
            let entry =
                |(hosts, secret): (Vec<&str>, Option<&str>)| json!({"hosts": hosts, "secretName": secret});
            let mut value = json!({
                "metadata": {"annotations": annotations},
                "spec": {
                    "rules": rules.into_iter().map(rule).collect::<Vec<_>>(),
                    "tls": tls.into_iter().map(entry).collect::<Vec<_>>(),
                },
            });
            if let Some(year) = created {
                value["metadata"]["creationTimestamp"] = json!(format!("202{year}-01-01T00:00:00Z"));
            }
            if let Some(class) = class {
                value["spec"]["ingressClassName"] = json!(class);
            }
            if let Some(backend) = default_backend {
                value["spec"]["defaultBackend"] = backend;
            }
            value
        },
    )
}

fn annotations() -> impl Strategy<Value = Value> {
    select([
        json!({}),
        json!({"selvedge.dev/ssl-redirect": "true"}),
        json!({"selvedge.dev/ssl-redirect": "true"}),
        json!({"selvedge.dev/balance": "least-requests"}),
        json!({"selvedge.dev/via": "router"}),
        json!({"selvedge.dev/via": "direct", "selvedge.dev/balance": "round-robin"}),
        json!({"selvedge.dev/request-timeout": "soon"}),
        json!({"kubernetes.io/ingress.class": "legacy"}),
        json!({"kubernetes.io/ingress.class": "edge", "nginx.ingress.kubernetes.io/rewrite-target": "/"}),
    ])
}

fn path() -> impl Strategy<Value = Value> {
    let form = select([("/", "Prefix"), ("/a", "Prefix"), ("/a", "Exact"), ("a", "Exact"), ("/b", "Regex")]);
    (form, backend()).prop_map(
        |((path, path_type), backend)| json!({"path": path, "pathType": path_type, "backend": backend}),
    )
}

fn backend() -> impl Strategy<Value = Value> {
    let port = select([
        json!({"number": 80}),
        json!({"number": 80}),
        json!({"name": "web"}),
        json!({"number": 81}),
        json!({}),
    ]);
    prop_oneof![
        9 => (select(["shop", "shop", "cart", "shpo"]), port)
            .prop_map(|(name, port)| json!({"service": {"name": name, "port": port}})),
        1 => Just(json!({"resource": {"kind": "Bucket", "name": "files"}})),
    ]
}

fn service() -> impl Strategy<Value = Value> {
    select([
        json!({"spec": {"ports": [{"port": 80}]}}),
        json!({"spec": {"ports": [{"port": 80, "name": "web"}, {"port": 81, "name": "grpc", "appProtocol": "grpc"}]}}),
        json!({"spec": {"ports": [{"port": 80, "name": "wbe", "appProtocol": "mysql"}]}}),
        json!({"spec": {"ports": [{"port": 80}]}, "metadata": {"labels": {"selvedge.dev/via": "router"}}}),
        json!({"spec": {"ports": [{"port": 80}]}, "metadata": {"annotations": {"selvedge.dev/via": "rooter"}}}),
        json!({"spec": {"type": "ExternalName", "externalName": "origin.example"}}),
        json!({"spec": {"type": "ExternalName", "externalName": "localhost"}}),
    ])
}

fn slice() -> impl Strategy<Value = Value> {
    let address = select(["192.0.2.1", "192.0.2.2", "nonsense"]);
    let endpoints = vec((address, any::<bool>()), 0..3);
    let label = select(["shop", "cart"]);
    (label, select(["", "web"]), endpoints, select(["IPv4", "IPv4", "FQDN"])).prop_map(
        |(service, port, endpoints, family)| {
            let endpoint = |(address, ready): (&str, bool)| {
                json!({"addresses": [address], "conditions": {"ready": ready, "terminating": !ready}})
            };
            json!({
                "metadata": {"labels": {"kubernetes.io/service-name": service}},
                "addressType": family,
                "ports": [{"name": port, "port": 8080}],
                "endpoints": endpoints.into_iter().map(endpoint).collect::<Vec<_>>(),
            })
        },
    )
}

fn secret() -> impl Strategy<Value = Value> {
    const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    select([
        json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": CHAIN, "tls.key": KEY}}),
        json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": "garbage", "tls.key": KEY}}),
        json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": CHAIN}}),
        json!({"type": "Opaque"}),
    ])
}

fn class() -> impl Strategy<Value = Value> {
    let controller = select(["selvedge.dev/ingress", "selvedge.dev/ingress", "example.com/other"]);
    let parameters =
        option::weighted(0.3, select([("EdgeParameters", "p"), ("EdgeParameters", "q"), ("Other", "p")]));
    (controller, any::<bool>(), parameters).prop_map(|(controller, default, parameters)| {
        let annotations = match default {
            true => json!({"ingressclass.kubernetes.io/is-default-class": "true"}),
            false => json!({}),
        };
        let mut spec = json!({"controller": controller});
        if let Some((kind, name)) = parameters {
            spec["parameters"] = json!({"apiGroup": "selvedge.dev", "kind": kind, "name": name});
        }
        json!({"metadata": {"annotations": annotations}, "spec": spec})
    })
}

fn parameters() -> impl Strategy<Value = Value> {
    select([
        json!({"spec": {"maxBodyBytes": 1024, "redirectToHttps": {"when": "Always"}}}),
        json!({"spec": {"access": {"allow": ["192.0.2.0/24"]}}}),
        json!({"spec": {"access": {"block": ["nonsense"]}}}),
    ])
}
