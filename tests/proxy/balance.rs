//! Balancing by what is learned from answers and by what requests say.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::SocketAddr,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use selvedge_common::model::{Backend, Balance, FailingStatuses, HashKey, Health, PathMatch};
use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::{Proxy, Setup},
    waiting::until,
};

/// A proxy in front of these origins with this backend.
pub(super) fn proxy(workers: usize, backend: Backend, origins: &[Origin]) -> Proxy {
    let mut proxy = Proxy::start(Setup { workers, ..Setup::default() });
    proxy.backend("test/origin:80", backend);
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    let addresses: Vec<SocketAddr> = origins.iter().map(|origin| origin.address).collect();
    proxy.apply(&[("test/origin:80", &addresses)]);
    proxy
}

fn origins(count: usize) -> Vec<Origin> {
    (0..count).map(|_| Origin::named("ok")).collect()
}

/// How many of these origins have seen a request.
fn reached(origins: &[Origin]) -> usize {
    origins.iter().filter(|origin| !origin.seen().is_empty()).count()
}

#[test]
fn requests_with_the_same_key_meet_at_one_endpoint_whichever_worker_serves_them() {
    let rows = [
        (HashKey::Header("x-user".into()), "X-User: ann"),
        (HashKey::Cookie("user".into()), "Cookie: a=b; user=ann"),
        (HashKey::Source, "X: y"),
    ];
    for (key, field) in rows {
        let origins = origins(8);
        let proxy = proxy(2, Backend { balance: Balance::Hash(key.clone()), ..Backend::default() }, &origins);
        for _ in 0..6 {
            let mut client = Client::connect(proxy.http());
            for _ in 0..4 {
                client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"));
                assert_eq!(client.answer().status, 200);
            }
        }
        assert_eq!(reached(&origins), 1, "{key:?}");
    }
}

#[test]
fn different_keys_and_requests_without_one_are_spread() {
    let header = Backend { balance: Balance::Hash(HashKey::Header("x-user".into())), ..Backend::default() };
    for field in [|index| format!("x-user: {index}\r\n"), |_| String::new()] {
        let origins = origins(4);
        let proxy = proxy(1, header.clone(), &origins);
        let mut client = Client::connect(proxy.http());
        for index in 0..100 {
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", field(index)));
            assert_eq!(client.answer().status, 200);
        }
        assert_eq!(reached(&origins), 4);
    }
}

#[test]
fn ewma_leaves_an_endpoint_that_refuses_connections_after_one_try() {
    let origins = [Origin::named("ok"), Origin::named("ok")];
    let health = Health { failures: 0, ..Health::default() };
    let backend = Backend { balance: Balance::Ewma, health, ..Backend::default() };
    let mut proxy = proxy(1, backend, &origins);
    let mut client = Client::connect(proxy.http());
    (0..20).for_each(|_| assert_eq!(client.get("a", "/").status, 200));
    assert_eq!(reached(&origins), 2);
    let nowhere = selvedge_tests::proxy::nowhere();
    proxy.apply(&[("test/origin:80", &[origins[0].address, origins[1].address, nowhere])]);
    (0..100).for_each(|_| assert_eq!(client.get("a", "/").status, 200));
    let retries = proxy.engine.metrics().upstream.retries.total();
    assert!(retries <= 1, "{retries} retries");
}

#[test]
fn an_endpoint_that_keeps_clients_waiting_until_they_leave_is_not_chosen_again() {
    let (come, came) = mpsc::channel();
    let hanging = Origin::scripted(move |_, stream| {
        let _ = come.send(());
        // Until the proxy closes it.
        let _ = stream.read(&mut [0]);
        After::Close
    });
    let origins = [hanging, Origin::named("ok"), Origin::named("ok")];
    let proxy = proxy(1, Backend { balance: Balance::Ewma, ..Backend::default() }, &origins);
    proxy.endpoints("test/origin:80", &[origins[0].address]);
    let mut leaving = Client::connect(proxy.http());
    leaving.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    came.recv().unwrap();
    let start = Instant::now();
    until(|| (start.elapsed() > Duration::from_millis(300)).then_some(()));
    drop(leaving);
    until(|| (proxy.engine.metrics().own_responses.total() > 0).then_some(()));
    proxy.endpoints("test/origin:80", &[0, 1, 2].map(|index: usize| origins[index].address));
    let mut client = Client::connect(proxy.http());
    (0..50).for_each(|_| assert_eq!(client.get("a", "/").status, 200));
    assert_eq!(origins[0].seen().len(), 1);
}

#[test]
fn statuses_that_count_as_failures_eject() {
    let bad = Origin::answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    let origins = [bad, Origin::named("ok")];
    let rows = [(FailingStatuses::None, 50), (FailingStatuses::Gateway, 5)];
    let mut before = 0;
    for (failing_statuses, wanted) in rows {
        let health = Health { failing_statuses, ..Health::default() };
        let proxy = proxy(1, Backend { health, ..Backend::default() }, &origins);
        let mut client = Client::connect(proxy.http());
        let statuses: BTreeSet<u16> = (0..100).map(|_| client.get("a", "/").status).collect();
        assert_eq!(statuses, [200, 503].into());
        let seen = origins[0].seen().len();
        assert_eq!(seen - before, wanted, "{failing_statuses:?}");
        before = seen;
    }
}

#[test]
fn the_time_of_answers_moves_requests_to_quicker_endpoints() {
    let ((come, came), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
    let gone = Mutex::new(gone);
    let slow = Origin::scripted(move |_, stream| {
        let _ = come.send(());
        // When the test has ended, everything may go.
        let _ = gone.lock().unwrap().recv();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).is_ok() { After::KeepOpen } else { After::Close }
    });
    let origins = [slow, Origin::named("ok"), Origin::named("ok")];
    let proxy = proxy(1, Backend { balance: Balance::Ewma, ..Backend::default() }, &origins);
    let mut client = Client::connect(proxy.http());
    // The slow one is the only endpoint at first.
    proxy.endpoints("test/origin:80", &[origins[0].address]);
    let mut waiting = Client::connect(proxy.http());
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    came.recv().unwrap();
    proxy.endpoints("test/origin:80", &[0, 1, 2].map(|index: usize| origins[index].address));
    (0..200).for_each(|_| assert_eq!(client.get("a", "/").status, 200));
    assert_eq!(origins[0].seen().len(), 1, "while it is waited for");
    go.send(()).unwrap();
    assert_eq!(waiting.answer().status, 200);
    (0..50).for_each(|_| assert_eq!(client.get("a", "/").status, 200));
    assert_eq!(origins[0].seen().len(), 1, "it took as long as two hundred others");
}
