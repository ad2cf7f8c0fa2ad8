//! Names of services: by suffix, by field, by port of the listener and by the target of a proxied request.

use selvedge_common::model::{Backend, Listener, ListenerProtocol, PathMatch, ServiceNames};
use selvedge_tests::{
    client::Client,
    origin::Origin,
    proxy::{Proxy, Setup, listener},
};

fn names(field: bool, fixed: Option<&str>) -> ServiceNames {
    let suffixes = ["svc.cluster.local", "svc", "router.local"].map(Into::into).to_vec();
    ServiceNames { suffixes, field, fixed: fixed.map(Into::into) }
}

/// A proxy that knows `orders.shop`, its port 9090 apart, `users.shop` and `api.example.com`, and origins of all.
fn proxy() -> (Proxy, Vec<Origin>) {
    let mut proxy = Proxy::start(Setup {
        listener: |listener| listener.service_names = Some(names(true, None)),
        ..Setup::default()
    });
    let hosts = ["orders.shop", "orders.shop:9090", "users.shop", "api.example.com"];
    let origins: Vec<_> = hosts.iter().map(|host| Origin::named(host)).collect();
    for (host, origin) in hosts.iter().zip(&origins) {
        proxy.backend(host, Backend::default());
        proxy.route(host, PathMatch::Prefix("/".into()), host);
        proxy.apply(&[(host, &[origin.address])]);
    }
    (proxy, origins)
}

#[test]
fn a_service_is_found_by_each_of_its_names() {
    let (proxy, _origins) = proxy();
    let mut client = Client::connect(proxy.http());
    for (host, wanted) in [
        ("orders.shop", "orders.shop"),
        ("orders.shop.svc", "orders.shop"),
        ("Orders.Shop.svc.cluster.local.", "orders.shop"),
        ("orders.shop.router.local:8080", "orders.shop"),
        ("orders.shop.svc.cluster.local:9090", "orders.shop:9090"),
        ("users.shop:9090", "users.shop"),
        ("api.example.com", "api.example.com"),
        ("api.example.com:443", "api.example.com"),
    ] {
        assert_eq!(client.get(host, "/").text(), wanted, "{host}");
    }
    for host in ["orders", "orders.web", "example.com", "svc.cluster.local"] {
        let answer = client.get(host, "/");
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (404, Some("no_route")), "{host}");
    }
}

#[test]
fn the_backend_sees_the_host_that_the_client_sent_and_not_our_field() {
    let (proxy, origins) = proxy();
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: router\r\nX-Selvedge-Service: users.shop:80\r\n\r\n");
    assert_eq!(client.answer().text(), "users.shop");
    let seen = origins[2].only();
    assert_eq!((seen.field("host"), seen.field("x-selvedge-service")), (Some("router"), None));
    client.send("GET / HTTP/1.1\r\nHost: router\r\nX-Selvedge-Service: no host\r\n\r\n");
    assert_eq!(client.answer().status, 400);
}

#[test]
fn a_field_that_is_not_believed_is_taken_away_all_the_same() {
    let (mut proxy, origins) = proxy();
    let settings = Listener {
        service_names: Some(names(false, None)),
        routes: "test".into(),
        ..listener(ListenerProtocol::Http)
    };
    proxy.listen("plain", settings);
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.address("plain").unwrap());
    client.send("GET / HTTP/1.1\r\nHost: orders.shop\r\nX-Selvedge-Service: users.shop\r\n\r\n");
    assert_eq!(client.answer().text(), "orders.shop");
    assert_eq!(origins[0].only().field("x-selvedge-service"), None);
}

#[test]
fn a_listener_for_one_service_asks_no_host() {
    let (mut proxy, origins) = proxy();
    for (name, fixed, wanted) in [("a", "users.shop", 2), ("b", "orders.shop:9090", 1)] {
        let settings = Listener {
            service_names: Some(names(true, Some(fixed))),
            routes: "test".into(),
            ..listener(ListenerProtocol::Http)
        };
        proxy.listen(name, settings);
        proxy.apply(&[]);
        let mut client = Client::connect(proxy.address(name).unwrap());
        client.send("GET / HTTP/1.1\r\nHost: anything:1\r\nX-Selvedge-Service: orders.shop\r\n\r\n");
        assert_eq!(client.answer().text(), fixed);
        assert_eq!(origins[wanted].only().field("host"), Some("anything:1"));
    }
}

#[test]
fn a_client_that_takes_us_for_its_proxy_is_served() {
    let (proxy, origins) = proxy();
    let mut client = Client::connect(proxy.http());
    client.send(
        "GET http://users.shop:8080/x?y HTTP/1.1\r\nHost: users.shop:8080\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic c2VjcmV0\r\nAuthorization: mine\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "users.shop");
    let seen = origins[2].only();
    assert_eq!((seen.line.as_str(), seen.field("host")), ("GET /x?y HTTP/1.1", Some("users.shop:8080")));
    for gone in ["proxy-connection", "proxy-authorization"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    assert_eq!(seen.field("authorization"), Some("mine"));
}

#[test]
fn a_listener_without_names_leaves_field_and_suffix_alone() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::start(Setup::default());
    proxy.backend("orders.shop", Backend::default());
    proxy.route("orders.shop", PathMatch::Prefix("/".into()), "orders.shop");
    proxy.apply(&[("orders.shop", &[origin.address])]);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: orders.shop:8080\r\nX-Selvedge-Service: users.shop\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(origin.only().field("x-selvedge-service"), Some("users.shop"));
    assert_eq!(client.get("orders.shop.svc", "/").status, 404);
}

#[test]
fn a_listener_may_take_the_field_away_and_look_requests_up_by_their_host() {
    let origins = ["a", "b"].map(Origin::named);
    let listener = |listener: &mut Listener| listener.takes_service_field = true;
    let mut proxy = Proxy::start(Setup { listener, ..Setup::default() });
    for (name, origin) in ["a.example", "users.shop"].into_iter().zip(&origins) {
        proxy.backend(name, Backend::default());
        proxy.route(name, PathMatch::Prefix("/".into()), name);
        proxy.apply(&[(name, &[origin.address])]);
    }
    let mut client = Client::connect(proxy.http());
    let twice = "X-Selvedge-Service: users.shop\r\nx-selvedge-SERVICE: users.shop:80\r\n";
    client.send(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{twice}X-Other: kept\r\n\r\n"));
    assert_eq!(client.answer().text(), "a");
    let seen = origins[0].only();
    assert_eq!((seen.field("x-selvedge-service"), seen.field("x-other")), (None, Some("kept")));
}
