//! Tests of the admin address over real sockets.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
};

use super::*;

#[derive(Default)]
struct State {
    ready: AtomicBool,
}

impl AdminState for State {
    fn ready(&self) -> Result<(), String> {
        self.ready.load(Ordering::Relaxed).then_some(()).ok_or_else(|| "waiting for Services".into())
    }

    fn metrics(&self) -> String {
        "selvedge_panics_total 0\n# EOF\n".into()
    }

    fn snapshot(&self) -> serde_json::Value {
        serde_json::json!({"listeners": {}})
    }
}

/// Runs a server beside the client's part of a test.
async fn with_server<F: Future<Output = ()>>(
    client: impl FnOnce(SocketAddr, Arc<State>, oneshot::Sender<()>) -> F,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(State::default());
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { drop(stopped.await) };
    tokio::join!(serve(listener, state.clone(), shutdown), client(address, state, stop));
}

async fn send(stream: &mut TcpStream, line: &str, fields: &str) {
    stream
        .write_all(format!("{line} HTTP/1.1\r\nHost: evil.example\r\n{fields}\r\n").as_bytes())
        .await
        .unwrap();
}

/// One request on a connection of its own, and all that comes back.
async fn ask(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, line, "Connection: close\r\n").await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// One request to `/healthz` on a connection that stays.
async fn ask_health(stream: &mut TcpStream) {
    send(stream, "GET /healthz", "").await;
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\nok\n") {
        assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0, "closed after {text:?}");
    }
}

#[tokio::test]
async fn each_page_answers_with_its_type_and_text() {
    with_server(async |address, state, stop| {
        state.ready.store(true, Ordering::Relaxed);
        let cases = [
            (
                "GET /",
                "200 OK",
                "text/plain",
                "/graph     who calls whom, as JSON, where callers are told apart\n",
            ),
            ("GET /healthz", "200 OK", "text/plain", "\r\n\r\nok\n"),
            ("GET /readyz?verbose", "200 OK", "text/plain", "\r\n\r\nready\n"),
            ("GET /metrics", "200 OK", "application/openmetrics-text", "selvedge_panics_total 0\n# EOF\n"),
            ("GET /snapshot", "200 OK", "application/json", "{\"listeners\":{}}"),
            ("GET /graph", "404 Not Found", "text/plain", "callers are not told apart here\n"),
            ("GET /nowhere", "404 Not Found", "text/plain", "not found; / lists what there is\n"),
            ("POST /nowhere", "404 Not Found", "text/plain", "not found; / lists what there is\n"),
            ("POST /metrics", "405 Method Not Allowed", "text/plain", "only GET and HEAD\n"),
        ];
        for (line, status, media_type, end) in cases {
            let answer = ask(address, line).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {answer}");
            assert!(answer.contains(&format!("\r\ncontent-type: {media_type}")), "{line}: {answer}");
            assert!(answer.ends_with(end), "{line}: {answer}");
        }
        stop.send(()).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_head_request_has_the_fields_and_no_body() {
    with_server(async |address, _, stop| {
        let answer = ask(address, "HEAD /healthz").await;
        assert!(answer.contains("\r\ncontent-length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        stop.send(()).unwrap();
    })
    .await;
}

#[tokio::test]
async fn readiness_says_why_not() {
    with_server(async |address, state, stop| {
        let answer = ask(address, "GET /readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("waiting for Services\n"),
            "{answer}"
        );
        state.ready.store(true, Ordering::Relaxed);
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
        stop.send(()).unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_whole_head_is_cut_off() {
    with_server(async |address, _, stop| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(!text.starts_with("HTTP/1.1 200"), "{text}");
        stop.send(()).unwrap();
    })
    .await;
}

#[tokio::test]
async fn whoever_holds_all_connections_does_not_keep_others_out() {
    with_server(async |address, _, stop| {
        let mut held = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            ask_health(&mut stream).await;
            held.push(stream);
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        send(&mut late, "GET /healthz", "Connection: close\r\n").await;
        let mut text = String::new();
        late.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("ok\n"), "{text}");
        assert_eq!(held[0].read(&mut [0; 1]).await.unwrap(), 0, "they make room");
        stop.send(()).unwrap();
    })
    .await;
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_the_listener() {
    with_server(async |address, _, stop| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask_health(&mut stream).await;
        stop.send(()).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    })
    .await;
}
