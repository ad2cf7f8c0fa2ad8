//! Clients that ask where the time went.

use selvedge_tests::{client::Client, origin::Origin, proxy::Proxy};

use crate::proxy_with;

const ASKS: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Selvedge-Timing: 1\r\n\r\n";

#[test]
fn who_asks_is_told_how_long_the_proxy_and_the_backend_took() {
    let origin = Origin::named("ok");
    let mut proxy = proxy_with(|setup| setup.listener = |listener| listener.server_timing = true);
    proxy.route_all(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(ASKS);
    let answer = client.answer();
    let told = answer.field("server-timing").unwrap();
    let (own, upstream) = told.split_once(", ").unwrap();
    for (text, name) in [(own, "selvedge"), (upstream, "upstream")] {
        let millis: f64 = text.strip_prefix(name).unwrap().strip_prefix(";dur=").unwrap().parse().unwrap();
        assert!(millis >= 0.0, "{told}");
    }
    assert_eq!(client.get("a", "/").field("server-timing"), None);
    proxy.endpoints("test/origin:80", &[]);
    client.send(ASKS);
    let answer = client.answer();
    assert!(answer.field("server-timing").unwrap().starts_with("selvedge;dur="));
    assert!(!answer.field("server-timing").unwrap().contains("upstream"), "no backend was asked");
}

#[test]
fn nobody_is_told_where_it_is_off() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(ASKS);
    assert_eq!(client.answer().field("server-timing"), None);
}
