//! Copies of requests for mirrors, which never are in the way of the requests.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::Response;
use http_body_util::BodyExt;
use selvedge_common::model::{Backend, BackendProtocol, BackendTarget, InvalidBackend, Mirror, PathMatch};
use selvedge_tests::{
    client::Client,
    http2::{Http2Origin, full},
    origin::{After, Origin},
    proxy::{Proxy, nowhere},
    waiting::until,
};

/// A proxy that mirrors this share of requests.
fn mirroring(origin: SocketAddr, shadow: SocketAddr, percent: u8) -> Proxy {
    mirroring_over(BackendProtocol::Http1, origin, shadow, percent)
}

fn mirroring_over(protocol: BackendProtocol, origin: SocketAddr, shadow: SocketAddr, percent: u8) -> Proxy {
    let mut proxy = Proxy::start(Default::default());
    proxy.backend("test/origin:80", Backend::default());
    proxy.backend("test/shadow:80", Backend { protocol, ..Backend::default() });
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.edit_host("*", |host| {
        let target = BackendTarget::Backend("test/shadow:80".into());
        host.routes[0].mirrors = vec![Mirror { target, percent, host: None }].into();
    });
    proxy.apply(&[("test/origin:80", &[origin]), ("test/shadow:80", &[shadow])]);
    proxy
}

/// Waits until so many copies had this result.
fn counted(proxy: &Proxy, result: &str, count: usize) {
    let line = format!("selvedge_mirrored_requests_total{{result=\"{result}\"}} {count}\n");
    until(|| proxy.engine.metrics().encode().contains(&line).then_some(()));
}

#[test]
fn a_mirror_gets_what_the_backend_gets_and_its_answer_is_dropped() {
    let (origin, shadow) = (Origin::named("ok"), Origin::named("shadow"));
    let proxy = mirroring(origin.address, shadow.address, 100);
    let mut client = Client::connect(proxy.http());
    assert_eq!(client.get("a", "/one?two").text(), "ok");
    client.send("POST /three HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().text(), "ok");
    client
        .send("POST /four HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    counted(&proxy, "answered", 3);
    let copies = shadow.seen();
    for (seen, body) in origin.seen().iter().zip([&b""[..], b"hello", b"hello"]) {
        let copy = copies.iter().find(|copy| copy.line == seen.line).unwrap();
        assert_eq!((&copy.body[..], copy.field("host")), (body, Some("a")));
        assert_eq!(copy.field("x-request-id"), seen.field("x-request-id"));
        assert_eq!((copy.field("x-selvedge-mirror"), seen.field("x-selvedge-mirror")), (Some("true"), None));
    }
    let ended = r#"selvedge_requests_total{namespace="test",route="route",service="origin",status="2xx"} 3"#;
    until(|| proxy.engine.metrics().encode().contains(ended).then_some(()));
}

#[test]
fn copies_may_have_a_host_of_their_own_over_either_version() {
    let (origin, shadow) = (Origin::named("ok"), Origin::named("shadow"));
    let hosts: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = hosts.clone();
    let second = Http2Origin::start(100, move |request| {
        let host = request.uri().authority().map(ToString::to_string);
        seen.lock().unwrap().push(host.unwrap_or_default());
        async { Response::new(full("shadow")) }
    });
    for (protocol, address) in
        [(BackendProtocol::Http1, shadow.address), (BackendProtocol::Http2, second.address)]
    {
        let mut proxy = mirroring_over(protocol, origin.address, address, 100);
        proxy.edit_host("*", |host| host.routes[0].mirrors[0].host = Some("copy.example".into()));
        proxy.apply(&[]);
        assert_eq!(Client::connect(proxy.http()).get("a", "/").text(), "ok");
        counted(&proxy, "answered", 1);
    }
    assert!(origin.seen().iter().all(|seen| seen.field("host") == Some("a")));
    let copy = &shadow.seen()[0];
    assert_eq!((copy.field("host"), copy.field("x-forwarded-host")), (Some("copy.example"), Some("a")));
    assert_eq!(*hosts.lock().unwrap(), ["copy.example"]);
}

#[test]
fn a_body_too_large_to_keep_is_not_mirrored() {
    let (origin, shadow) = (Origin::named("ok"), Origin::named("shadow"));
    let mut proxy = mirroring(origin.address, shadow.address, 100);
    proxy.edit_host("*", |host| host.routes[0].retry.body_bytes = 4);
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().text(), "ok");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    counted(&proxy, "body_not_kept", 2);
    assert!(shadow.seen().is_empty());
}

#[test]
fn a_mirror_that_never_answers_costs_requests_nothing_and_is_bounded() {
    let origin = Origin::named("ok");
    let silent = Origin::after_head(|_, stream| {
        let _ = stream.read(&mut [0]);
        After::Close
    });
    let proxy = mirroring(origin.address, silent.address, 100);
    let mut client = Client::connect(proxy.http());
    for _ in 0..130 {
        assert_eq!(client.get("a", "/").text(), "ok");
    }
    counted(&proxy, "dropped", 30);
}

#[test]
fn a_mirror_that_cannot_be_reached_harms_nobody() {
    let origin = Origin::named("ok");
    let mut proxy = mirroring(origin.address, nowhere(), 100);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").text(), "ok");
    counted(&proxy, "connect", 1);
    proxy.edit_host("*", |host| {
        host.routes[0].mirrors[0].target = BackendTarget::Invalid(InvalidBackend::ServiceNotFound);
    });
    proxy.apply(&[]);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").text(), "ok");
    counted(&proxy, "invalid", 1);
}

#[test]
fn a_share_of_nothing_mirrors_nothing_and_one_of_half_about_half() {
    let (origin, shadow) = (Origin::named("ok"), Origin::named("shadow"));
    let proxy = mirroring(origin.address, shadow.address, 0);
    let mut client = Client::connect(proxy.http());
    (0..50).for_each(|_| assert_eq!(client.get("a", "/").text(), "ok"));
    assert!(!proxy.engine.metrics().encode().contains("mirrored_requests_total{"));
    let proxy = mirroring(origin.address, shadow.address, 50);
    let mut client = Client::connect(proxy.http());
    (0..400).for_each(|_| assert_eq!(client.get("a", "/").text(), "ok"));
    until(|| {
        let encoded = proxy.engine.metrics().encode();
        let (_, rest) = encoded.split_once("mirrored_requests_total{result=\"answered\"} ")?;
        let count: usize = rest.lines().next()?.parse().ok()?;
        (count == shadow.seen().len() && (100..300).contains(&count)).then_some(())
    });
}

#[test]
fn a_mirror_may_speak_http2() {
    let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let seen = bodies.clone();
    let shadow = Http2Origin::start(100, move |request| {
        let seen = seen.clone();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            seen.lock().unwrap().push(body.to_vec());
            Response::new(full("shadow"))
        }
    });
    let origin = Origin::scripted(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        After::KeepOpen
    });
    let proxy = mirroring_over(BackendProtocol::Http2, origin.address, shadow.address, 100);
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().text(), "ok");
    counted(&proxy, "answered", 1);
    assert_eq!(*bodies.lock().unwrap(), [b"hello".to_vec()]);
}
