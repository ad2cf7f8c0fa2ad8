//! Deadlines of gRPC clients.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;
use selvedge_tests::{
    http2::{Body, Http2Client, Http2Origin, eventually, full, pieces},
    proxy::Proxy,
};

fn call(timeout: &str, content_type: &str) -> Request<Body> {
    let builder = Request::post("http://a/p.S/M").header("content-type", content_type);
    builder.header("grpc-timeout", timeout).body(full("x")).unwrap()
}

/// An origin that answers `/p.S/M` never and all else at once, and the timeouts that it was told.
fn hanging() -> (Http2Origin, Arc<Mutex<Vec<String>>>) {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = told.clone();
    let origin = Http2Origin::start(100, move |request| {
        let tell = tell.clone();
        async move {
            let timeout =
                request.headers().get("grpc-timeout").map(|value| value.to_str().unwrap().to_owned());
            tell.lock().unwrap().extend(timeout);
            if request.headers()["content-type"] == "application/grpc" {
                std::future::pending::<()>().await;
            }
            Response::new(full("ok"))
        }
    });
    (origin, told)
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over_and_the_backend_knows_how_much_was_left() {
    let (origin, told) = hanging();
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    for _ in 0..2 {
        let answer = client.whole(call("99m", "application/grpc")).await;
        assert_eq!((answer.status(), answer.field("grpc-status")), (200, "4"));
        assert_eq!(answer.field("x-selvedge-reason"), "deadline");
    }
    let told = told.lock().unwrap().clone();
    for timeout in &told {
        let nanos: u64 = timeout.strip_suffix('n').unwrap().parse().unwrap();
        assert!(nanos > 0 && nanos < 99_000_000, "{timeout}");
    }
    assert_eq!((told.len(), origin.connections()), (2, 1), "the connection is not to blame");
}

#[tokio::test]
async fn a_call_whose_time_is_over_already_reaches_no_backend() {
    let (origin, told) = hanging();
    let proxy = Proxy::http2_to(&[origin.address]);
    let answer = Http2Client::connect(proxy.http()).await.whole(call("0n", "application/grpc")).await;
    assert_eq!(answer.field("grpc-status"), "4");
    assert!(told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn requests_that_are_not_of_grpc_have_no_deadline() {
    let (origin, told) = hanging();
    let proxy = Proxy::http2_to(&[origin.address]);
    let answer = Http2Client::connect(proxy.http()).await.whole(call("0n", "text/plain")).await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"ok"[..]));
    assert_eq!(*told.lock().unwrap(), ["0n"], "it passes as it is");
}

#[tokio::test]
async fn a_stream_whose_time_is_over_ends_with_that_status_on_both_sides() {
    let open = Arc::new(());
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
            Response::builder().header("content-type", "application/grpc").body(body).unwrap()
        }
    });
    let proxy = Proxy::http2_to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let answer = client.send(call("1S", "application/grpc")).await.unwrap();
    let collected = answer.into_body().collect().await.unwrap();
    let trailers = collected.trailers().unwrap().clone();
    assert_eq!((&trailers["grpc-status"], &collected.to_bytes()[..]), (&"4".parse().unwrap(), &b"first"[..]));
    eventually(|| Arc::strong_count(&open) == 2).await;
    assert_eq!(origin.open(), 1, "only the stream ends");
    eventually(|| {
        let metrics = proxy.engine.metrics().encode();
        metrics.contains(r#"selvedge_own_responses_total{reason="deadline"} 1"#)
    })
    .await;
}
