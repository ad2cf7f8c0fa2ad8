//! Bodies that are read whole before an endpoint is chosen.

use selvedge_tests::{client::Client, origin::Origin, proxy::Proxy};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

/// A proxy that reads bodies up to this size whole.
fn buffering(origin: &Origin, bytes: u64) -> Proxy {
    let mut proxy = Proxy::to(&[origin.address]);
    proxy.edit_host("*", |host| host.routes[0].buffered_body_bytes = bytes);
    proxy.route("open", selvedge_common::model::PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.apply(&[]);
    proxy
}

#[test]
fn an_endpoint_is_chosen_when_the_body_is_whole() {
    let (early, late) = (Origin::named("early"), Origin::named("late"));
    let proxy = buffering(&early, 10);
    for framing in ["Content-Length: 10\r\n\r\n01234", "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"] {
        proxy.endpoints("test/origin:80", &[early.address]);
        let mut client = Client::connect(proxy.http());
        client.send(format!("{HEAD}{framing}"));
        // The one worker has seen the first part of the body once it has served another client.
        assert_eq!(Client::connect(proxy.http()).get("open", "/").text(), "early");
        proxy.endpoints("test/origin:80", &[late.address]);
        client.send(if framing.starts_with('C') { "56789" } else { "5\r\n56789\r\n0\r\n\r\n" });
        assert_eq!(client.answer().text(), "late", "{framing}");
        assert_eq!(late.seen().pop().unwrap().body, b"0123456789");
    }
    assert_eq!(early.seen().iter().filter(|seen| seen.line.starts_with("POST")).count(), 0);
}

#[test]
fn a_larger_body_is_passed_on_as_it_comes() {
    let origin = Origin::named("ok");
    let proxy = buffering(&origin, 8);
    for framing in ["Content-Length: 10\r\n\r\n01234", "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"] {
        let mut client = Client::connect(proxy.http());
        client.send(format!("{HEAD}{framing}"));
        client.send(if framing.starts_with('C') { "56789" } else { "5\r\n56789\r\n0\r\n\r\n" });
        assert_eq!(client.answer().text(), "ok", "{framing}");
        assert_eq!(origin.seen().pop().unwrap().body, b"0123456789");
        // And the connection goes on.
        assert_eq!(client.get("a", "/").text(), "ok");
    }
}

#[test]
fn a_body_that_breaks_off_reaches_nobody() {
    let origin = Origin::named("ok");
    let proxy = buffering(&origin, 100);
    let client = &mut Client::connect(proxy.http());
    client.send(format!("{HEAD}Content-Length: 10\r\n\r\n01234"));
    client.finish();
    assert!(client.rest().unwrap_or_default().is_empty(), "there is no answer to half a request");
    let answer = Client::exchange(proxy.http(), format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nxyz\r\n"));
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    assert!(origin.seen().is_empty());
}
