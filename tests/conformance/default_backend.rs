//! Feature "Default backend": an Ingress with no rules sends all requests to the default backend.

use std::{io::Cursor, sync::LazyLock};

use selvedge_tests::client::Client;

use crate::backends::{Feature, Served};

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: default-backend, namespace: default}
spec:
  ingressClassName: conformance
  defaultBackend: {service: {name: echo-service, port: {number: 8080}}}
";

static FEATURE: LazyLock<Feature> = LazyLock::new(|| Feature::start(INGRESS, &["echo-service"], 1));

/// The scenario outline of the feature; each test is one of its examples.
#[track_caller]
fn check(method: &str, host: Option<&str>, path: &str) {
    let address = FEATURE.edge.http.to_string();
    let host = host.unwrap_or(&address);
    let mut client = Client::connect(FEATURE.edge.http);
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Go-http-client/1.1\r\nConnection: close\r\n\
        Content-Length: 0\r\n\r\n"
    ));
    let bytes = client.rest().expect("the answer arrives");
    assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&bytes));
    let served = Served::new(Client::over(Cursor::new(bytes)).answer());
    served.assert_by("echo-service");
    for name in ["content-length", "content-type", "date", "server"] {
        assert!(served.answer.field(name).is_some_and(|value| !value.is_empty()), "{name}: {served:?}");
    }
    let seen = ["method", "path", "proto", "host", "user-agent"].map(|what| served.says(what));
    assert_eq!(seen, [method, path, "HTTP/1.1", host, "Go-http-client/1.1"].map(Some));
}

#[test]
fn get_of_the_root_goes_to_the_default_backend() {
    check("GET", Some("my-host"), "/");
}

#[test]
fn get_of_a_path_goes_to_the_default_backend() {
    check("GET", Some("my-host"), "/sub-path");
}

#[test]
fn post_goes_to_the_default_backend() {
    check("POST", Some("some-host"), "/");
}

#[test]
fn put_without_a_host_goes_to_the_default_backend() {
    check("PUT", None, "/resource");
}

#[test]
fn delete_goes_to_the_default_backend() {
    check("DELETE", Some("some-host"), "/resource");
}

#[test]
fn patch_goes_to_the_default_backend() {
    check("PATCH", Some("my-host"), "/resource");
}
