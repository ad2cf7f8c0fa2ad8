//! Requests that would go round in a circle.

use std::sync::Arc;

use selvedge_common::model::LoopProtection;
use selvedge_tests::{
    client::Client,
    http2::{Http2Client, get},
    origin::Origin,
    proxy::Proxy,
};

use crate::proxy_with;

fn protected() -> Proxy {
    proxy_with(|setup| {
        setup.listener = |listener| {
            listener.loop_protection = Some(LoopProtection { id: Arc::from("tier"), hops: 3 });
        };
    })
}

#[tokio::test]
async fn a_request_that_came_three_times_is_refused() {
    let (mut one, mut two) = (protected(), protected());
    one.route_all(&[two.http()]);
    two.route_all(&[one.http()]);
    let answer = Http2Client::connect(one.http()).await.whole(get("http://a/")).await;
    assert_eq!((answer.status(), answer.field("x-selvedge-reason")), (508, "loop"));
    let answer = tokio::task::spawn_blocking(move || Client::connect(one.http()).get("a", "/"));
    let answer = answer.await.unwrap();
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (508, Some("loop")));
    let metrics = two.engine.metrics().encode();
    assert!(
        metrics.contains(r#"selvedge_own_responses_total{reason="loop"} 2"#),
        "the fourth time: {metrics}"
    );
}

#[test]
fn the_name_is_left_in_via_behind_those_of_others_where_that_is_on() {
    let origin = Origin::named("ok");
    let mut proxy = protected();
    proxy.route_all(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 tier, 1.0 other\r\nvia: 2 tier\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    let seen = origin.only();
    let via: Vec<_> = (seen.fields.iter())
        .filter(|(name, _)| name.eq_ignore_ascii_case("via"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(via, ["1.1 tier, 1.0 other", "2 tier", "1.1 tier"]);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 tier, 1.1 tier, 1.1 tier\r\n\r\n");
    assert_eq!(client.answer().status, 508);
    let off = Proxy::to(&[origin.address]);
    assert_eq!(Client::connect(off.http()).get("a", "/").text(), "ok");
    assert_eq!(origin.seen()[1].field("via"), None);
}

#[test]
fn the_proxy_is_no_endpoint_of_its_own() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::start(Default::default());
    proxy.route_all(&[proxy.http(), proxy.https()]);
    let mut client = Client::connect(proxy.http());
    let answer = client.get("a", "/");
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (503, Some("own_address")));
    proxy.endpoints("test/origin:80", &[proxy.http(), origin.address]);
    (0..4).for_each(|_| assert_eq!(client.get("a", "/").text(), "ok"));
    proxy.endpoints("test/origin:80", &[]);
    assert_eq!(client.get("a", "/").field("x-selvedge-reason"), Some("no_endpoint"));
}
