//! Certificates are replaced while clients shake hands.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use selvedge_tests::{
    client::Client,
    edge::{tls_secret, write},
    manifests,
    pod::{Manners, Pod},
    size::{figure, size},
    tls,
    waiting::until,
};

use crate::{HOST, edge_to};

const CLIENTS: usize = 4;
/// Handshakes between two rotations, at least.
const BETWEEN: usize = 5;

/// What handshakes came to.
#[derive(Default)]
struct Shaken {
    stop: AtomicBool,
    good: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

/// Shakes hands and asks once, again and again; every second client goes on with the session of the last one.
fn shake(shaken: &Shaken, address: SocketAddr, resumes: bool) {
    let kept = tls::usual(&["http/1.1"]);
    while !shaken.stop.load(Ordering::Relaxed) {
        let settings = if resumes { kept.clone() } else { tls::usual(&["http/1.1"]) };
        let asked = tls::connect(address, settings, HOST).and_then(|stream| {
            let mut client = Client::over(stream);
            client.try_send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"))?;
            client.try_answer()
        });
        match asked {
            Ok(answer) if answer.status == 200 => drop(shaken.good.fetch_add(1, Ordering::Relaxed)),
            other => shaken.failures.lock().unwrap().push(format!("{other:?}")),
        }
    }
}

/// Replaces the certificate and waits until it is the one that is shown.
fn rotate(folder: &Path, address: SocketAddr) {
    let (secret, certificate) = tls_secret("shop-tls", &[HOST]);
    write(folder, "secret.json", &[secret]);
    until(|| (tls::shown(address, HOST) == certificate).then_some(()));
}

#[test]
fn no_handshake_fails_while_certificates_are_replaced() {
    let pod = Pod::start("pod", Manners::Good);
    let (folder, edge) = edge_to(&[pod.address], &[]);
    let ingress = manifests::ingress("secure", HOST, "/", "shop");
    let ingress =
        ingress.replace("spec:\n", &format!("spec:\n  tls: [{{hosts: [{HOST}], secretName: shop-tls}}]\n"));
    manifests::write(folder.path(), "secure.yaml", &ingress).unwrap();
    rotate(folder.path(), edge.https());
    let (shaken, address) = (Arc::<Shaken>::default(), edge.https());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let shaken = shaken.clone();
            thread::spawn(move || shake(&shaken, address, number % 2 == 0))
        })
        .collect();
    let rotations = size(20, 100);
    for _ in 0..rotations {
        let good = shaken.good.load(Ordering::Relaxed);
        until(|| (shaken.good.load(Ordering::Relaxed) >= good + BETWEEN).then_some(()));
        rotate(folder.path(), edge.https());
    }
    shaken.stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let (good, failures) = (shaken.good.load(Ordering::Relaxed), shaken.failures.lock().unwrap().clone());
    figure(&format!("{rotations} rotations of a certificate: {good} handshakes, failed {}", failures.len()));
    assert_eq!(failures, [""; 0]);
}
