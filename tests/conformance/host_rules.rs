//! Feature "Host rules": routing by the host of a request, and its certificate.

use std::sync::LazyLock;

use crate::backends::{Feature, Served};

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: host-rules, namespace: default}
spec:
  ingressClassName: conformance
  tls:
  - {hosts: [foo.bar.com], secretName: conformance-tls}
  rules:
  - host: '*.foo.com'
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: wildcard-foo-com, port: {number: 8080}}}}
  - host: foo.bar.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: foo-bar-com, port: {name: http}}}}
";

static FEATURE: LazyLock<Feature> =
    LazyLock::new(|| Feature::start(INGRESS, &["wildcard-foo-com", "foo-bar-com"], 1));

/// Scenario 1: host `foo.bar.com` over TLS, the certificate verified.
#[test]
fn tls_for_a_host_has_its_certificate_and_reaches_its_service() {
    // The client trusts this one certificate and checks the name.
    let mut client = FEATURE.edge.tls("foo.bar.com", &FEATURE.certificate);
    let served = Served::new(client.get("foo.bar.com", "/"));
    served.assert_by("foo-bar-com");
    assert_eq!(served.says("host"), Some("foo.bar.com"));
}

/// Scenario 2: host `foo.bar.com`.
#[test]
fn plain_request_for_a_host_with_tls_reaches_its_service_by_the_name_of_its_port() {
    let served = FEATURE.get("foo.bar.com", "/");
    served.assert_by("foo-bar-com");
    assert_eq!(served.says("host"), Some("foo.bar.com"));
}

/// Scenario 3: host `subdomain.bar.com`, which no rule names.
#[test]
fn another_host_is_not_found() {
    assert_eq!(FEATURE.get("subdomain.bar.com", "/").answer.status, 404);
}

/// Scenario 4: wildcard by its suffix.
#[test]
fn wildcard_matches_a_host_with_its_suffix() {
    let served = FEATURE.get("bar.foo.com", "/");
    served.assert_by("wildcard-foo-com");
    assert_eq!(served.says("host"), Some("bar.foo.com"));
}

/// Scenario 5: wildcard and two labels.
#[test]
fn wildcard_does_not_stand_for_two_labels() {
    assert_eq!(FEATURE.get("baz.bar.foo.com", "/").answer.status, 404);
}

/// Scenario 6: wildcard and no label.
#[test]
fn wildcard_does_not_stand_for_no_label() {
    assert_eq!(FEATURE.get("foo.com", "/").answer.status, 404);
}
