//! gRPC from end to end, and how the proxy's own failures are told to its clients.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;
use selvedge_tests::{
    client::Client,
    http2::{Body, Http2Client, Http2Origin, eventually, full, grpc_trailers, pieces},
    proxy::{Proxy, nowhere},
};

fn call(body: Body) -> Request<Body> {
    Request::post("http://a/package.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_unary_call_comes_back_with_its_status_in_trailers() {
    let origin = Http2Origin::start(100, |request| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let message = request.into_body().collect().await.unwrap().to_bytes();
        let (sender, body) = pieces();
        tokio::task::spawn_local(async move {
            sender.send(Ok(Frame::data(message))).await.unwrap();
            sender.send(Ok(grpc_trailers("0"))).await.unwrap();
        });
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    });
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    for _ in 0..3 {
        let answer = client.whole(call(full(&b"\0\0\0\0\x02hi"[..]))).await;
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"\0\0\0\0\x02hi"[..]));
        assert_eq!(answer.trailers["grpc-status"], "0");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn an_answer_of_trailers_alone_stays_one() {
    let origin = Http2Origin::start(100, |_| async {
        let builder = Response::builder().header("content-type", "application/grpc");
        builder.header("grpc-status", "5").body(full("")).unwrap()
    });
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let answer = client.send(call(full("x"))).await.unwrap();
    assert!(hyper::body::Body::is_end_stream(answer.body()), "the head ends the stream");
    assert_eq!(
        (&answer.headers()["grpc-status"], answer.headers().get("content-length")),
        (&"5".parse().unwrap(), None)
    );
}

#[tokio::test]
async fn messages_pass_both_ways_while_both_sides_are_open() {
    let origin = Http2Origin::start(100, |request| async {
        let (sender, body) = pieces();
        let mut messages = request.into_body();
        tokio::task::spawn_local(async move {
            while let Some(frame) = messages.frame().await {
                sender.send(Ok(frame.unwrap())).await.unwrap();
            }
            sender.send(Ok(grpc_trailers("0"))).await.unwrap();
        });
        Response::new(body)
    });
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let (sender, body) = pieces();
    let mut answer = client.send(call(body)).await.unwrap().into_body();
    for message in ["one", "two", "three"] {
        sender.send(Ok(Frame::data(Bytes::from(message)))).await.unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    drop(sender);
    assert_eq!(answer.collect().await.unwrap().trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn a_call_that_the_client_cancels_is_cancelled_at_the_backend() {
    let open = std::sync::Arc::new(());
    let held = open.clone();
    let origin = Http2Origin::start(100, move |_| {
        let held = held.clone();
        async move {
            let (sender, body) = pieces();
            tokio::task::spawn_local(async move {
                sender.send(Ok(Frame::data("first".into()))).await.unwrap();
                sender.closed().await;
                drop(held);
            });
            Response::new(body)
        }
    });
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let mut answer = client.send(call(full("x"))).await.unwrap().into_body();
    answer.frame().await.unwrap().unwrap();
    assert_eq!(std::sync::Arc::strong_count(&open), 3);
    drop(answer);
    eventually(|| std::sync::Arc::strong_count(&open) == 2).await;
    assert_eq!(origin.open(), 1, "only the stream ends");
}

#[tokio::test]
async fn failures_of_the_proxy_are_told_in_grpc_status() {
    for (endpoints, status, reason) in [(vec![], "14", "no_endpoint"), (vec![nowhere()], "14", "connect")] {
        let proxy = Proxy::http2_to(&endpoints);
        let mut client = Http2Client::connect(proxy.http()).await;
        let answer = client.send(call(full("x"))).await.unwrap();
        assert!(hyper::body::Body::is_end_stream(answer.body()), "trailers alone");
        let field = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 200);
        assert_eq!((field("grpc-status"), field("x-selvedge-reason")), (status.into(), reason.into()));
        assert_eq!(field("content-type"), "application/grpc");
    }
    let mut proxy = Proxy::http2_to(&[]);
    proxy.edit_host("*", |host| host.routes.clear());
    proxy.apply(&[]);
    let answer = Http2Client::connect(proxy.http()).await.whole(call(full("x"))).await;
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, "12"));
    // Over HTTP/1.1 it is told that nothing follows.
    let mut client = Client::connect(proxy.http());
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("12")));
    assert_eq!(client.get("a", "/").status, 404, "others are told as ever");
}
