//! Shedding: a process with too much to do refuses requests of low priority first, and takes them again after that.

use std::{
    io::{Read, Write},
    sync::mpsc,
};

use selvedge_common::model::{Backend, PathMatch, Priority};
use selvedge_tests::{
    client::Client,
    http2::{Http2Client, full},
    origin::{After, Origin},
    proxy::Proxy,
    waiting::until,
};

use crate::breaking::{assert_overload, held};

/// A proxy for so many requests, with a host for each priority.
fn proxy(requests: usize, origin: &Origin) -> Proxy {
    let mut proxy = crate::proxy_with(|setup| {
        setup.requests = requests;
        setup.workers = 2;
        setup.listener = |listener| listener.connect = true;
    });
    proxy.backend("test/origin:80", Backend::default());
    for priority in Priority::ALL {
        proxy.route(priority.name(), PathMatch::Prefix("/".into()), "test/origin:80");
        proxy.edit_host(priority.name(), |host| host.routes[0].load_priority = priority);
    }
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    proxy
}

fn begin(proxy: &Proxy, priority: Priority, came: &mpsc::Receiver<()>) -> Client {
    let mut client = Client::connect(proxy.http());
    client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", priority.name()));
    came.recv().unwrap();
    client
}

fn refused(proxy: &Proxy, priority: Priority) -> bool {
    let answer = Client::connect(proxy.http()).get(priority.name(), "/");
    assert_overload(&answer);
    answer.field("retry-after") == Some("1")
}

#[test]
fn low_priority_is_refused_first_and_high_priority_last() {
    use Priority::{High, Low, Normal};
    let (origin, came, go) = held();
    let proxy = proxy(10, &origin);
    let mut busy: Vec<_> = (0..8).map(|_| begin(&proxy, Low, &came)).collect();
    assert!(refused(&proxy, Low));
    busy.push(begin(&proxy, Normal, &came));
    assert!(refused(&proxy, Low) && refused(&proxy, Normal));
    busy.push(begin(&proxy, High, &came));
    assert!(Priority::ALL.iter().all(|priority| refused(&proxy, *priority)));
    let unknown = Client::connect(proxy.http()).get("unknown", "/");
    assert_eq!(unknown.status, 404, "what needs nothing is answered");
    let shed: Vec<_> = proxy.engine.metrics().shed.counts().collect();
    assert_eq!(shed, [("low", 3), ("normal", 2), ("high", 1)]);
    (0..11).for_each(|_| go.send(()).unwrap());
    assert!(busy.iter_mut().all(|client| client.answer().status == 200));
    until(|| (Client::connect(proxy.http()).get("low", "/").status == 200).then_some(()));
}

#[tokio::test]
async fn clients_of_grpc_are_told_that_they_may_try_again() {
    let (origin, came, go) = held();
    let proxy = proxy(1, &origin);
    let busy = begin(&proxy, Priority::High, &came);
    let mut client = Http2Client::connect(proxy.http()).await;
    let ask = http::Request::post("http://high/a.B/C").header("content-type", "application/grpc");
    let answer = client.whole(ask.body(full("")).unwrap()).await;
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, "14"));
    assert_eq!(answer.field("x-selvedge-reason"), "overload");
    drop((busy, go));
}

#[test]
fn a_tunnel_counts_until_it_ends() {
    let origin = Origin::raw(|_, tcp| drop(std::io::copy(&mut &tcp, &mut &tcp)));
    let proxy = proxy(1, &origin);
    let ask = || {
        let mut client = Client::connect(proxy.http());
        client.send("CONNECT high:80 HTTP/1.1\r\nHost: high:80\r\n\r\n");
        (client.head().unwrap().status, client)
    };
    let (status, tunnel) = ask();
    assert_eq!((status, ask().0), (200, 503));
    drop(tunnel);
    until(|| (ask().0 == 200).then_some(()));
}

#[test]
fn a_client_that_leaves_makes_room() {
    let (come, came) = mpsc::channel();
    let origin = Origin::scripted(move |seen, stream| {
        if seen.line.contains("/wait") {
            come.send(()).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "it ends when the proxy closes it");
            return After::Close;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        After::KeepOpen
    });
    let proxy = proxy(1, &origin);
    let mut leaving = Client::connect(proxy.http());
    leaving.send("GET /wait HTTP/1.1\r\nHost: high\r\n\r\n");
    came.recv().unwrap();
    assert!(refused(&proxy, Priority::High));
    drop(leaving);
    until(|| (Client::connect(proxy.http()).get("high", "/").status == 200).then_some(()));
}
