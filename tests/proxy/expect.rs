//! `Expect: 100-continue` (RFC 9110 §10.1.1): a client is asked for its body only when a backend wants it.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::Proxy,
};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An origin that says these bytes after the head, reads five bytes of body and answers.
fn wanting(word: &'static [u8]) -> Origin {
    Origin::after_head(move |_, stream| {
        stream.write_all(word).unwrap();
        let mut body = [0; 5];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"hello");
        stream.write_all(OK).unwrap();
        After::Close
    })
}

fn client(endpoints: &[SocketAddr]) -> (Proxy, Client) {
    let proxy = Proxy::to(endpoints);
    let mut client = Client::connect(proxy.http());
    client.send(HEAD);
    (proxy, client)
}

#[test]
fn the_client_is_asked_when_the_backend_asks() {
    let origin = wanting(b"HTTP/1.1 100 Continue\r\n\r\n");
    let (_proxy, mut client) = client(&[origin.address]);
    assert_eq!(client.answer().status, 100);
    client.send("hello");
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(origin.only().field("expect"), Some("100-continue"));
}

#[test]
fn a_backend_that_does_not_know_the_expectation_gets_the_body_too() {
    let origin = wanting(b"");
    let (_proxy, mut client) = client(&[origin.address]);
    assert_eq!(client.answer().status, 100);
    client.send("hello");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_client_that_does_not_wait_is_not_held_up() {
    let origin = wanting(b"");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(format!("{HEAD}hello"));
    assert_eq!(client.answer().text(), "ok", "no 100 is needed when the body is there already");
}

#[test]
fn no_body_is_asked_for_when_the_backend_answers_without() {
    let origin = Origin::after_head(|_, stream| {
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").unwrap();
        After::KeepOpen
    });
    let (_proxy, mut client) = client(&[origin.address]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (401, Some("close")));
    assert!(client.is_closed(), "the client may send the body or not, so the connection cannot go on");
}

#[test]
fn no_body_is_asked_for_in_the_middle_of_an_answer() {
    let origin = Origin::after_head(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n").unwrap();
        // Longer than the proxy waits for the backend's word; the read ends only when the proxy gives up.
        stream.set_read_timeout(Some(std::time::Duration::from_millis(1500))).unwrap();
        let _ = stream.read(&mut [0]);
        stream.write_all(b"0\r\n\r\n").unwrap();
        After::Close
    });
    let (_proxy, mut client) = client(&[origin.address]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(client.is_closed());
}

#[test]
fn no_body_is_asked_for_when_the_proxy_itself_answers() {
    let (mut proxy, mut client) = client(&[]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (503, Some("close")));
    assert!(client.is_closed());
    proxy.edit_host("*", |host| host.routes.clear());
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.http());
    client.send(HEAD);
    assert_eq!(client.answer().status, 404);
    assert!(client.is_closed());
}

#[test]
fn http10_clients_are_never_asked() {
    let origin = wanting(b"");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(HEAD.replace("HTTP/1.1", "HTTP/1.0"));
    client.send("hello");
    assert_eq!(client.answer().status, 200);
}
