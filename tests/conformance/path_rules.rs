//! Feature "Path rules": routing by the path of a request.

use std::sync::LazyLock;

use crate::backends::Feature;

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: path-rules, namespace: default}
spec:
  ingressClassName: conformance
  rules:
  - host: exact-path-rules
    http:
      paths:
      - {path: /foo, pathType: Exact, backend: {service: {name: foo-exact, port: {number: 8080}}}}
  - host: prefix-path-rules
    http:
      paths:
      - {path: /foo, pathType: Prefix, backend: {service: {name: foo-prefix, port: {number: 8080}}}}
      - {path: /aaa/bbb, pathType: Prefix, backend: {service: {name: aaa-slash-bbb-prefix, port: {number: 8080}}}}
      - {path: /aaa, pathType: Prefix, backend: {service: {name: aaa-prefix, port: {number: 8080}}}}
  - host: mixed-path-rules
    http:
      paths:
      - {path: /foo, pathType: Prefix, backend: {service: {name: foo-prefix, port: {number: 8080}}}}
      - {path: /foo, pathType: Exact, backend: {service: {name: foo-exact, port: {number: 8080}}}}
  - host: trailing-slash-path-rules
    http:
      paths:
      - {path: /aaa/bbb/, pathType: Prefix, backend: {service: {name: aaa-slash-bbb-slash-prefix, port: {number: 8080}}}}
      - {path: /foo/, pathType: Exact, backend: {service: {name: foo-slash-exact, port: {number: 8080}}}}
";

const SERVICES: [&str; 6] = [
    "foo-exact",
    "foo-prefix",
    "aaa-slash-bbb-prefix",
    "aaa-prefix",
    "aaa-slash-bbb-slash-prefix",
    "foo-slash-exact",
];

static FEATURE: LazyLock<Feature> = LazyLock::new(|| Feature::start(INGRESS, &SERVICES, 1));

/// Scenario 1: exact /foo matches request /foo.
#[test]
fn exact_path_matches_itself() {
    FEATURE.get("exact-path-rules", "/foo").assert_by("foo-exact");
}

/// Scenario 2: exact /foo does not match request /foo/.
#[test]
fn exact_path_does_not_match_a_trailing_slash() {
    assert_eq!(FEATURE.get("exact-path-rules", "/foo/").answer.status, 404);
}

/// Scenario 3: exact /foo does not match request /FOO.
#[test]
fn exact_path_is_case_sensitive() {
    assert_eq!(FEATURE.get("exact-path-rules", "/FOO").answer.status, 404);
}

/// Scenario 4: exact /foo does not match request /bar.
#[test]
fn exact_path_does_not_match_another_label() {
    assert_eq!(FEATURE.get("exact-path-rules", "/bar").answer.status, 404);
}

/// Scenario 5: prefix /foo matches request /foo.
#[test]
fn prefix_matches_itself() {
    FEATURE.get("prefix-path-rules", "/foo").assert_by("foo-prefix");
}

/// Scenario 6: prefix /foo matches request /foo/.
#[test]
fn prefix_matches_itself_with_a_trailing_slash() {
    FEATURE.get("prefix-path-rules", "/foo/").assert_by("foo-prefix");
}

/// Scenario 7: prefix /foo does not match request /FOO.
#[test]
fn prefix_is_case_sensitive() {
    assert_eq!(FEATURE.get("prefix-path-rules", "/FOO").answer.status, 404);
}

/// Scenario 8: prefix /aaa/bbb matches request /aaa/bbb.
#[test]
fn longest_of_two_prefixes_matches() {
    FEATURE.get("prefix-path-rules", "/aaa/bbb").assert_by("aaa-slash-bbb-prefix");
}

/// Scenario 9: prefix /aaa/bbb matches request /aaa/bbb/ccc.
#[test]
fn longest_of_two_prefixes_matches_what_is_below_it() {
    FEATURE.get("prefix-path-rules", "/aaa/bbb/ccc").assert_by("aaa-slash-bbb-prefix");
}

/// Scenario 10: prefix /aaa matches request /aaa/ccc.
#[test]
fn shorter_of_two_prefixes_matches_the_rest() {
    FEATURE.get("prefix-path-rules", "/aaa/ccc").assert_by("aaa-prefix");
}

/// Scenario 11: prefix /aaa does not match request /aaaccc.
#[test]
fn prefix_compares_whole_labels() {
    assert_eq!(FEATURE.get("prefix-path-rules", "/aaaccc").answer.status, 404);
}

/// Scenario 12: prefix /foo matches request /foo/; the feature has it twice.
#[test]
fn prefix_ignores_the_trailing_slash_of_a_request() {
    FEATURE.get("prefix-path-rules", "/foo/").assert_by("foo-prefix");
}

/// Scenario 13: exact /foo matches request /foo.
#[test]
fn exact_path_beats_the_same_prefix() {
    FEATURE.get("mixed-path-rules", "/foo").assert_by("foo-exact");
}

/// Scenario 14: prefix /aaa/bbb/ matches request /aaa/bbb.
#[test]
fn prefix_with_a_trailing_slash_matches_without_it() {
    FEATURE.get("trailing-slash-path-rules", "/aaa/bbb").assert_by("aaa-slash-bbb-slash-prefix");
}

/// Scenario 15: prefix /aaa/bbb/ matches request /aaa/bbb/.
#[test]
fn prefix_with_a_trailing_slash_matches_with_it() {
    FEATURE.get("trailing-slash-path-rules", "/aaa/bbb/").assert_by("aaa-slash-bbb-slash-prefix");
}

/// Scenario 16: exact /foo/ does not match request /foo.
#[test]
fn exact_path_with_a_trailing_slash_does_not_match_without_it() {
    assert_eq!(FEATURE.get("trailing-slash-path-rules", "/foo").answer.status, 404);
}
