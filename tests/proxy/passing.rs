//! Passing on: requests for unknown hosts reach the host that they name, and never an address that is forbidden.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use selvedge_common::{
    model::{Backend, Listener, LoopProtection, PassThrough, PathMatch, ServiceNames},
    upstream::{Looking, Lookup},
};
use selvedge_tests::{
    client::Client,
    log::lines,
    origin::{After, Origin},
    own_network,
    proxy::{Proxy, Setup},
};

/// A resolver that answers from a table and counts its questions.
#[derive(Default)]
struct Zone {
    names: HashMap<&'static str, &'static str>,
    asked: Mutex<Vec<String>>,
}

impl Zone {
    fn of(names: &[(&'static str, &'static str)]) -> Arc<Self> {
        Arc::new(Self { names: names.iter().copied().collect(), asked: Mutex::default() })
    }
}

impl Lookup for Zone {
    fn look_up(&self, name: Arc<str>, port: u16) -> Looking {
        self.asked.lock().unwrap().push(name.to_string());
        let address = self.names.get(&*name).map(|text| text.parse::<IpAddr>().unwrap());
        Box::pin(async move {
            let address = address.ok_or_else(|| io::Error::other("no such name"))?;
            Ok(vec![SocketAddr::new(address, port)])
        })
    }
}

fn passing(listener: &mut Listener) {
    listener.connect = true;
    listener.identify = true;
    listener.loop_protection = Some(LoopProtection { id: "tier".into(), hops: 3 });
    let suffixes = vec!["svc.cluster.local".into(), "router.local".into()];
    listener.service_names = Some(ServiceNames { suffixes, field: true, fixed: None });
    listener.pass_through = Some(Arc::new(PassThrough {
        forbidden: vec!["10.9.1.2".parse().unwrap()],
        forbidden_backends: vec!["default/kubernetes:443".into()],
        ..PassThrough::default()
    }));
}

/// A proxy that passes requests on and knows one service.
fn proxy(zone: &Arc<Zone>, setup: Setup) -> Proxy {
    let mut proxy = Proxy::start(Setup { listener: passing, ..setup });
    proxy.engine.look_up_with(zone.clone());
    proxy.backend("default/kubernetes:443", Backend::default());
    proxy.route("kubernetes.default", PathMatch::Prefix("/".into()), "default/kubernetes:443");
    proxy.route("known.shop", PathMatch::Prefix("/v1".into()), "default/kubernetes:443");
    proxy.apply(&[("default/kubernetes:443", &["10.9.1.3:6443".parse().unwrap()])]);
    proxy
}

/// Status and reason of the answer to these bytes.
fn refusal(proxy: &Proxy, request: &str) -> (u16, String) {
    let mut client = Client::connect(proxy.http());
    client.send(request);
    let answer = client.answer();
    (answer.status, answer.field("x-selvedge-reason").unwrap_or_default().to_owned())
}

fn assert_refused(proxy: &Proxy, host: &str, status: u16, reason: &str) {
    let wanted = (status, reason.to_owned());
    let get = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(refusal(proxy, &get), wanted, "{get:?}");
    let absolute = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(refusal(proxy, &absolute), wanted, "{absolute:?}");
    let has_port = host.contains(':') && !host.ends_with(']');
    let target = if has_port { host.to_owned() } else { format!("{host}:443") };
    let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    assert_eq!(refusal(proxy, &connect), wanted, "{connect:?}");
}

#[test]
fn without_the_setting_an_unknown_host_is_refused() {
    let origin = Origin::named("never");
    let proxy = Proxy::start(Setup { listener: |listener| listener.connect = true, ..Setup::default() });
    let zone = Zone::of(&[("shop.example", "127.0.0.1")]);
    proxy.engine.look_up_with(zone.clone());
    for host in ["shop.example".to_owned(), origin.address.to_string()] {
        assert_refused(&proxy, &host, 404, "no_route");
    }
    assert!(zone.asked.lock().unwrap().is_empty());
}

#[test]
fn addresses_of_this_machine_and_special_ones_are_refused_in_every_form() {
    let origin = Origin::named("never");
    let port = origin.address.port();
    let names = [
        ("rebound.example", "127.0.0.1"),
        ("mapped.example", "::ffff:127.0.0.1"),
        ("metadata.example", "169.254.169.254"),
        ("api.example", "10.9.1.2"),
        ("endpoint.example", "10.9.1.3"),
        ("a.localhost", "127.0.0.1"),
    ];
    let proxy = proxy(&Zone::of(&names), Setup::default());
    let literal = [
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::127.0.0.1]:{port}"),
        format!("[64:ff9b::7f00:1]:{port}"),
        "0.0.0.0".to_owned(),
        "169.254.169.254".to_owned(),
        "255.255.255.255".to_owned(),
        "224.0.0.1".to_owned(),
        "[fe80::1]".to_owned(),
        "[::]".to_owned(),
        "[ff02::1]".to_owned(),
        "10.9.1.2".to_owned(),
        "[::ffff:10.9.1.2]".to_owned(),
        "10.9.1.3".to_owned(),
    ];
    let named = names.iter().map(|(name, _)| format!("{name}:{port}"));
    for host in literal.into_iter().chain(named) {
        assert_refused(&proxy, &host, 403, "forbidden_destination");
    }
    // Forms of an address that only some resolvers understand are names here.
    for host in ["127.1", "0x7f.0.0.1", "0177.0.0.1"] {
        assert_refused(&proxy, host, 502, "unresolved");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn what_can_only_mean_a_service_is_not_passed_on() {
    let zone = Zone::of(&[]);
    let proxy = proxy(&zone, Setup::default());
    for host in [
        "orders",
        "localhost",
        "2130706433",
        "orders.shop.svc.cluster.local",
        "misspelt.shop",
        "misspelt.shop:8080",
        "a.b.router.local",
        "router.local",
    ] {
        assert_refused(&proxy, host, 404, "no_route");
    }
    let known = "GET /v2 HTTP/1.1\r\nHost: known.shop\r\n\r\n";
    assert_eq!(refusal(&proxy, known), (404, "no_route".into()), "what its rules leave out");
    let named = "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Selvedge-Service: orders.shop\r\n\r\n";
    assert_eq!(refusal(&proxy, named), (404, "no_route".into()));
    let https = "GET https://shop.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    assert_eq!(refusal(&proxy, https), (404, "no_route".into()), "never in clear text");
    assert!(zone.asked.lock().unwrap().is_empty());
    let circle = "GET / HTTP/1.1\r\nHost: shop.example\r\nVia: 1.1 tier, 1.1 tier, 1.1 tier\r\n\r\n";
    assert_eq!(refusal(&proxy, circle), (508, "loop".into()));
    assert_refused(&proxy, "shop.example", 502, "unresolved");
}

#[test]
fn a_request_for_an_unknown_host_reaches_it() {
    if !own_network::is_inside_beside_others("passing::a_request_for_an_unknown_host_reaches_it") {
        return;
    }
    let address: SocketAddr = "10.9.1.1:8080".parse().unwrap();
    let origin = Origin::on(address, true, |_, stream| {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfar!";
        if stream.write_all(answer).is_ok() { After::KeepOpen } else { After::Close }
    });
    let (access_log, lines) = lines();
    let zone = Zone::of(&[("shop.example", "10.9.1.1")]);
    let proxy = proxy(&zone, Setup { access_log, ..Setup::default() });
    let mut client = Client::connect(proxy.http());
    client.send(
        "GET http://Shop.example:8080/a?b HTTP/1.1\r\nHost: Shop.example:8080\r\nX-Selvedge-Caller: me\r\n\
        X-Forwarded-For: 10.1.1.1\r\nForwarded: for=10.1.1.1\r\nX-Real-IP: 10.1.1.1\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "far!");
    let seen = origin.only();
    assert_eq!((seen.line.as_str(), seen.field("host")), ("GET /a?b HTTP/1.1", Some("Shop.example:8080")));
    assert_eq!(seen.field("via"), Some("1.1 tier"));
    for told in ["x-forwarded-for", "forwarded", "x-real-ip", "x-selvedge-caller", "x-request-id"] {
        assert_eq!(seen.field(told), None, "{told} is nobody's business");
    }
    let line = lines.next_line();
    assert_eq!(
        (&line["route"], &line["backend"]),
        (&"pass-through".into(), &"shop.example:8080".into()),
        "{line}"
    );
    assert_eq!(line["endpoint"], "10.9.1.1:8080", "{line}");
    assert_eq!(client.get("shop.example:8080", "/").text(), "far!");
    assert_eq!(Client::connect(proxy.http()).get("10.9.1.1:8080", "/").text(), "far!");
    assert_eq!(*zone.asked.lock().unwrap(), ["shop.example"], "asked once, and for no address");
    let metrics = proxy.engine.metrics().encode();
    assert!(metrics.contains(r#"route="pass-through""#) && metrics.contains(r#"destination="pass-through""#));
    assert_refused(&proxy, "10.9.1.2:8080", 403, "forbidden_destination");
    assert_refused(&proxy, "10.9.1.3:8080", 403, "forbidden_destination");
    assert_refused(&proxy, "10.9.1.1:9", 502, "connect");
    tunnel(&proxy);
}

/// CONNECT to a host that nobody knows.
fn tunnel(proxy: &Proxy) {
    let listener = std::net::TcpListener::bind("10.9.1.1:4433").unwrap();
    let echo = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let _ = io::copy(&mut (&tcp).take(5), &mut &tcp);
    });
    let mut client = Client::connect(proxy.http());
    client.send("CONNECT shop.example:4433 HTTP/1.1\r\nHost: shop.example:4433\r\n\r\nhello");
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.exactly(5), b"hello");
    echo.join().unwrap();
}
