//! Listeners come and go with the snapshot, and none of them disturbs another.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Mutex, mpsc},
};

use selvedge_common::{
    id::ListenerName,
    model::{Listener, ListenerProtocol},
    source::RejectedPart,
};
use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    ports::lasting_port,
    proxy::{Proxy, Setup, listener, nowhere},
    waiting::until,
};

fn on(address: SocketAddr) -> Listener {
    Listener { address, routes: "test".into(), ..listener(ListenerProtocol::Http) }
}

fn any_port() -> Listener {
    on(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn remove(proxy: &mut Proxy, name: &str) {
    proxy.snapshot.listeners.remove(&ListenerName::new(name));
    assert!(proxy.apply(&[]).changed);
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn a_listener_that_is_new_in_a_snapshot_is_bound_and_served_by_all_workers() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::start(Setup { workers: 2, ..Setup::default() });
    proxy.route_all(&[origin.address]);
    assert_eq!(proxy.address("late"), None);
    proxy.listen("late", any_port());
    assert_eq!(proxy.apply(&[]).rejected, []);
    let address = proxy.address("late").unwrap();
    // Each worker has a socket of its own, among which the system chooses.
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("a", "/").text(), "ok");
    }
    assert_eq!(Client::connect(proxy.http()).get("a", "/").text(), "ok", "the others go on");
}

#[test]
fn a_listener_that_is_gone_refuses_connections_and_its_idle_ones_close() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    proxy.listen("late", any_port());
    proxy.apply(&[]);
    let address = proxy.address("late").unwrap();
    let (mut idle, mut other) = (Client::connect(address), Client::connect(proxy.http()));
    assert_eq!((idle.get("a", "/").status, other.get("a", "/").status), (200, 200));
    remove(&mut proxy, "late");
    assert_eq!(proxy.address("late"), None);
    assert!(is_refused(address), "the sockets are closed when the update has been applied");
    assert!(idle.is_closed());
    assert_eq!(other.get("a", "/").status, 200);
}

#[test]
fn a_request_in_flight_on_a_listener_that_goes_is_answered_and_told_to_close() {
    let (open, opened) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let opened = Mutex::new(opened);
    let origin = Origin::scripted(move |_, stream| {
        begin.send(()).unwrap();
        opened.lock().unwrap().recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        After::KeepOpen
    });
    let mut proxy = Proxy::to(&[origin.address]);
    proxy.listen("late", any_port());
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.address("late").unwrap());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    begun.recv().unwrap();
    remove(&mut proxy, "late");
    open.send(()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("ok", Some("close")));
    assert!(client.is_closed());
}

#[test]
fn a_client_that_is_at_it_when_its_listener_goes_gets_one_more_answer() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    proxy.listen("late", any_port());
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.address("late").unwrap());
    assert_eq!(client.get("a", "/").field("connection"), None);
    remove(&mut proxy, "late");
    let answer = client.get("a", "/");
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
}

#[test]
fn another_address_closes_the_old_one_and_binds_the_new_one() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    let (one, two) = (lasting_port().unwrap(), lasting_port().unwrap());
    proxy.listen("moving", on(local(one)));
    proxy.apply(&[]);
    assert_eq!(Client::connect(local(one)).get("a", "/").status, 200);
    proxy.listen("moving", on(local(two)));
    assert_eq!(proxy.apply(&[]).rejected, []);
    assert_eq!(proxy.address("moving"), Some(local(two)));
    assert!(is_refused(local(one)));
    assert_eq!(Client::connect(local(two)).get("a", "/").status, 200);
}

#[test]
fn listeners_may_change_their_addresses_with_each_other_and_their_names() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::start(Setup { workers: 2, ..Setup::default() });
    proxy.route_all(&[origin.address]);
    let (one, two) = (lasting_port().unwrap(), lasting_port().unwrap());
    proxy.listen("one", on(local(one)));
    proxy.listen("two", on(local(two)));
    assert_eq!(proxy.apply(&[]).rejected, []);
    proxy.listen("one", on(local(two)));
    proxy.listen("two", on(local(one)));
    assert_eq!(proxy.apply(&[]).rejected, []);
    assert_eq!((proxy.address("one"), proxy.address("two")), (Some(local(two)), Some(local(one))));
    proxy.snapshot.listeners.remove(&ListenerName::new("one"));
    proxy.listen("renamed", on(local(two)));
    assert_eq!(proxy.apply(&[]).rejected, []);
    assert_eq!(Client::connect(local(two)).get("a", "/").status, 200);
}

#[test]
fn a_listener_that_cannot_be_bound_is_told_of_harms_no_other_and_is_tried_again() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    proxy.listen("taken", on(address));
    proxy.listen("zfree", any_port());
    let rejected = proxy.apply(&[]).rejected;
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].part, RejectedPart::Listener("taken".into()));
    assert!(rejected[0].message.contains(&address.to_string()), "{rejected:?}");
    assert_eq!(proxy.address("taken"), None);
    assert_eq!(Client::connect(proxy.address("zfree").unwrap()).get("a", "/").status, 200);
    // The same snapshot once more: it is told again, and bound as soon as that is possible.
    let again = proxy.apply(&[]);
    assert_eq!((again.changed, again.rejected), (false, rejected));
    drop(taken);
    let mended = proxy.apply(&[]);
    assert_eq!((mended.changed, mended.rejected), (true, vec![]));
    assert_eq!(Client::connect(address).get("a", "/").status, 200);
}

#[test]
fn another_protocol_at_the_same_address_is_bound_anew() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    let address = local(lasting_port().unwrap());
    proxy.listen("changing", on(address));
    proxy.apply(&[]);
    assert_eq!(Client::connect(address).get("a", "/").status, 200);
    proxy.listen("changing", Listener { protocol: ListenerProtocol::Https, ..on(address) });
    assert_eq!(proxy.apply(&[]).rejected, []);
    let mut client = selvedge_tests::tls::client(address, "a");
    assert_eq!(client.get("a", "/").status, 200);
}

#[test]
fn settings_that_need_no_socket_change_without_closing_any() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    proxy.listen("late", any_port());
    proxy.apply(&[]);
    let address = proxy.address("late").unwrap();
    let mut client = Client::connect(address);
    client.get("a", "/");
    proxy.listen("late", Listener { public_port: 8080, ..any_port() });
    proxy.apply(&[]);
    assert_eq!(proxy.address("late"), Some(address));
    client.get("a", "/");
    assert_eq!(origin.seen().pop().unwrap().field("x-forwarded-port"), Some("8080"));
}

#[test]
fn listeners_that_come_and_go_leave_nothing_behind() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    let mut last = nowhere();
    for _ in 0..50 {
        proxy.listen("late", any_port());
        proxy.apply(&[]);
        last = proxy.address("late").unwrap();
        assert_eq!(Client::connect(last).get("a", "/").status, 200);
        remove(&mut proxy, "late");
    }
    assert!(is_refused(last));
    let metrics = proxy.engine.metrics().listener(&"late".into());
    until(|| (metrics.open() == 0).then_some(()));
    assert!(
        proxy.engine.metrics().encode().contains("selvedge_connections_accepted_total{listener=\"late\"} 50")
    );
}
