//! Protocols of HTTP/1.1 through the router: upgrades, events, chunks with trailers, and what is large.

use std::{
    io::{Read, Write},
    sync::{Mutex, mpsc},
    thread,
};

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Frame;
use selvedge_tests::{
    http2::{Http2Client, full, pieces},
    origin::{After, Origin},
};

use crate::{Mesh, orders};

/// Larger than all buffers between a client and an origin.
const MUCH: usize = 6 << 20;

#[test]
fn a_websocket_is_a_tunnel_after_101() {
    let origin = Origin::after_head(|seen, stream| {
        assert_eq!(seen.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).unwrap();
        }
        let _ = stream.write_all(b"\x88\0");
        After::Close
    });
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    let mut client = mesh.client();
    client.send(
        "GET /chat HTTP/1.1\r\nHost: orders.shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let head = client.answer();
    assert_eq!((head.status, head.field("upgrade")), (101, Some("websocket")));
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for size in [1, 126, 70_000] {
        let frame = vec![0x82; size];
        client.send(&frame);
        assert_eq!(client.exactly(size), frame);
    }
    client.finish();
    assert_eq!(client.rest().unwrap(), b"\x88\0", "the backend has the last word");
}

#[test]
fn events_arrive_one_by_one_while_the_stream_is_open() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::scripted(move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for number in 0..5 {
            gone.lock().unwrap().recv().unwrap();
            let event = format!("data: {number}\n\n");
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        After::KeepOpen
    });
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    let mut client = mesh.client();
    client.send("GET /events HTTP/1.1\r\nHost: orders.shop\r\nAccept: text/event-stream\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")));
    for number in 0..5 {
        go.send(()).unwrap();
        assert_eq!(client.chunk().unwrap(), format!("data: {number}\n\n").as_bytes());
    }
    assert_eq!(client.chunk().unwrap(), b"");
}

#[test]
fn trailers_of_chunked_bodies_pass_both_ways() {
    let origin = Origin::scripted(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
            5\r\nworld\r\n0\r\nx-sum: 2\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        After::KeepOpen
    });
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    let mut client = mesh.client();
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: orders.shop\r\nTE: trailers\r\nConnection: TE\r\n\
             Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nx-sum: 1\r\n\r\n",
        );
        let answer = client.answer();
        assert_eq!(
            (answer.text().as_str(), &answer.trailers[..]),
            ("world", &[("x-sum".into(), "2".into())][..])
        );
        let seen = origin.seen().pop().unwrap();
        assert_eq!(
            (&seen.body[..], &seen.trailers[..]),
            (&b"hello"[..], &[("x-sum".into(), "1".into())][..])
        );
    }
}

/// An origin that answers with what it was sent, as it comes.
fn mirror() -> Origin {
    Origin::after_head(|seen, stream| {
        let length: usize = seen.field("content-length").unwrap().parse().unwrap();
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).unwrap();
        let mut bytes = vec![0; 64 << 10];
        let mut left = length;
        while left > 0 {
            let count = stream.read(&mut bytes).unwrap();
            stream.write_all(&bytes[..count]).unwrap();
            left -= count;
        }
        After::KeepOpen
    })
}

/// Bytes that show where they come from.
fn much() -> Vec<u8> {
    (0..MUCH).map(|index| (index % 251) as u8).collect()
}

#[test]
fn large_bodies_pass_both_ways_at_once() {
    let origin = mirror();
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    let mut client = mesh.client();
    client.send(format!("PUT / HTTP/1.1\r\nHost: orders.shop\r\nContent-Length: {MUCH}\r\n\r\n"));
    let mut sender = client.tcp().try_clone().unwrap();
    let sending = thread::spawn(move || sender.write_all(&much()).unwrap());
    let answer = client.answer();
    sending.join().unwrap();
    assert!(answer.status == 200 && answer.body == much());
}

#[tokio::test]
async fn a_caller_may_speak_http2_to_a_service_of_http1() {
    let origin = mirror();
    let mesh = Mesh::of(&[orders(&[origin.address])]);
    let mut client = Http2Client::connect(mesh.router.http).await;
    let request = || Request::put("http://orders.shop/a?b").header("content-length", MUCH);
    let (sender, body) = pieces();
    let mut answer = client.send(request().body(body).unwrap()).await.unwrap().into_body();
    let sending = tokio::spawn(async move {
        for piece in much().chunks(100_000) {
            sender.send(Ok(Frame::data(piece.to_vec().into()))).await.unwrap();
        }
    });
    let mut received = Vec::new();
    while let Some(frame) = answer.frame().await {
        received.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    sending.await.unwrap();
    assert!(received == much());
    let seen = origin.only();
    assert_eq!((seen.line.as_str(), seen.field("host")), ("PUT /a?b HTTP/1.1", Some("orders.shop")));
    let unknown = client.whole(Request::get("http://nobody.shop/").body(full("")).unwrap()).await;
    assert_eq!((unknown.status(), unknown.field("x-selvedge-reason")), (404, "no_route"));
}
