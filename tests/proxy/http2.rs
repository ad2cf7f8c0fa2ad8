//! HTTP/2 towards clients: requests, bodies, trailers, and what is refused.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Frame;
use rustls_pki_types::ServerName;
use selvedge_tests::{
    http2::{Body, Http2Client, full, get, pieces},
    origin::{After, Origin},
    proxy::Proxy,
    tls,
};

/// An origin that answers with the body that it got.
fn echo() -> Origin {
    Origin::scripted(|seen, stream| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", seen.body.len());
        let written = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&seen.body));
        if written.is_ok() { After::KeepOpen } else { After::Close }
    })
}

fn post(uri: &str, body: Body) -> Request<Body> {
    Request::post(uri).body(body).unwrap()
}

#[tokio::test]
async fn a_request_by_prior_knowledge_reaches_the_backend_as_http_1_1() {
    let origin = Origin::named("hello");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let request = Request::get("http://shop.example:8080/a/../%62?c=d")
        .header("x-kept", "1")
        .header("under_score", "1")
        .header("te", "trailers")
        .body(full(""))
        .unwrap();
    let answer = client.whole(request).await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"hello"[..]));
    assert_eq!((answer.field("server"), answer.field("content-length")), ("selvedge", "5"));
    assert!(!answer.field("date").is_empty());
    let seen = origin.only();
    assert_eq!(seen.line, "GET /b?c=d HTTP/1.1");
    assert_eq!(seen.field("host"), Some("shop.example:8080"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-kept"), Some("1"));
    assert_eq!(seen.field("te"), Some("trailers"));
    assert_eq!(seen.field("under_score"), None);
    assert_eq!((seen.field("content-length"), seen.field("transfer-encoding")), (None, None));
}

#[tokio::test]
async fn http_2_is_agreed_on_by_alpn() {
    let origin = Origin::named("hello");
    let proxy = Proxy::to(&[origin.address]);
    let connector = tokio_rustls::TlsConnector::from(tls::usual(&["h2", "http/1.1"]));
    let tcp = tokio::net::TcpStream::connect(proxy.https()).await.unwrap();
    let stream = connector.connect(ServerName::try_from("a.example").unwrap(), tcp).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = Http2Client::over(stream).await;
    assert_eq!(client.get("https://a.example/").await.status(), 200);
    let seen = origin.only();
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("x-forwarded-port"), Some("443"));
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways() {
    let origin = echo();
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    for size in [0, 1, 16_384, 65_536, 300_000, 3_000_000] {
        let body: Bytes = (0..size).map(|index| (index % 251) as u8).collect::<Vec<_>>().into();
        let answer = client.whole(post("http://a/", full(body.clone()))).await;
        assert!(answer.body == body, "{size} bytes");
    }
    let lengths: Vec<_> =
        origin.seen().iter().map(|seen| seen.field("content-length").map(str::to_owned)).collect();
    assert_eq!(lengths[4].as_deref(), Some("300000"));
}

#[tokio::test]
async fn a_body_without_a_length_goes_in_chunks_with_its_trailers() {
    let origin = echo();
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let (sender, body) = pieces();
    let sending = tokio::spawn(async move {
        for piece in ["one ", "two"] {
            sender.send(Ok(Frame::data(Bytes::from(piece)))).await.unwrap();
        }
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("7"));
        sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
    });
    assert_eq!(&client.whole(post("http://a/", body)).await.body[..], b"one two");
    sending.await.unwrap();
    let seen = origin.only();
    assert_eq!(seen.field("transfer-encoding"), Some("chunked"));
    assert_eq!(seen.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[tokio::test]
async fn trailers_of_the_backend_reach_the_client() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\nkeep-alive: 5\r\n\r\n",
    );
    let proxy = Proxy::to(&[origin.address]);
    let answer = Http2Client::connect(proxy.http()).await.get("http://a/").await;
    assert_eq!((&answer.body[..], &answer.trailers["x-sum"]), (&b"ok"[..], &"7".parse().unwrap()));
    assert_eq!(answer.trailers.len(), 1, "none that HTTP/2 forbids");
}

#[tokio::test]
async fn answers_without_body_end_with_their_head() {
    let rows = [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 200, "5"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, "5"),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, "0"),
    ];
    for (method, text, status, length) in rows {
        let origin = Origin::answering(text);
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Http2Client::connect(proxy.http()).await;
        let request = Request::builder().method(method).uri("http://a/").body(full("")).unwrap();
        let answer = client.whole(request).await;
        assert_eq!((answer.status(), answer.field("content-length"), answer.body.len()), (status, length, 0));
    }
}

#[tokio::test]
async fn crumbs_of_a_cookie_are_joined() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut request = get("http://a/");
    for crumb in ["a=1", "b=2; c=3", "d=4"] {
        request.headers_mut().append("cookie", crumb.parse().unwrap());
    }
    Http2Client::connect(proxy.http()).await.whole(request).await;
    let seen = origin.only();
    let cookies: Vec<_> = seen.fields.iter().filter(|(name, _)| name == "cookie").collect();
    assert_eq!(cookies, [&("cookie".to_owned(), "a=1; b=2; c=3; d=4".to_owned())]);
}

#[tokio::test]
async fn requests_that_contradict_themselves_are_refused() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let long = format!("http://a/{}", "a".repeat(9000));
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, &'a str);
    let rows: [Row<'_>; 7] = [
        ("GET", "http://a/", &[("host", "b")], 400, "host_disagrees"),
        ("GET", "http://a/", &[("host", "a"), ("host", "a")], 400, "several_hosts"),
        ("GET", "/", &[], 400, "no_host"),
        ("GET", "http://u@a/", &[], 400, "bad_host"),
        ("GET", "http://a/%00", &[], 400, "nul_in_path"),
        ("GET", &long, &[], 414, "target_too_long"),
        ("CONNECT", "a:443", &[], 405, "not_proxied"),
    ];
    for (method, uri, fields, status, reason) in rows {
        let mut request = Request::builder().method(method).uri(uri).body(full("")).unwrap();
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let answer = client.whole(request).await;
        assert_eq!(
            (answer.status(), answer.field("x-selvedge-reason")),
            (status, reason),
            "{uri} {fields:?}"
        );
    }
    assert_eq!(origin.seen().len(), 0);
    assert_eq!(client.get("http://a/").await.status(), 200, "the connection goes on");
}

#[tokio::test]
async fn the_number_of_fields_has_a_limit_of_its_own() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    for (fields, status) in [(129, 431), (128, 200)] {
        let mut request = get("http://a/");
        (0..fields).for_each(|index| {
            let name = http::HeaderName::try_from(format!("x-{index}")).unwrap();
            request.headers_mut().append(name, index.into());
        });
        assert_eq!(client.whole(request).await.status(), status, "{fields} fields");
    }
}

#[tokio::test]
async fn a_hundred_streams_are_served_at_once() {
    // No answer leaves before all requests have come.
    let barrier = Arc::new(std::sync::Barrier::new(100));
    let origin = Origin::scripted(move |_, stream| {
        barrier.wait();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        After::KeepOpen
    });
    let proxy = Proxy::to(&[origin.address]);
    let client = Http2Client::connect(proxy.http()).await;
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.get("http://a/").await.status() })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn an_early_answer_arrives_while_the_body_is_being_sent() {
    let origin = Origin::after_head(|_, stream| {
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").unwrap();
        After::Close
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Http2Client::connect(proxy.http()).await;
    let (sender, body) = pieces();
    sender.send(Ok(Frame::data(Bytes::from_static(b"begin")))).await.unwrap();
    let answer = client.whole(post("http://a/", body)).await;
    assert_eq!((answer.status(), &answer.body[..]), (413, &b"big"[..]));
    drop(sender);
    assert_eq!(client.whole(post("http://a/", full("x"))).await.status(), 413, "the connection goes on");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_reset_and_never_an_end() {
    let rows = [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    for text in rows {
        let origin = Origin::scripted(move |_, stream| {
            stream.write_all(text.as_bytes()).unwrap();
            After::Close
        });
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Http2Client::connect(proxy.http()).await;
        let error = client.try_whole(get("http://a/")).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().downcast_ref::<h2::Error>().unwrap();
        assert!(cause.is_reset() && cause.is_remote(), "{cause:?}");
        assert!(!client.is_closed());
    }
}

/// Tells when the connection on which a script runs has been closed by the proxy.
fn wait_for_close(stream: &mut TcpStream, closed: &mpsc::Sender<()>) -> After {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    if let Ok(0) = stream.read(&mut [0; 64]) {
        closed.send(()).unwrap();
    }
    After::Close
}

#[tokio::test]
async fn a_stream_that_the_client_resets_ends_the_request_to_the_backend() {
    for begun in [false, true] {
        let (closed, is_closed) = mpsc::channel();
        let origin = Origin::scripted(move |_, stream| {
            if begun {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
            }
            wait_for_close(stream, &closed)
        });
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Http2Client::connect(proxy.http()).await;
        if begun {
            let mut answer = client.send(get("http://a/")).await.unwrap();
            assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
            drop(answer);
        } else {
            let mut asking = client.clone();
            let asking = tokio::spawn(async move { asking.get("http://a/").await.status() });
            selvedge_tests::http2::eventually(|| origin.seen().len() == 1).await;
            asking.abort();
        }
        let waiting = tokio::task::spawn_blocking(move || is_closed.recv_timeout(Duration::from_secs(20)));
        assert!(waiting.await.unwrap().is_ok(), "answer begun: {begun}");
        assert!(!client.is_closed(), "the other streams live");
    }
}
