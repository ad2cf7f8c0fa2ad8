//! Traces of the edge, from flags and ingress-nginx's ConfigMap to a collector.

use std::net::SocketAddr;

use selvedge_tests::{
    client::Client,
    collector::Collector,
    edge::{Edge, folder, write},
    origin::Origin,
    router::service,
    waiting::until,
};
use serde_json::{Value, json};

/// A class of ingress-nginx and an Ingress of it for this host, with these annotations.
fn ingress(host: &str, annotations: &Value) -> Value {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": host, "namespace": "shop", "annotations": annotations},
        "spec": {
            "ingressClassName": "nginx",
            "rules": [{
                "host": host,
                "http": {"paths": [{"path": "/cart", "pathType": "Prefix", "backend": backend}]},
            }],
        },
    })
}

/// What every case has: the class, the Service, and the ConfigMap with these settings.
fn objects(origin: SocketAddr, settings: &Value) -> Vec<Value> {
    let mut objects = service("shop", "web", 80, &[origin]);
    objects.push(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
        "spec": {"controller": "k8s.io/ingress-nginx"},
    }));
    objects.push(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "controller", "namespace": "ingress-nginx"},
        "data": settings,
    }));
    objects
}

fn get(edge: &Edge, host: &str) {
    let mut client = Client::connect(edge.http);
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    client.send(format!("GET /cart/1?q=secret HTTP/1.1\r\nHost: {host}\r\n{parent}\r\n\r\n"));
    assert_eq!(client.answer().status, 200, "{host}");
}

#[test]
fn the_config_map_and_annotations_say_what_is_traced_and_a_change_counts_at_once() {
    let (origin, first, second) = (Origin::named("ok"), Collector::start(), Collector::start());
    let settings = |collector: &Collector| {
        json!({
            "enable-opentelemetry": "true",
            "otlp-collector-host": "127.0.0.1",
            "otlp-collector-port": collector.address.port().to_string(),
            "otel-schedule-delay-millis": "10",
            "otel-service-name": "front",
        })
    };
    let of = |name: &str| format!("nginx.ingress.kubernetes.io/{name}");
    let ingresses = [
        ingress("plain.example", &json!({})),
        ingress(
            "own.example",
            &json!({
                of("opentelemetry-operation-name"): "$service_name $request_method",
                of("opentelemetry-trust-incoming-span"): "false",
            }),
        ),
        ingress("out.example", &json!({of("enable-opentelemetry"): "false"})),
    ];
    let folder = folder();
    let put = |collector: &Collector| {
        let objects = objects(origin.address, &settings(collector));
        write(folder.path(), "objects.json", &[&objects[..], &ingresses[..]].concat());
    };
    put(&first);
    let path = folder.path().to_str().unwrap();
    let adopting = ["--adopt-ingress-nginx", "--nginx-configmap=ingress-nginx/controller"];
    let edge = Edge::start(&[&["--manifests", path], &adopting[..]].concat());
    for host in ["out.example", "plain.example", "own.example"] {
        get(&edge, host);
    }
    let spans = first.wait_for(2);
    let shown: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.parent.is_empty())).collect();
    assert_eq!(shown, [("GET /cart", false), ("web GET", true)]);
    assert_eq!((spans[0].service.as_str(), spans[0].attribute("selvedge.backend")), ("front", "shop/web:80"));
    assert_eq!(spans[0].attribute("selvedge.object"), "Ingress shop/plain.example");
    put(&second);
    until(|| {
        get(&edge, "plain.example");
        (!second.spans().is_empty()).then_some(())
    });
}

#[test]
fn a_flag_traces_every_request_and_the_last_spans_go_out_at_the_end() {
    let (origin, collector) = (Origin::named("ok"), Collector::over_http());
    let folder = folder();
    let mut objects = objects(origin.address, &json!({}));
    objects.push(ingress("plain.example", &json!({})));
    write(folder.path(), "objects.json", &objects);
    let (path, url) = (folder.path().to_str().unwrap(), collector.url());
    let adopting = ["--adopt-ingress-nginx", "--otlp-protocol=http", "--trace-ignore-incoming"];
    let edge = Edge::start(&[&["--manifests", path, "--otlp-endpoint", &url], &adopting[..]].concat());
    get(&edge, "plain.example");
    drop(edge);
    let span = collector.only();
    assert_eq!((span.service.as_str(), span.parent.as_str()), ("selvedge-ingress", ""));
    assert_eq!((span.name.as_str(), span.attribute("url.path")), ("GET /cart", "/cart/1"));
}
