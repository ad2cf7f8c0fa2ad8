//! A Service whose external name cannot be resolved.

use selvedge_tests::{
    client::Client,
    manifests::{ingress, write},
    pod::{Manners, Pod},
    waiting::until,
};

use crate::{HOST, edge_to};

#[test]
fn a_name_that_nobody_knows_fails_its_own_host_only() {
    let pod = Pod::start("pod", Manners::Good);
    let (folder, edge) = edge_to(&[pod.address], &[]);
    // The domain never exists (RFC 6761 §6.4).
    let away = "apiVersion: v1\nkind: Service\nmetadata: {name: away, namespace: default}\n\
        spec: {type: ExternalName, externalName: away.invalid, ports: [{port: 80}]}\n---\n";
    write(folder.path(), "away.yaml", &(ingress("away", "away.test", "/", "away") + away)).unwrap();
    let mut client = Client::connect(edge.http());
    let answer = until(|| Some(client.get("away.test", "/")).filter(|answer| answer.status != 404));
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (503, Some("no_endpoint")), "{answer:?}");
    assert_eq!(client.get(HOST, "/").status, 200, "its neighbour does not notice");
    assert!(edge.is_ready());
}
