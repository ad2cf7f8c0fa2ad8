//! gRPC through the router: calls of every kind, deadlines, and what callers are told when there is no answer.

use std::{future::pending, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, request::Builder};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use selvedge_tests::{
    http2::{Body, Http2Client, Http2Origin, eventually, full, grpc_trailers, pieces},
    proxy::nowhere,
};

use crate::{Mesh, orders, policy, rule, speaking};

/// A server whose methods say by their names what they do.
fn server() -> Http2Origin {
    Http2Origin::start(100, |request| async move {
        match request.uri().path().rsplit('/').next().unwrap() {
            "Unary" => {
                let message = request.into_body().collect().await.unwrap().to_bytes();
                answering(vec![message])
            }
            "Server" => answering(["one", "two", "three"].map(Bytes::from).to_vec()),
            "Client" => {
                let mut count = 0;
                let mut messages = request.into_body();
                while messages.frame().await.is_some_and(|frame| frame.unwrap().is_data()) {
                    count += 1;
                }
                answering(vec![count.to_string().into()])
            }
            "Both" => echoing(request),
            _ => pending().await,
        }
    })
}

fn answer(body: Body) -> Response<Body> {
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// An answer of these messages, with its status in trailers.
fn answering(messages: Vec<Bytes>) -> Response<Body> {
    let (sender, body) = pieces();
    tokio::task::spawn_local(async move {
        for message in messages {
            sender.send(Ok(Frame::data(message))).await.unwrap();
        }
        sender.send(Ok(grpc_trailers("0"))).await.unwrap();
    });
    answer(body)
}

fn echoing(request: Request<Incoming>) -> Response<Body> {
    let (sender, body) = pieces();
    let mut messages = request.into_body();
    tokio::task::spawn_local(async move {
        while let Some(Ok(frame)) = messages.frame().await {
            if sender.send(Ok(frame)).await.is_err() {
                return;
            }
        }
        let _ = sender.send(Ok(grpc_trailers("0"))).await;
    });
    answer(body)
}

fn mesh(protocol: &str, endpoints: &[SocketAddr]) -> Mesh {
    Mesh::of(&[speaking(protocol, orders(endpoints))])
}

fn call(method: &str) -> Builder {
    Request::post(format!("http://orders.shop/package.Orders/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

#[tokio::test]
async fn a_unary_call_has_its_message_and_its_status_in_trailers() {
    for protocol in ["grpc", "kubernetes.io/h2c"] {
        let server = server();
        let mesh = mesh(protocol, &[server.address]);
        let mut client = Http2Client::connect(mesh.router.http).await;
        for _ in 0..3 {
            let answer = client.whole(call("Unary").body(full("\0\0\0\0\x02hi")).unwrap()).await;
            assert_eq!((answer.status(), &answer.body[..]), (200, &b"\0\0\0\0\x02hi"[..]));
            assert_eq!(answer.trailers["grpc-status"], "0");
        }
        assert_eq!(server.connections(), 1, "calls share a connection");
    }
}

#[tokio::test]
async fn messages_stream_from_the_server_from_the_client_and_both_ways() {
    let server = server();
    let mesh = mesh("grpc", &[server.address]);
    let mut client = Http2Client::connect(mesh.router.http).await;
    let answer = client.whole(call("Server").body(full("x")).unwrap()).await;
    assert_eq!(
        (&answer.body[..], &answer.trailers["grpc-status"]),
        (&b"onetwothree"[..], &"0".parse().unwrap())
    );

    let (sender, body) = pieces();
    let mut asking = client.clone();
    let counted = tokio::spawn(async move { asking.whole(call("Client").body(body).unwrap()).await });
    for _ in 0..4 {
        sender.send(Ok(Frame::data("message".into()))).await.unwrap();
    }
    drop(sender);
    let counted = counted.await.unwrap();
    assert!((1..=4).contains(&String::from_utf8_lossy(&counted.body).parse::<usize>().unwrap()));
    assert_eq!(counted.trailers["grpc-status"], "0");

    let (sender, body) = pieces();
    let mut echoes = client.send(call("Both").body(body).unwrap()).await.unwrap().into_body();
    for message in ["one", "two", "three"] {
        sender.send(Ok(Frame::data(message.into()))).await.unwrap();
        assert_eq!(echoes.frame().await.unwrap().unwrap().into_data().unwrap(), message);
    }
    drop(sender);
    assert_eq!(echoes.collect().await.unwrap().trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn a_call_whose_time_is_over_gets_deadline_exceeded() {
    let server = server();
    let mesh = mesh("grpc", &[server.address]);
    let mut client = Http2Client::connect(mesh.router.http).await;
    let answer = client.whole(call("Never").header("grpc-timeout", "50m").body(full("x")).unwrap()).await;
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, "4"));
    assert_eq!(answer.field("x-selvedge-reason"), "deadline");
    // A stream that has begun ends so, too.
    let (_sender, body) = pieces();
    let answer = client.send(call("Both").header("grpc-timeout", "200m").body(body).unwrap()).await;
    match answer {
        Ok(answer) => {
            let whole = selvedge_tests::http2::whole(answer).await.unwrap();
            let told = whole.trailers.get("grpc-status").or(whole.head.headers.get("grpc-status"));
            assert_eq!(told.unwrap(), "4");
        }
        Err(error) => panic!("{error}"),
    }
    let answer = client.whole(call("Unary").header("grpc-timeout", "1H").body(full("x")).unwrap()).await;
    assert_eq!(answer.trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_at_the_server() {
    let open = std::sync::Arc::new(());
    let held = open.clone();
    let server = Http2Origin::start(100, move |_| {
        let held = held.clone();
        async move {
            let (sender, body) = pieces();
            tokio::task::spawn_local(async move {
                sender.send(Ok(Frame::data("first".into()))).await.unwrap();
                sender.closed().await;
                drop(held);
            });
            answer(body)
        }
    });
    let mesh = mesh("grpc", &[server.address]);
    let mut client = Http2Client::connect(mesh.router.http).await;
    let mut body = client.send(call("Any").body(full("x")).unwrap()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    eventually(|| std::sync::Arc::strong_count(&open) == 2).await;
}

/// What a call gets that no server answers: its grpc-status and reason.
async fn refused(objects: &[Vec<serde_json::Value>], host: &str) -> (String, String) {
    let mesh = Mesh::of(objects);
    let mut client = Http2Client::connect(mesh.router.http).await;
    let request = Request::post(format!("http://{host}/a.B/C")).header("content-type", "application/grpc");
    let answer = client.whole(request.body(full("x")).unwrap()).await;
    assert_eq!((answer.status(), answer.field("content-type")), (200, "application/grpc"));
    assert!(!answer.field("grpc-message").is_empty() && answer.body.is_empty());
    (answer.field("grpc-status").to_owned(), answer.field("x-selvedge-reason").to_owned())
}

#[tokio::test]
async fn failures_of_the_router_have_a_grpc_status_and_the_reason() {
    let service = |endpoints: &[SocketAddr]| speaking("grpc", orders(endpoints));
    let told = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(refused(&[service(&[])], "orders.shop").await, told("14", "no_endpoint"));
    assert_eq!(refused(&[service(&[nowhere()])], "orders.shop").await, told("14", "connect"));
    assert_eq!(refused(&[service(&[])], "nobody.shop").await, told("12", "no_route"));
    let missing = rule("missing", "[{backends: [{service: nobody}]}]");
    assert_eq!(refused(&[service(&[]), missing], "orders.shop").await, told("14", "service_not_found"));
    let limit = policy("{rateLimit: {requests: 1, per: 1h, burst: 1}}");
    let fault = rule("fault", "[{fault: {abort: {grpcStatus: 10}}}]");
    assert_eq!(refused(&[service(&[]), limit, fault], "orders.shop").await, told("10", "fault_abort"));
}

#[tokio::test]
async fn calls_are_shared_out_among_servers_though_they_come_on_one_connection() {
    let servers = [server(), server()];
    let addresses = [servers[0].address, servers[1].address];
    let turn = policy("{balance: {algorithm: RoundRobin}}");
    let mesh = Mesh::of(&[speaking("grpc", orders(&addresses)), turn]);
    let mut client = Http2Client::connect(mesh.router.http).await;
    for _ in 0..6 {
        client.whole(call("Unary").body(full("x")).unwrap()).await;
    }
    assert_eq!(servers.each_ref().map(Http2Origin::connections), [1, 1]);
}
