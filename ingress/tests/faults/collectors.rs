//! Collectors of spans behind TLS: whom they are believed by.

use std::process::Stdio;

use selvedge_tests::{
    client::Client,
    collector::Collector,
    manifests::write,
    pod::{Manners, Pod},
    process::EdgeProcess,
    tls::Authority,
    waiting::until,
};
use tempfile::TempDir;

use crate::{HOST, program, write_shop};

/// An edge that believes just this authority of the system, sends its spans there, and has answered a request.
fn asked(pod: &Pod, authority: &Authority, (protocol, url): (&str, &str)) -> (TempDir, EdgeProcess) {
    let folder = tempfile::tempdir().unwrap();
    write_shop(folder.path(), &[pod.address]);
    let roots = tempfile::tempdir().unwrap();
    write(roots.path(), "authority.pem", &authority.pem()).unwrap();
    let manifests = folder.path().to_str().unwrap();
    let flags = ["--manifests", manifests, "--otlp-endpoint", url, "--otlp-protocol", protocol];
    let mut command = EdgeProcess::command(program(), &flags);
    command.args(["--access-log", "off"]).stdout(Stdio::null());
    command.env("SSL_CERT_FILE", roots.path().join("authority.pem")).env_remove("SSL_CERT_DIR");
    let edge = EdgeProcess::spawn(command);
    edge.until_ready();
    assert_eq!(Client::connect(edge.http()).get(HOST, "/cart").status, 200);
    (roots, edge)
}

/// A collector of each kind with a certificate for these names, and how it is called.
fn collectors(authority: &Authority, names: &[&str]) -> [(&'static str, Collector); 2] {
    let certificate = authority.certificate(names);
    [("grpc", Collector::secure(&certificate)), ("http", Collector::over_https(&certificate))]
}

#[test]
fn a_collector_that_an_authority_of_the_system_vouches_for_gets_the_spans() {
    let (pod, authority) = (Pod::start("pod", Manners::Good), Authority::named("ours"));
    for (protocol, collector) in collectors(&authority, &["localhost", "127.0.0.1"]) {
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("https://{host}:{}", collector.address.port());
            let (_roots, mut edge) = asked(&pod, &authority, (protocol, &url));
            let before = collector.spans().len();
            // What waits goes out at the end.
            edge.terminate();
            assert!(edge.ended().success());
            let spans = collector.wait_for(before + 1);
            assert_eq!(spans[before].attribute("url.path"), "/cart", "{protocol} {host}");
        }
    }
}

#[test]
fn others_get_nothing_and_the_log_says_why() {
    let pod = Pod::start("pod", Manners::Good);
    let (authority, other) = (Authority::named("ours"), Authority::named("another"));
    let unknown = collectors(&other, &["localhost"]).map(|(protocol, to)| (protocol, to, "UnknownIssuer"));
    let misnamed = collectors(&authority, &["a.test"]).map(|(protocol, to)| (protocol, to, "not valid for"));
    for (protocol, collector, why) in unknown.into_iter().chain(misnamed) {
        let url = format!("https://localhost:{}", collector.address.port());
        let (_roots, mut edge) = asked(&pod, &authority, (protocol, &url));
        edge.terminate();
        assert!(edge.ended().success(), "{protocol}");
        let error = until(|| {
            let log = edge.log();
            let line = log.iter().find(|line| {
                line["message"].as_str().is_some_and(|text| text.starts_with("spans cannot be sent"))
            });
            line.and_then(|line| line["error"].as_str().map(str::to_owned))
        });
        assert!(error.contains(why), "{protocol}: {error}");
        assert_eq!(collector.requests(), 0, "{protocol}");
    }
}
