//! What reaches the backend and what comes back.

use std::io::Write;

use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::{Proxy, nowhere},
};

#[test]
fn a_request_reaches_the_backend_and_its_answer_the_client() {
    let origin = Origin::named("hello");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for _ in 0..3 {
        let answer = client.get("shop.example", "/a?b=c");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    }
    assert_eq!(origin.seen()[0].line, "GET /a?b=c HTTP/1.1");
    assert_eq!(origin.connections(), 1, "connections are used again");
}

#[test]
fn the_backend_gets_forwarded_fields_and_no_hop_by_hop_ones() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(
        "GET / HTTP/1.1\r\nHost: a.example:8080\r\nConnection: x-private, keep-alive, host\r\nX-Private: 1\r\n\
         Keep-Alive: 5\r\nProxy: evil\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Kept: Yes\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    let seen = origin.only();
    assert_eq!(seen.field("host"), Some("a.example:8080"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("a.example:8080"));
    assert_eq!(seen.field("x-forwarded-port"), Some("80"));
    assert_eq!(seen.field("x-request-id").map(str::len), Some(32));
    assert_eq!(seen.field("x-kept"), Some("Yes"));
    for gone in ["x-private", "keep-alive", "proxy", "connection"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
}

#[test]
fn bodies_pass_in_both_framings_and_both_directions() {
    let origin = Origin::scripted(|seen, stream| {
        let length = seen.body.len();
        let head = match seen.line.contains("chunked") {
            true => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            false => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"),
        };
        stream.write_all(head.as_bytes()).unwrap();
        if seen.line.contains("chunked") {
            for piece in seen.body.chunks(1000) {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
                stream.write_all(piece).unwrap();
                stream.write_all(b"\r\n").unwrap();
            }
            stream.write_all(b"0\r\nx-sum: 7\r\n\r\n").unwrap();
        } else {
            stream.write_all(&seen.body).unwrap();
        }
        After::KeepOpen
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for size in [1, 100, 20_000, 300_000, 2_000_000] {
        let body: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        client.send(format!("POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        client.send(&body);
        assert!(client.answer().body == body, "{size} bytes by length");
        client.send("POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(7777) {
            client.send(format!("{:x}\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        let answer = client.answer();
        assert!(answer.body == body, "{size} bytes in chunks");
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    }
}

#[test]
fn a_backend_that_refuses_connections_is_answered_502() {
    let proxy = Proxy::to(&[nowhere()]);
    let answer = Client::connect(proxy.http()).get("a", "/");
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (502, Some("connect")));
    assert_eq!(answer.field("server"), Some("selvedge"));
    assert!(answer.field("date").is_some());
}

#[test]
fn no_endpoint_is_503_and_no_route_404() {
    let mut proxy = Proxy::to(&[]);
    let answer = Client::connect(proxy.http()).get("a", "/");
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (503, Some("no_endpoint")));
    proxy.edit_host("*", |host| host.routes.clear());
    proxy.apply(&[]);
    let answer = Client::connect(proxy.http()).get("a", "/");
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (404, Some("no_route")));
}
