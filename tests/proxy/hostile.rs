//! What a hostile client or backend tries on the data path, and what must not come of it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use http::{Request, Response};
use rustls::{ServerConnection, StreamOwned};
use selvedge_common::model::{Backend, BackendProtocol, BackendTls, PathMatch};
use selvedge_tests::{
    client::Client,
    http2::{Http2Origin, full},
    http2_frames::{END_HEADERS, END_STREAM, Frames, kind, literal},
    log::lines,
    origin::{After, Origin},
    proxy::Proxy,
    tls,
    waiting::until,
};
use serde_json::json;

/// Sends everything to an endpoint of such a backend.
fn to(backend: Backend, address: SocketAddr) -> Proxy {
    let mut proxy = crate::proxy_with(|_| {});
    proxy.backend("test/origin:80", backend);
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.apply(&[("test/origin:80", &[address])]);
    proxy
}

#[test]
fn trailers_of_http_2_that_http_1_would_not_pass_do_not_reach_a_backend() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.post(1, &[("te", "trailers")]);
    frames.frame(kind::DATA, 0, 1, b"hello");
    let mut block = Vec::new();
    let long = "x-forwarded-and-forty-bytes-long-in-all-";
    assert_eq!(long.len(), 40);
    let smuggled = ["host", "authorization", "x-forwarded-for", "x_forwarded_for", "content-length", long];
    for name in smuggled {
        literal(&mut block, name, "5");
    }
    literal(&mut block, "x-sum", "7");
    frames.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block);
    assert_eq!(frames.until(kind::HEADERS, 1).unwrap().status(), Some(200));
    let seen = origin.only();
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

/// An HTTP/1.1 origin under TLS that answers the first request of a connection twice: in records of their own, but
/// in one flight.
fn answering_under_tls(answers: [Vec<u8>; 2]) -> SocketAddr {
    let settings = tls::server_settings(&["http/1.1"]);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let (settings, answers) = (settings.clone(), answers.clone());
            thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(settings).unwrap(), tcp);
                let mut text = Vec::new();
                while !text.ends_with(b"\r\n\r\n") {
                    let mut piece = [0; 4096];
                    let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
                    text.extend_from_slice(&piece[..count]);
                }
                stream.conn.set_buffer_limit(None);
                for answer in answers {
                    stream.conn.writer().write_all(&answer).ok()?;
                }
                stream.flush().ok()?;
                // Until the proxy closes the connection.
                let _ = stream.read(&mut [0; 4096]);
                Some(())
            });
        }
    });
    address
}

#[test]
fn an_answer_that_came_unasked_under_tls_reaches_nobody() {
    let tls = Some(BackendTls::default());
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length:06}\r\n\r\n");
    let answer = |length: usize, text: &str| [head(length), text.repeat(length / text.len())].concat();
    // So many bytes with the head fill the buffer of a reader just when the answer ends; what is unasked for stays
    // behind in TLS.
    let filling = (16 << 10) - head(0).len();
    for (length, stolen) in [(8, 8), (8, 20_000), (filling, 8), (filling, 20_000), (20_000, 8)] {
        let answers = [answer(length, "x"), answer(stolen, "stolen!!")];
        let address = answering_under_tls(answers.map(String::into_bytes));
        let proxy = to(Backend { tls: tls.clone(), ..Backend::default() }, address);
        for _ in 0..3 {
            let answer = Client::connect(proxy.http()).get("a", "/");
            assert_eq!((answer.status, answer.body.len()), (200, length));
            assert!(answer.body.iter().all(|byte| *byte == b'x'), "nobody asked for it: {length} {stolen}");
        }
    }
}

#[test]
fn quotes_and_angles_in_a_query_reach_an_http_2_backend_escaped() {
    let origin = Http2Origin::start(100, |request: Request<hyper::body::Incoming>| async move {
        Response::new(full(request.uri().to_string()))
    });
    let backend = Backend { protocol: BackendProtocol::Http2, ..Backend::default() };
    let proxy = to(backend, origin.address);
    let mut client = Client::connect(proxy.http());
    // So many failures in a row would eject the endpoint.
    for _ in 0..12 {
        let answer = client.get("a", "/p?q=\"<b>\"&c=%41");
        assert_eq!((answer.status, answer.text()), (200, "http://a/p?q=%22%3Cb%3E%22&c=%41".into()));
    }
    assert_eq!(client.get("a", "/good").text(), "http://a/good");
}

/// An origin that tells when a request to `/wait` has come and answers it when told.
fn waiting() -> (Origin, Receiver<()>, Sender<()>) {
    let (begun, begin) = channel();
    let (open, opened) = channel();
    let opened = Mutex::new(opened);
    let origin = Origin::scripted(move |seen, stream| {
        if seen.line.starts_with("POST ") {
            begun.send(()).unwrap();
            opened.lock().unwrap().recv().unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        After::KeepOpen
    });
    (origin, begin, open)
}

#[test]
fn a_full_listener_keeps_an_http_2_connection_with_a_stream_in_flight() {
    let (origin, begin, open) = waiting();
    let mut proxy = crate::proxy_with(|setup| setup.limits.connections = 1);
    proxy.route_all(&[origin.address]);
    let mut frames = Frames::connect(proxy.http(), &[]);
    // It has been idle already when the stream comes.
    frames.get(1);
    assert_eq!(frames.until(kind::HEADERS, 1).unwrap().status(), Some(200));
    frames.post(3, &[]);
    frames.frame(kind::DATA, END_STREAM, 3, b"x");
    begin.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(Client::connect(proxy.http()).is_closed(), "there is no room");
    open.send(()).unwrap();
    assert_eq!(frames.until(kind::HEADERS, 3).unwrap().status(), Some(200));
}

#[test]
fn a_full_listener_closes_an_http_2_connection_without_streams() {
    let origin = Origin::named("ok");
    let mut proxy = crate::proxy_with(|setup| setup.limits.connections = 1);
    proxy.route_all(&[origin.address]);
    let mut frames = Frames::connect(proxy.http(), &[]);
    frames.get(1);
    assert_eq!(frames.until(kind::HEADERS, 1).unwrap().status(), Some(200));
    // A client that reads on, and so takes part in the end.
    let leaving = thread::spawn(move || {
        frames.until(kind::GOAWAY, 0).unwrap();
        frames.until(kind::DATA, 1).unwrap_err()
    });
    // The proxy may notice the end of the stream after its client does.
    until(|| {
        let mut client = Client::connect(proxy.http());
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
        client.try_answer().ok().filter(|answer| answer.status == 200)
    });
    assert_eq!(leaving.join().unwrap().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_tls_client_that_leaves_while_the_backend_works_is_499_and_frees_the_backend() {
    let (begun, begin) = channel();
    let (freed, free) = channel();
    let origin = Origin::scripted(move |_, stream| {
        begun.send(()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        freed.send(matches!(stream.read(&mut [0]), Ok(0))).unwrap();
        After::Close
    });
    let (access_log, lines) = lines();
    let mut proxy = crate::proxy_with(|setup| setup.access_log = access_log);
    proxy.route_all(&[origin.address]);
    let mut client = tls::connect(proxy.https(), tls::usual(&["http/1.1"]), "a.example").unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    begin.recv_timeout(Duration::from_secs(20)).unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    // The end of TLS waits before the end of TCP; a reset would be noticed anyway.
    client.sock.shutdown(Shutdown::Write).unwrap();
    assert!(free.recv_timeout(Duration::from_secs(30)).unwrap(), "the proxy closes its connection");
    let line = lines.next_line();
    assert_eq!((&line["status"], &line["reason"]), (&json!(499), &json!("client_closed")), "{line}");
}
