//! Affinity: a cookie keeps a client at the endpoint that answered it first.

use std::time::Duration;

use selvedge_common::model::{Affinity, Backend};
use selvedge_tests::{
    client::{Answer, Client},
    origin::Origin,
    proxy::Proxy,
};

use crate::balance::proxy;

const BACKEND: &str = "test/origin:80";

fn sticky() -> Backend {
    let ttl = Some(Duration::from_secs(60));
    let affinity = Affinity { path: "/shop".into(), ttl, ..Affinity::named("at") };
    Backend { affinity: Some(affinity), ..Backend::default() }
}

fn get(proxy: &Proxy, cookie: &str) -> Answer {
    let mut client = Client::connect(proxy.http());
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y; {cookie}\r\n\r\n"));
    client.answer()
}

/// The cookie that an answer sets, as the client would send it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.field("set-cookie").expect("a cookie is set");
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Max-Age=60; Path=/shop; HttpOnly; SameSite=Lax");
    pair.to_owned()
}

#[test]
fn a_client_stays_where_its_cookie_says_and_is_told_only_once() {
    let origins = ["1", "2", "3", "4"].map(Origin::named);
    let proxy = proxy(2, sticky(), &origins);
    let first = get(&proxy, "z=1");
    let cookie = cookie(&first);
    for _ in 0..12 {
        let answer = get(&proxy, &cookie);
        assert_eq!((answer.text(), answer.field("set-cookie")), (first.text(), None));
    }
    let port = origins.iter().map(|origin| origin.address.port().to_string());
    assert!(port.into_iter().all(|port| !cookie.contains(&port)), "{cookie} hides the address");
}

#[test]
fn a_cookie_outlives_the_proxy_that_set_it() {
    let origins = ["1", "2", "3", "4"].map(Origin::named);
    let first = get(&proxy(1, sticky(), &origins), "z=1");
    let other = proxy(1, sticky(), &origins);
    for _ in 0..8 {
        assert_eq!(get(&other, &cookie(&first)).text(), first.text());
    }
}

#[test]
fn a_client_whose_endpoint_is_gone_or_fails_gets_another_and_a_new_cookie() {
    let origins = ["1", "2", "3"].map(Origin::named);
    let proxy = proxy(1, sticky(), &origins);
    let first = get(&proxy, "z=1");
    let left: Vec<_> = (origins.iter().zip(["1", "2", "3"]))
        .filter(|(_, name)| *name != first.text())
        .map(|(origin, _)| origin.address)
        .collect();
    proxy.endpoints(BACKEND, &left);
    let second = get(&proxy, &cookie(&first));
    assert_ne!(second.text(), first.text());
    assert_ne!(cookie(&second), cookie(&first));
    assert_eq!(get(&proxy, &cookie(&second)).text(), second.text());
}

#[test]
fn a_request_that_cannot_reach_its_endpoint_moves_with_its_client() {
    let (origin, nowhere) = (Origin::named("ok"), selvedge_tests::proxy::nowhere());
    let proxy = proxy(1, sticky(), &[]);
    proxy.endpoints(BACKEND, &[origin.address]);
    let good = cookie(&get(&proxy, "z=1"));
    // Whichever endpoint is tried first, the client ends at the one that answers.
    proxy.endpoints(BACKEND, &[origin.address, nowhere]);
    for _ in 0..6 {
        let answer = get(&proxy, "z=1");
        assert_eq!((answer.status, cookie(&answer)), (200, good.clone()));
    }
}
