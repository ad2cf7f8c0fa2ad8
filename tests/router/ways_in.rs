//! Ways in: by which names and ports a Service is called, and that nothing else is reached.

use selvedge_tests::{origin::Origin, ports::lasting_port, router::service, waiting::until};
use serde_json::{Value, json};

use crate::{Mesh, echo, orders, other, pod, rule, told};

/// Puts a label or an annotation on the Service of these objects.
fn marked(part: &str, name: &str, value: &str, mut service: Vec<Value>) -> Vec<Value> {
    service[0]["metadata"][part] = json!({name: value});
    service
}

#[test]
fn a_service_answers_by_each_of_its_names_and_nobody_else_does() {
    let origins = ["first", "second"].map(Origin::named);
    let mut service = orders(&[origins[0].address]);
    service[0]["spec"]["ports"] = json!([{"name": "http", "port": 80}, {"name": "admin", "port": 9090}]);
    let mut slice = orders(&[origins[1].address])[1].clone();
    slice["metadata"]["name"] = "orders-admin".into();
    slice["ports"][0]["name"] = "admin".into();
    let mesh = Mesh::of(&[service, vec![slice]]);
    let mut client = mesh.client();
    for (host, wanted) in [
        ("orders.shop", "first"),
        ("orders.shop:80", "first"),
        ("orders.shop:9090", "second"),
        ("orders.shop.svc", "first"),
        ("Orders.Shop.svc.cluster.local.", "first"),
        ("orders.shop.svc.cluster.local:9090", "second"),
        ("orders.shop.router.local", "first"),
        ("orders.shop.router.local:8080", "first"),
    ] {
        assert_eq!(client.get(host, "/").text(), wanted, "{host}");
    }
    for host in
        ["orders", "orders.web", "shop", "example.com", "127.0.0.1", "svc.cluster.local", "orders.shop.x"]
    {
        assert_eq!(told(&client.get(host, "/")), (404, Some("no_route")), "{host}");
    }
}

#[test]
fn suffix_and_domain_are_as_the_flags_say() {
    let origin = Origin::named("ok");
    let flags = ["--suffix=mesh.example", "--cluster-domain=k8s.example"];
    let mesh = Mesh::with_flags(&[orders(&[origin.address])], &flags);
    let hosts = [
        ("orders.shop.mesh.example", 200),
        ("orders.shop.svc.k8s.example", 200),
        ("orders.shop.router.local", 404),
        ("orders.shop.svc.cluster.local", 404),
    ];
    for (host, status) in hosts {
        assert_eq!(mesh.client().get(host, "/").status, status, "{host}");
    }
}

#[test]
fn a_short_name_is_that_of_the_callers_namespace() {
    let (shop, bank) = (Origin::named("shop"), Origin::named("bank"));
    let mesh = Mesh::of(&[
        orders(&[shop.address]),
        service("bank", "orders", 80, &[bank.address]),
        pod("shop/web/a", 1),
        pod("bank/web/b", 2),
    ]);
    for host in ["orders", "orders:80", "orders.router.local"] {
        assert_eq!(mesh.client_from(1).get(host, "/").text(), "shop", "{host}");
        assert_eq!(mesh.client_from(2).get(host, "/").text(), "bank", "{host}");
        assert_eq!(told(&mesh.client_from(3).get(host, "/")), (404, Some("no_route")), "{host}");
    }
}

#[test]
fn the_field_names_the_service_and_no_backend_sees_it() {
    let (orders_origin, carts) = (Origin::named("orders"), Origin::named("carts"));
    let mesh = Mesh::of(&[orders(&[orders_origin.address]), other("carts", &carts), pod("shop/web/a", 1)]);
    let mut client = mesh.client_from(1);
    for named in ["carts.shop", "carts.shop:80", "carts.shop.svc.cluster.local", "carts"] {
        client.send(format!("GET / HTTP/1.1\r\nHost: orders.shop\r\nX-Selvedge-Service: {named}\r\n\r\n"));
        assert_eq!(client.answer().text(), "carts", "{named}");
        let seen = carts.seen().pop().unwrap();
        assert_eq!((seen.field("x-selvedge-service"), seen.field("host")), (None, Some("orders.shop")));
    }
    client.send("GET / HTTP/1.1\r\nHost: orders.shop\r\nX-Selvedge-Service: nobody.shop\r\n\r\n");
    assert_eq!(told(&client.answer()), (404, Some("no_route")), "it counts before the host");
}

#[test]
fn a_program_that_takes_the_router_for_its_proxy_is_served() {
    let origin = Origin::named("ok");
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    let mut client = mesh.client();
    client.send(
        "GET http://orders.shop.svc.cluster.local/a?b HTTP/1.1\r\nHost: orders.shop.svc.cluster.local\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic c2VjcmV0\r\n\r\n",
    );
    assert_eq!(client.answer().text(), "ok");
    let seen = origin.only();
    assert_eq!(seen.line, "GET /a?b HTTP/1.1");
    assert_eq!(seen.field("host"), Some("orders.shop.svc.cluster.local"));
    assert_eq!((seen.field("proxy-connection"), seen.field("proxy-authorization")), (None, None));
    client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!(told(&client.answer()), (404, Some("no_route")));
}

#[test]
fn connect_leads_to_services_and_to_nothing_else() {
    let (origin, secret) = (echo(), echo());
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    for target in ["orders.shop:80", "orders.shop.svc.cluster.local:80", "orders.shop.router.local:8080"] {
        let mut client = mesh.client();
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nearly"));
        assert_eq!(client.head().unwrap().status, 200, "{target}");
        assert_eq!(client.exactly(7), b"hiearly");
        client.finish();
        assert_eq!(client.rest().unwrap(), b"bye");
    }
    for target in [secret.address.to_string(), "carts.shop:80".into(), "example.com:443".into()] {
        let mut client = mesh.client();
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        assert_eq!(told(&client.answer()), (404, Some("no_route")), "{target}");
    }
    assert_eq!((origin.connections(), secret.connections()), (3, 0));
}

#[test]
fn a_port_of_the_router_is_one_service_whatever_the_host_says() {
    let (origin, carts) = (Origin::named("orders"), Origin::named("carts"));
    let port = lasting_port().unwrap();
    let service =
        marked("annotations", "selvedge.dev/router-port", &port.to_string(), orders(&[origin.address]));
    let rules = rule("old", "[{matches: [{path: {prefix: /old}}], respond: {status: 410}}]");
    let mesh = Mesh::of(&[service, other("carts", &carts), rules]);
    let mut client = selvedge_tests::client::Client::connect(([127, 0, 0, 1], port).into());
    for host in ["anything", "127.0.0.1", "carts.shop"] {
        assert_eq!(client.get(host, "/").text(), "orders", "{host}");
    }
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.answer().text(), "orders", "without any host");
    assert_eq!(client.get("anything", "/old").status, 410, "its rules count there, too");
    assert_eq!(mesh.client().get("carts.shop", "/").text(), "carts", "the other port is as ever");
}

#[test]
fn a_port_of_the_router_may_carry_bytes_that_are_no_http() {
    let origin = echo();
    let port = lasting_port().unwrap();
    let service = service("shop", "db", 5432, &[origin.address]);
    let asked = format!("5432={port}/tcp");
    let _mesh = Mesh::of(&[marked("annotations", "selvedge.dev/router-port", &asked, service)]);
    let mut client = selvedge_tests::client::Client::connect(([127, 0, 0, 1], port).into());
    assert_eq!(client.exactly(2), b"hi", "the backend may speak first");
    client.send("\0\r\n\x7f");
    assert_eq!(client.exactly(4), b"\0\r\n\x7f");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"bye", "one side may end before the other");
}

#[test]
fn a_switched_service_has_the_endpoints_of_its_twin_and_its_own_rules() {
    let (own, pods) = (Origin::named("router"), Origin::named("pods"));
    let orders = || {
        let mut objects = orders(&[own.address]);
        // The slice by which the Service leads to the router.
        objects[1]["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] =
            "router.selvedge.dev".into();
        marked("labels", "selvedge.dev/via", "router", objects)
    };
    let twin = || marked("labels", "selvedge.dev/twin-of", "orders", other("orders-direct", &pods));
    let rules =
        || rule("tagged", "[{matches: [{path: {prefix: /tag}}], headers: {response: {set: {x-a: b}}}}]");
    let mesh = Mesh::of(&[orders(), twin(), rules()]);
    let answer = mesh.get("/tag");
    assert_eq!(
        (mesh.get("/").text(), answer.text(), answer.field("x-a")),
        ("pods".into(), "pods".into(), Some("b"))
    );
    mesh.change(&[orders(), rules()]);
    until(|| (mesh.get("/").status == 503).then_some(()));
    assert!(own.seen().is_empty(), "the router is no endpoint");
}

#[test]
fn hosts_of_rules_are_the_edges_and_not_served() {
    let origin = Origin::named("ok");
    let mut api = rule("api", "[{backends: [{service: orders}]}]");
    api[0]["spec"]["targets"] = json!([{"host": "api.example.com"}, {"host": "*.wild.example.com"}]);
    let mesh = Mesh::of(&[orders(&[origin.address]), api]);
    assert_eq!(mesh.client().get("orders.shop", "/").text(), "ok");
    for host in ["api.example.com", "a.wild.example.com:8080", "b.example.com"] {
        assert_eq!(mesh.client().get(host, "/").status, 404, "{host}");
    }
}
