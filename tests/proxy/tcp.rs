//! TCP listeners: bytes both ways to the backend that the listener names, and one record for each connection.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{Mutex, mpsc},
    time::Duration,
};

use selvedge_common::{
    id::{BackendId, ListenerName},
    model::{
        Backend, BackendRef, BackendTarget, BackendTls, InvalidBackend, Limits, Listener, ListenerProtocol,
        TcpRoute,
    },
};
use selvedge_tests::{
    client::Client,
    log::lines,
    origin::{After, Origin},
    proxy::{Proxy, Setup, listener, nowhere},
    tls::TlsOrigin,
    waiting::until,
};

/// An origin that greets, sends back what it gets, and says goodbye at the end of that.
fn echo() -> Origin {
    Origin::raw(|_, mut stream| {
        stream.write_all(b"hi").unwrap();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).unwrap();
        }
        let _ = stream.write_all(b"bye");
    })
}

fn tcp(backends: Vec<BackendRef>) -> Listener {
    listener(ListenerProtocol::Tcp(TcpRoute { backends, connect_retries: 1 }))
}

fn to(id: &str, weight: u32) -> BackendRef {
    BackendRef { target: BackendTarget::Backend(BackendId::new(id)), weight }
}

fn one() -> Vec<BackendRef> {
    vec![to("test/db:5432", 1)]
}

/// A proxy with a listener `db` whose backend has these endpoints, and the listener's address.
fn proxy(setup: Setup, listener: Listener, endpoints: &[SocketAddr]) -> (Proxy, SocketAddr) {
    let mut proxy = Proxy::start(setup);
    proxy.backend("test/db:5432", Backend::default());
    proxy.listen("db", listener);
    assert_eq!(proxy.apply(&[("test/db:5432", endpoints)]).rejected, []);
    let address = proxy.address("db").unwrap();
    (proxy, address)
}

#[test]
fn bytes_pass_both_ways_and_one_side_may_end_before_the_other() {
    let origin = echo();
    let (_proxy, address) = proxy(Setup::default(), tcp(one()), &[origin.address]);
    let mut client = Client::connect(address);
    assert_eq!(client.exactly(2), b"hi", "the backend may speak first");
    for size in [1, 100, 1_000_000] {
        let bytes = vec![b'x'; size];
        let mut sender = client.tcp().try_clone().unwrap();
        let sent = bytes.clone();
        let sending = std::thread::spawn(move || sender.write_all(&sent).unwrap());
        assert_eq!(client.exactly(size), bytes);
        sending.join().unwrap();
    }
    client.finish();
    assert_eq!(client.rest().unwrap(), b"bye", "the backend's side ends after the client's");
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_followed_by_another() {
    let origin = echo();
    let (_proxy, address) = proxy(Setup::default(), tcp(one()), &[nowhere(), origin.address]);
    for _ in 0..8 {
        assert_eq!(Client::connect(address).exactly(2), b"hi");
    }
}

#[test]
fn backends_are_chosen_by_weight() {
    let (left, right) = (echo(), echo());
    let backends = vec![to("test/db:5432", 1), to("test/other:5432", 1), to("test/none:5432", 0)];
    let (mut proxy, address) = proxy(Setup::default(), tcp(backends), &[left.address]);
    proxy.backend("test/other:5432", Backend::default());
    proxy.apply(&[("test/other:5432", &[right.address])]);
    until(|| {
        assert_eq!(Client::connect(address).exactly(2), b"hi");
        (left.connections() > 0 && right.connections() > 0).then_some(())
    });
}

#[test]
fn a_connection_that_leads_nowhere_is_reset_and_its_record_says_why() {
    let invalid = BackendRef { target: BackendTarget::Invalid(InvalidBackend::PortNotFound), weight: 1 };
    type Row = (Vec<BackendRef>, &'static [SocketAddr], u16, &'static str, u32);
    let gone: &'static [SocketAddr] = vec![nowhere()].leak();
    let rows: [Row; 4] = [
        (one(), &[], 503, "no_endpoint", 0),
        (one(), gone, 502, "connect", 2),
        (vec![], &[], 503, "no_weight", 0),
        (vec![invalid], &[], 503, "port_not_found", 0),
    ];
    for (backends, endpoints, status, reason, tries) in rows {
        let (access_log, lines) = lines();
        let (proxy, address) = proxy(Setup { access_log, ..Setup::default() }, tcp(backends), endpoints);
        let error = Client::connect(address).rest().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{reason}");
        let line = lines.next_line();
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()), "{line}");
        assert_eq!(line["tries"], tries, "{line}");
        drop(proxy);
        assert!(lines.rest().is_empty(), "one line and no more");
    }
}

#[test]
fn a_backend_that_is_the_proxy_itself_is_told_as_such() {
    let (access_log, lines) = lines();
    let (mut proxy, address) = proxy(Setup { access_log, ..Setup::default() }, tcp(one()), &[]);
    proxy.apply(&[("test/db:5432", &[address])]);
    Client::connect(address).rest().unwrap_err();
    assert_eq!(lines.next_line()["reason"], "own_address");
}

#[test]
fn a_connection_has_one_record_with_its_bytes_and_is_counted() {
    let origin = echo();
    let (access_log, lines) = lines();
    let (proxy, address) = proxy(Setup { access_log, ..Setup::default() }, tcp(one()), &[origin.address]);
    let mut client = Client::connect(address);
    client.send("four");
    assert_eq!(client.exactly(6), b"hifour");
    assert_eq!(proxy.engine.metrics().listener(&"db".into()).open(), 1);
    client.finish();
    assert_eq!(client.rest().unwrap(), b"bye");
    let line = lines.next_line();
    let wanted: [(&str, serde_json::Value); 10] = [
        ("method", "TCP".into()),
        ("target", address.to_string().into()),
        ("version", "-".into()),
        ("status", 200.into()),
        ("received_bytes", 4.into()),
        ("sent_bytes", 9.into()),
        ("route", "db".into()),
        ("backend", "test/db:5432".into()),
        ("endpoint", origin.address.to_string().into()),
        ("tries", 1.into()),
    ];
    for (name, value) in wanted {
        assert_eq!(line[name], value, "{name} of {line}");
    }
    assert!(line.get("reason").is_none_or(serde_json::Value::is_null), "{line}");
    until(|| (proxy.engine.metrics().listener(&"db".into()).open() == 0).then_some(()));
}

#[test]
fn an_endpoint_is_busy_while_a_connection_lasts() {
    let (busy, free) = (echo(), echo());
    let (mut proxy, address) = proxy(Setup::default(), tcp(one()), &[busy.address, free.address]);
    let backend = Backend { balance: selvedge_common::model::Balance::LeastRequests, ..Backend::default() };
    proxy.backend("test/db:5432", backend);
    proxy.apply(&[]);
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(address);
        client.exactly(2);
        held.push(client);
    }
    assert_eq!((busy.connections(), free.connections()), (5, 5), "the less busy one gets the next");
}

#[test]
fn two_silent_sides_are_closed_after_the_limit() {
    let origin = echo();
    let limits = Limits { tunnel_idle: Duration::from_millis(300), ..Limits::default() };
    let (access_log, lines) = lines();
    let settings = Listener { limits, ..tcp(one()) };
    let (_proxy, address) = proxy(Setup { access_log, ..Setup::default() }, settings, &[origin.address]);
    let mut client = Client::connect(address);
    client.exactly(2);
    assert!(client.is_closed());
    assert_eq!(lines.next_line()["reason"], "tunnel_idle");
}

#[test]
fn a_listener_may_leave_its_connections_out_of_the_access_log() {
    let origin = echo();
    let (access_log, lines) = lines();
    let settings = Listener { unlogged: true, ..tcp(one()) };
    let (proxy, address) = proxy(Setup { access_log, ..Setup::default() }, settings, &[origin.address]);
    let mut client = Client::connect(address);
    client.exactly(2);
    client.finish();
    assert_eq!(client.rest().unwrap(), b"bye");
    drop(proxy);
    assert_eq!(lines.rest(), Vec::<serde_json::Value>::new());
}

#[test]
fn a_backend_that_breaks_off_is_passed_on_as_such() {
    let origin = Origin::raw(|_, stream| {
        // Closed with bytes that nobody has read: the system resets it.
        stream.peek(&mut [0]).unwrap();
        drop(stream);
    });
    let (_proxy, address) = proxy(Setup::default(), tcp(one()), &[origin.address]);
    let mut client = Client::connect(address);
    client.send("x");
    assert_eq!(client.rest().unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_proxy_protocol_header_is_taken_off_and_names_the_client() {
    let origin = echo();
    let (access_log, lines) = lines();
    let settings = Listener { proxy_protocol: true, ..tcp(one()) };
    let (_proxy, address) = proxy(Setup { access_log, ..Setup::default() }, settings, &[origin.address]);
    let mut client = Client::connect(address);
    client.send("PROXY TCP4 192.0.2.7 192.0.2.8 1234 5432\r\nrest");
    assert_eq!(client.exactly(6), b"hirest");
    client.finish();
    client.rest().unwrap();
    assert_eq!(lines.next_line()["client"], "192.0.2.7");
}

#[test]
fn a_backend_with_tls_is_reached_over_tls() {
    let origin = TlsOrigin::answering(&["http/1.1"], "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let (mut proxy, address) = proxy(Setup::default(), tcp(one()), &[origin.address]);
    proxy.backend("test/db:5432", Backend { tls: Some(BackendTls::default()), ..Backend::default() });
    proxy.apply(&[]);
    assert_eq!(Client::connect(address).get("a", "/").text(), "ok");
}

#[test]
fn an_established_connection_outlasts_its_listener_and_other_routes_are_for_new_ones() {
    let (before, after) = (echo(), Origin::raw(|_, mut stream| stream.write_all(b"new").unwrap()));
    let (mut proxy, address) = proxy(Setup::default(), tcp(one()), &[before.address]);
    let mut old = Client::connect(address);
    assert_eq!(old.exactly(2), b"hi");
    proxy.backend("test/db:5433", Backend::default());
    proxy.listen("db", tcp(vec![to("test/db:5433", 1)]));
    proxy.apply(&[("test/db:5433", &[after.address])]);
    assert_eq!(Client::connect(address).rest().unwrap(), b"new");
    proxy.snapshot.listeners.remove(&ListenerName::new("db"));
    proxy.apply(&[]);
    assert!(std::net::TcpStream::connect(address).is_err());
    old.send("still");
    assert_eq!(old.exactly(5), b"still");
    old.finish();
    assert_eq!(old.rest().unwrap(), b"bye");
}

#[test]
fn a_connection_is_cut_off_at_the_deadline_of_the_drain() {
    let (begin, begun) = mpsc::channel();
    let begin = Mutex::new(begin);
    let origin = Origin::scripted(move |_, _| {
        begin.lock().unwrap().send(()).unwrap();
        After::KeepOpen
    });
    let (proxy, address) = proxy(Setup::default(), tcp(one()), &[origin.address]);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    begun.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(proxy.engine.drain(Duration::ZERO, Duration::from_millis(50)));
    assert!(client.is_closed());
}
