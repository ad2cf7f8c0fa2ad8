//! Backends that speak HTTP/2 or TLS: connections shared and replaced, and who may be asked again.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use selvedge_common::model::{Backend, BackendProtocol, BackendTls, Health, PathMatch};
use selvedge_tests::{
    client::Client,
    http2::{Body, Http2Client, Http2Origin, eventually, full, get, pieces},
    http2_frames::{Accepted, END_HEADERS, END_STREAM, FrameOrigin, encode, kind},
    proxy::{Proxy, Setup, nowhere},
    tls::{Shaken, TlsOrigin},
};

/// Sends everything to an endpoint that speaks this.
fn to(setup: Setup, backend: Backend, address: std::net::SocketAddr) -> Proxy {
    let mut proxy = Proxy::start(setup);
    proxy.backend("test/origin:80", backend);
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.apply(&[("test/origin:80", &[address])]);
    proxy
}

fn http2() -> Backend {
    Backend { protocol: BackendProtocol::Http2, ..Backend::default() }
}

fn secure(protocol: BackendProtocol, name: Option<&str>) -> Backend {
    let tls = BackendTls { server_name: name.map(Into::into), ..BackendTls::default() };
    Backend { protocol, tls: Some(tls), ..Backend::default() }
}

async fn echo(request: Request<hyper::body::Incoming>) -> Response<Body> {
    let head = format!(
        "{} {} {:?} {}",
        request.method(),
        request.uri(),
        request.version(),
        request.headers().get("x-forwarded-host").map_or("", |host| host.to_str().unwrap())
    );
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Response::builder().header("x-seen", head).body(full(body)).unwrap()
}

#[tokio::test]
async fn clients_of_both_versions_reach_a_backend_over_http_2() {
    let origin = Http2Origin::start(100, echo);
    let proxy = to(Setup::default(), http2(), origin.address);
    let mut client = Client::connect(proxy.http());
    client.send("POST /a?b=c HTTP/1.1\r\nHost: shop.example:81\r\nContent-Length: 5\r\n\r\nhello");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.field("x-seen"), Some("POST http://shop.example:81/a?b=c HTTP/2.0 shop.example:81"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(client.answer().text(), "hi");
    assert_eq!(client.get("a", "/").status, 200);
    let mut client = Http2Client::connect(proxy.http()).await;
    let body: Bytes = vec![7; 2_000_000].into();
    let answer = client.whole(Request::post("http://a/").body(full(body.clone())).unwrap()).await;
    assert!(answer.body == body);
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn requests_that_come_together_share_one_connection() {
    let origin = Http2Origin::start(100, echo);
    let proxy = to(Setup::default(), http2(), origin.address);
    let client = Http2Client::connect(proxy.http()).await;
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.get("http://a/").await.status() })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap(), 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn more_requests_than_a_backend_allows_on_a_connection_get_further_ones() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    let (opened, counted) = (gate.clone(), begun.clone());
    let origin = Http2Origin::start(4, move |request| {
        let (gate, begun) = (opened.clone(), counted.clone());
        async move {
            if request.uri().path() == "/wait" {
                begun.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
            }
            Response::new(full("ok"))
        }
    });
    let proxy = to(Setup::default(), http2(), origin.address);
    let mut client = Http2Client::connect(proxy.http()).await;
    // From here on the proxy knows how many streams the backend allows.
    assert_eq!(client.get("http://a/").await.status(), 200);
    let mut asking = Vec::new();
    for count in 1..=12 {
        let mut client = client.clone();
        asking.push(tokio::spawn(async move { client.get("http://a/wait").await.status() }));
        eventually(|| begun.load(Ordering::SeqCst) == count).await;
    }
    assert!(origin.connections() >= 3, "{}", origin.connections());
    gate.add_permits(12);
    for answer in asking {
        assert_eq!(answer.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn unused_connections_are_closed() {
    let origin = Http2Origin::start(100, echo);
    let setup = Setup { upstream_idle: Duration::from_millis(50), ..Setup::default() };
    let proxy = to(setup, http2(), origin.address);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200);
    eventually(|| origin.open() == 0).await;
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200);
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn connections_to_endpoints_that_are_gone_are_closed() {
    let origin = Http2Origin::start(100, echo);
    let proxy = to(Setup::default(), http2(), origin.address);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200);
    proxy.endpoints("test/origin:80", &[]);
    eventually(|| origin.open() == 0).await;
}

/// HEADERS with status 204 that end their stream.
fn no_content(stream: u32) -> Vec<u8> {
    encode(kind::HEADERS, END_STREAM | END_HEADERS, stream, &[0x89])
}

/// GOAWAY that names the last stream and an error.
fn goaway(last: u32, code: u32) -> Vec<u8> {
    encode(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

#[test]
fn a_refused_stream_is_tried_again_whatever_its_method() {
    let origin = FrameOrigin::start(|Accepted { connection: _, request, stream }| match request {
        0 => encode(kind::RST_STREAM, 0, stream, &7u32.to_be_bytes()),
        _ => no_content(stream),
    });
    let proxy = to(Setup::default(), http2(), origin.address);
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status, 204);
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_stream_that_a_backend_did_not_look_at_before_it_went_away_is_tried_again() {
    let origin = FrameOrigin::start(|Accepted { connection, request, stream }| match (connection, request) {
        (0, 0) => no_content(stream),
        (0, _) => goaway(stream - 2, 0),
        _ => no_content(stream),
    });
    let proxy = to(Setup::default(), http2(), origin.address);
    let mut client = Client::connect(proxy.http());
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.answer().status, 204);
    }
    assert_eq!((origin.connections(), origin.requests()), (2, 4));
}

#[test]
fn a_reset_that_says_nothing_is_not_tried_again_unless_that_is_harmless() {
    for (method, requests) in [("POST", 1), ("GET", 2)] {
        let origin = FrameOrigin::start(|Accepted { stream, .. }| {
            encode(kind::RST_STREAM, 0, stream, &2u32.to_be_bytes())
        });
        let proxy = to(Setup::default(), http2(), origin.address);
        let mut client = Client::connect(proxy.http());
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (502, Some("upstream_closed")));
        assert_eq!(origin.requests(), requests, "{method}");
    }
}

/// Codes of resets that say that nothing went wrong.
const HARMLESS_CODES: [u32; 2] = [0, 8];

#[test]
fn a_reset_that_looks_harmless_is_a_failure_of_the_endpoint_all_the_same() {
    for code in HARMLESS_CODES {
        let broken = FrameOrigin::start(move |Accepted { stream, .. }| {
            encode(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
        });
        let well = FrameOrigin::start(|Accepted { stream, .. }| no_content(stream));
        let mut proxy = Proxy::start(Setup::default());
        let health = Health { failures: 1, ..Health::default() };
        proxy.backend("test/origin:80", Backend { health, ..http2() });
        proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
        proxy.apply(&[("test/origin:80", &[broken.address, well.address])]);
        let mut client = Client::connect(proxy.http());
        let mut failed = 0;
        for _ in 0..10 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
            let answer = client.answer();
            if answer.status == 502 {
                assert_eq!(answer.field("x-selvedge-reason"), Some("upstream_closed"), "{code}");
                failed += 1;
            }
        }
        assert_eq!((failed, broken.requests()), (1, 1), "it is left out after the first failure: {code}");
    }
}

#[tokio::test]
async fn an_answer_that_is_reset_before_its_end_is_broken_off_whatever_the_reset_says() {
    for code in HARMLESS_CODES {
        let origin = FrameOrigin::start(move |Accepted { stream, .. }| {
            let ok = encode(kind::HEADERS, END_HEADERS, stream, &[0x88]);
            let half = encode(kind::DATA, 0, stream, b"half");
            [ok, half, encode(kind::RST_STREAM, 0, stream, &code.to_be_bytes())].concat()
        });
        let proxy = to(Setup::default(), http2(), origin.address);
        let mut client = Http2Client::connect(proxy.http()).await;
        assert!(client.try_whole(get("http://a/")).await.is_err(), "{code}");
        let address = proxy.http();
        let plain = move || {
            let mut plain = Client::connect(address);
            plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            plain.try_answer().is_err()
        };
        assert!(tokio::task::spawn_blocking(plain).await.unwrap(), "{code}");
    }
}

#[tokio::test]
async fn a_backend_that_breaks_off_breaks_the_answer_off() {
    let origin = Http2Origin::start(100, |_| async {
        let (sender, body) = pieces();
        tokio::task::spawn_local(async move {
            sender.send(Ok(hyper::body::Frame::data("half".into()))).await.unwrap();
            let _ = sender.send(Err(selvedge_tests::http2::Broken)).await;
        });
        Response::new(body)
    });
    let proxy = to(Setup::default(), http2(), origin.address);
    let mut client = Http2Client::connect(proxy.http()).await;
    assert!(client.try_whole(get("http://a/")).await.is_err());
    let mut plain = Client::connect(proxy.http());
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(plain.try_answer().is_err());
}

#[test]
fn backends_under_tls_get_the_name_they_are_to_have() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let origin = TlsOrigin::answering(&["h2", "http/1.1"], ANSWER);
    for name in [Some("inner.example"), None] {
        let proxy = to(Setup::default(), secure(BackendProtocol::Http1, name), origin.address);
        let mut client = Client::connect(proxy.http());
        for _ in 0..2 {
            assert_eq!(client.get("a", "/").text(), "ok");
        }
    }
    let shaken = |name: Option<&str>| Shaken { name: name.map(Into::into), alpn: Some("http/1.1".into()) };
    assert_eq!(origin.seen(), HashSet::from([shaken(Some("inner.example")), shaken(None)]));
}

#[test]
fn a_handshake_that_fails_is_answered_502() {
    let plain = selvedge_tests::origin::Origin::named("not TLS");
    let http1_only = TlsOrigin::answering(&["http/1.1"], "");
    let rows = [
        (secure(BackendProtocol::Http1, None), plain.address),
        (secure(BackendProtocol::Http2, None), plain.address),
        (secure(BackendProtocol::Http2, None), http1_only.address),
        (secure(BackendProtocol::Http1, None), nowhere()),
        (http2(), nowhere()),
    ];
    for (backend, address) in rows {
        let proxy = to(Setup::default(), backend, address);
        let answer = Client::connect(proxy.http()).get("a", "/");
        assert_eq!((answer.status, answer.field("x-selvedge-reason")), (502, Some("connect")));
    }
}

#[tokio::test]
async fn http_2_under_tls_is_agreed_on_by_alpn() {
    let origin = Http2Origin::secure(echo);
    let proxy = to(Setup::default(), secure(BackendProtocol::Http2, Some("inner.example")), origin.address);
    let answer = Http2Client::connect(proxy.http()).await.get("http://shop.example/a").await;
    assert_eq!(answer.field("x-seen"), "GET https://shop.example/a HTTP/2.0 shop.example");
}

#[tokio::test]
async fn http_2_connections_are_counted_as_open_until_they_close() {
    let origin = Http2Origin::start(100, echo);
    let proxy = to(Setup::default(), http2(), origin.address);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200);
    let closed = |count| {
        let metrics = proxy.engine.metrics().encode();
        metrics.contains(&format!("selvedge_upstream_connections_closed_total {count}\n"))
    };
    assert!(closed(0));
    proxy.endpoints("test/origin:80", &[]);
    eventually(|| closed(1)).await;
}
