//! Endpoints that come and go under requests.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::SocketAddr,
    sync::{Mutex, mpsc},
    time::Duration,
};

use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::{Proxy, Setup},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BACKEND: &str = "test/origin:80";

#[test]
fn clients_that_come_before_the_first_snapshot_are_served_when_it_is_there() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::bound(Setup::default());
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy.route_all(&[origin.address]);
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn ten_endpoints_share_a_hundred_requests() {
    let origins: Vec<Origin> = (0..10).map(|_| Origin::named("ok")).collect();
    let addresses: Vec<SocketAddr> = origins.iter().map(|origin| origin.address).collect();
    let mut proxy = Proxy::start(Setup { workers: 2, ..Setup::default() });
    proxy.route_all(&addresses);
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(proxy.http())).collect();
    for index in 0..100 {
        assert_eq!(clients[index % 4].get("a", "/").status, 200);
    }
    let counts: BTreeMap<_, _> = origins.iter().map(|origin| (origin.address, origin.seen().len())).collect();
    assert!(counts.values().all(|count| *count == 10), "{counts:?}");
}

#[test]
fn a_request_at_a_removed_endpoint_finishes_and_no_new_one_goes_there() {
    let (open, opened) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let opened = Mutex::new(opened);
    let old = Origin::scripted(move |_, stream| {
        begin.send(()).unwrap();
        opened.lock().unwrap().recv().unwrap();
        stream.write_all(OK).unwrap();
        After::KeepOpen
    });
    let new = Origin::named("new");
    let proxy = Proxy::to(&[old.address]);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    begun.recv().unwrap();
    proxy.endpoints(BACKEND, &[new.address]);
    let mut other = Client::connect(proxy.http());
    for _ in 0..10 {
        assert_eq!(other.get("a", "/").text(), "new");
    }
    open.send(()).unwrap();
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(client.get("a", "/").text(), "new");
    assert_eq!(old.seen().len(), 1);
}

#[test]
fn idle_connections_to_a_removed_endpoint_close_at_once() {
    let (sender, closed) = mpsc::channel();
    let origin = Origin::after_head(move |_, stream| {
        stream.write_all(OK).unwrap();
        sender.send(stream.read(&mut [0]).unwrap()).unwrap();
        After::Close
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get("a", "/").status, 200);
    proxy.endpoints(BACKEND, &[]);
    assert_eq!(closed.recv_timeout(Duration::from_secs(60)), Ok(0));
    assert_eq!(client.get("a", "/").status, 503);
    proxy.endpoints(BACKEND, &[origin.address]);
    assert_eq!(client.get("a", "/").status, 200, "and back again");
}

#[test]
fn an_unrelated_change_keeps_connections() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for index in 0..10 {
        assert_eq!(client.get("a", "/").status, 200);
        let path = selvedge_common::model::PathMatch::Prefix(format!("/{index}").into());
        proxy.route("other.example", path, BACKEND);
        proxy.apply(&[]);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn no_request_fails_while_endpoints_change() {
    let origins: Vec<Origin> = (0..4).map(|_| Origin::named("ok")).collect();
    let proxy = Proxy::to(&[origins[0].address]);
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(proxy.http())).collect();
    for round in 0..200 {
        let addresses = [origins[round % 4].address, origins[(round / 4 + 1) % 4].address];
        proxy.endpoints(BACKEND, &addresses[..1 + round % 2]);
        for client in &mut clients {
            assert_eq!(client.get("a", "/").status, 200);
        }
    }
}

#[test]
fn connections_are_used_again_by_many_clients() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    for _ in 0..100 {
        assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200);
    }
    assert_eq!(origin.connections(), 1);
}
