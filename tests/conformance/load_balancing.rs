//! Feature "Load Balancing": every pod of a service gets requests.

use std::collections::BTreeSet;

use selvedge_tests::client::Client;

use crate::backends::{Feature, Served};

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: load-balancing, namespace: default}
spec:
  ingressClassName: conformance
  defaultBackend: {service: {name: echo-service, port: {number: 8080}}}
";

/// The scenario outline of the feature: 100 requests, and each of 10 pods is seen.
#[test]
fn hundred_requests_reach_all_ten_pods() {
    let feature = Feature::start(INGRESS, &["echo-service"], 10);
    let mut client = Client::connect(feature.edge.http);
    let mut pods = BTreeSet::new();
    for _ in 0..100 {
        let served = Served::new(client.get("load-balancing", "/"));
        served.assert_by("echo-service");
        pods.extend(served.says("pod").map(str::to_owned));
    }
    assert_eq!(pods.len(), 10, "{pods:?}");
}
