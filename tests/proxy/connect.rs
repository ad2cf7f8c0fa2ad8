//! CONNECT: a tunnel to backends of the table, over either version of HTTP, and never to anything else.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use hyper_util::rt::TokioIo;
use selvedge_common::{
    filter::Filter,
    model::{Backend, PathMatch},
};
use selvedge_tests::{
    client::Client,
    http2::{Http2Client, full},
    http2_frames::{END_HEADERS, Frames, kind, literal},
    log::lines,
    origin::Origin,
    proxy::{Proxy, Setup, nowhere},
    waiting::until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ASK: &str = "CONNECT orders.shop:8080 HTTP/1.1\r\nHost: orders.shop:8080\r\n\r\n";

/// An origin that greets, sends back what it gets, and says goodbye at the end of that.
fn echo() -> Origin {
    Origin::raw(|_, mut stream| {
        stream.write_all(b"hi").unwrap();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).unwrap();
        }
        let _ = stream.write_all(b"bye");
    })
}

/// A proxy that answers CONNECT to this host of the table.
fn proxy_to(setup: Setup, host: &str, endpoints: &[SocketAddr]) -> Proxy {
    let mut proxy = Proxy::start(Setup { listener: |listener| listener.connect = true, ..setup });
    proxy.backend("shop/orders:8080", Backend::default());
    proxy.route(host, PathMatch::Prefix("/".into()), "shop/orders:8080");
    proxy.apply(&[("shop/orders:8080", endpoints)]);
    proxy
}

#[test]
fn bytes_pass_both_ways_after_200_even_those_right_behind_the_heads() {
    let origin = echo();
    let (access_log, lines) = lines();
    let proxy = proxy_to(Setup { access_log, ..Setup::default() }, "orders.shop", &[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(format!("{ASK}early"));
    let head = client.head().unwrap();
    assert_eq!(head.status, 200);
    for framing in ["content-length", "transfer-encoding"] {
        assert_eq!(head.field(framing), None, "{head:?}");
    }
    assert_eq!(client.exactly(7), b"hiearly");
    client.finish();
    assert_eq!(client.rest().unwrap(), b"bye");
    let line = lines.next_line();
    assert_eq!((&line["method"], &line["target"]), (&"CONNECT".into(), &"orders.shop:8080".into()), "{line}");
    assert_eq!((&line["received_bytes"], &line["sent_bytes"]), (&5.into(), &10.into()), "{line}");
    assert_eq!((&line["status"], &line["backend"]), (&200.into(), &"shop/orders:8080".into()), "{line}");
}

#[tokio::test]
async fn a_stream_of_http2_becomes_a_tunnel_beside_other_requests() {
    let origin = echo();
    let proxy = proxy_to(Setup::default(), "orders.shop", &[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let ask = || http::Request::connect("orders.shop:8080").body(full("")).unwrap();
    let mut answer = client.send(ask()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut tunnel = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    let mut read = [0; 2];
    tunnel.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hi");
    let refused = client.whole(http::Request::connect("unknown.shop:1").body(full("")).unwrap()).await;
    assert_eq!((refused.status(), refused.field("x-selvedge-reason")), (404, "no_route"));
    let sent = vec![b'x'; 300_000];
    let mut back = vec![0; sent.len()];
    let (mut from, mut to) = tokio::io::split(tunnel);
    let (wrote, got) = tokio::join!(to.write_all(&sent), from.read_exact(&mut back));
    wrote.unwrap();
    got.unwrap();
    assert_eq!(back, sent);
    to.shutdown().await.unwrap();
    let mut rest = Vec::new();
    from.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye", "the backend's side ends after the client's");
}

#[test]
fn only_what_the_table_holds_is_connected_to() {
    let (origin, secret) = (echo(), echo());
    let proxy = proxy_to(Setup::default(), "orders.shop", &[origin.address]);
    for target in ["orders.web:8080".to_owned(), secret.address.to_string(), "[::1]:80".to_owned()] {
        let mut client = Client::connect(proxy.http());
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (404, Some("no_route")), "{target}");
    }
    assert_eq!((origin.connections(), secret.connections()), (0, 0));
}

#[test]
fn a_host_with_its_port_in_the_table_comes_before_the_host_alone() {
    let (any, exact) = (Origin::raw(|_, mut tcp| tcp.write_all(b"any").unwrap()), echo());
    let mut proxy = proxy_to(Setup::default(), "orders.shop", &[any.address]);
    proxy.backend("shop/orders:9090", Backend::default());
    proxy.route("orders.shop:9090", PathMatch::Prefix("/".into()), "shop/orders:9090");
    proxy.apply(&[("shop/orders:9090", &[exact.address])]);
    for (port, wanted) in [(8080, b"an"), (9090, b"hi")] {
        let mut client = Client::connect(proxy.http());
        client.send(format!("CONNECT orders.shop:{port} HTTP/1.1\r\nHost: orders.shop\r\n\r\n"));
        assert_eq!(client.head().unwrap().status, 200);
        assert_eq!(client.exactly(2), wanted, "{port}");
    }
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_followed_by_another_and_the_last_failure_is_told() {
    let origin = echo();
    let proxy = proxy_to(Setup::default(), "orders.shop", &[nowhere(), origin.address]);
    for _ in 0..8 {
        let mut client = Client::connect(proxy.http());
        client.send(ASK);
        assert_eq!(client.head().unwrap().status, 200);
    }
    for (endpoints, status, reason) in [(vec![nowhere()], 502, "connect"), (vec![], 503, "no_endpoint")] {
        let proxy = proxy_to(Setup::default(), "orders.shop", &endpoints);
        let mut client = Client::connect(proxy.http());
        client.send(ASK);
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (status, Some(reason)));
        client.send(ASK);
        assert_eq!(client.answer().status, status, "the connection goes on");
    }
}

#[test]
fn a_filter_that_replies_is_asked() {
    let origin = echo();
    let mut proxy = proxy_to(Setup::default(), "orders.shop", &[origin.address]);
    let filter: Filter = serde_json::from_str(r#"{"redirectHttps":{"status":308}}"#).unwrap();
    proxy.edit_host("orders.shop", |host| host.routes[0].filters.push(filter));
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.http());
    client.send(ASK);
    assert_eq!(client.answer().status, 308);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn content_and_a_target_without_port_are_refused() {
    let origin = echo();
    let proxy = proxy_to(Setup::default(), "orders.shop", &[origin.address]);
    for head in [
        "CONNECT orders.shop:8080 HTTP/1.1\r\nHost: orders.shop:8080\r\nContent-Length: 3\r\n\r\nabc",
        "CONNECT orders.shop HTTP/1.1\r\nHost: orders.shop\r\n\r\n",
        "CONNECT /path HTTP/1.1\r\nHost: orders.shop\r\n\r\n",
    ] {
        let mut client = Client::connect(proxy.http());
        client.send(head);
        assert_eq!(client.answer().status, 400, "{head:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_stream_of_http2_that_announces_content_is_no_tunnel() {
    let origin = echo();
    let proxy = proxy_to(Setup::default(), "orders.shop", &[origin.address]);
    for (length, status) in [("3", 400), ("0", 200)] {
        let mut block = Vec::new();
        literal(&mut block, ":method", "CONNECT");
        literal(&mut block, ":authority", "orders.shop:8080");
        literal(&mut block, "content-length", length);
        let mut frames = Frames::connect(proxy.http(), &[]);
        frames.frame(kind::HEADERS, END_HEADERS, 1, &block);
        let answer = frames.until(kind::HEADERS, 1).unwrap();
        assert_eq!(answer.status(), Some(status), "{length}");
        assert!(status == 200 || origin.connections() == 0, "{length}");
    }
    // The answer of a tunnel can be there before the origin has accepted its connection.
    until(|| (origin.connections() == 1).then_some(()));
}

#[tokio::test]
async fn a_listener_that_is_not_told_to_answers_405() {
    let origin = echo();
    let proxy = Proxy::to(&[origin.address]);
    let address = proxy.http();
    let answer = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(address);
        client.send(ASK);
        client.answer()
    });
    let answer = answer.await.unwrap();
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (405, Some("not_proxied")));
    let mut client = Http2Client::connect(proxy.http()).await;
    let ask = http::Request::connect("orders.shop:8080").body(full("")).unwrap();
    assert_eq!(client.whole(ask).await.status(), 405);
}
