//! Answers and timeouts that are worth another try, if the route says so.

use std::{
    io::{BufReader, Read, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Response;
use http_body_util::BodyExt;
use selvedge_common::model::{
    Backend, BackendProtocol, FailingStatuses, Health, PathMatch, RetryAllowance, Route,
};
use selvedge_tests::{
    client::Client,
    http2::{Http2Client, Http2Origin, full, get},
    origin::{After, Origin, read_head},
    proxy::Proxy,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BUSY: &[u8] = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nx-from: origin\r\n\r\nbusy";

/// An origin that is always busy.
fn busy() -> Origin {
    Origin::scripted(|_, stream| {
        stream.write_all(BUSY).unwrap();
        After::KeepOpen
    })
}

/// A proxy whose only route asks again after 503.
fn retrying(endpoints: &[SocketAddr], change: impl FnOnce(&mut Route)) -> Proxy {
    let mut proxy = Proxy::to(endpoints);
    proxy.edit_host("*", |host| {
        host.routes[0].retry.on.statuses = vec![503];
        change(&mut host.routes[0]);
    });
    proxy.apply(&[]);
    proxy
}

fn request(method: &str, body: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn an_answer_with_a_listed_status_makes_another_endpoint_be_asked() {
    let (bad, good) = (busy(), Origin::named("ok"));
    let proxy = retrying(&[bad.address, good.address], |_| {});
    let mut client = Client::connect(proxy.http());
    for _ in 0..4 {
        client.send(request("PUT", "hello"));
        assert_eq!(client.answer().text(), "ok");
    }
    assert!(!bad.seen().is_empty());
    assert!(good.seen().iter().chain(&bad.seen()).all(|seen| seen.body == b"hello"));
    let retries = format!(r#"selvedge_upstream_retries_total{{reason="status"}} {}"#, bad.seen().len());
    assert!(proxy.engine.metrics().encode().contains(&retries), "{retries}");
}

#[test]
fn the_answer_of_the_last_try_reaches_the_client_as_it_is() {
    let bad = busy();
    let proxy = retrying(&[bad.address], |route| route.retry.attempts = 2);
    let answer = Client::connect(proxy.http()).get("a", "/");
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.field("x-from")),
        (503, "busy", Some("origin"))
    );
    assert_eq!(answer.field("x-selvedge-reason"), None);
    assert_eq!(
        (bad.seen().len(), bad.connections()),
        (3, 1),
        "what was dropped leaves the connection usable"
    );
}

#[test]
fn other_answers_pass_at_once() {
    let bad = busy();
    let proxy = retrying(&[bad.address], |route| route.retry.on.statuses = vec![500, 502]);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 503);
    assert_eq!(bad.seen().len(), 1);
}

#[test]
fn a_request_with_effects_is_sent_again_only_if_the_route_insists() {
    for (non_idempotent, times) in [(false, 1), (true, 2)] {
        let bad = busy();
        let proxy = retrying(&[bad.address], |route| route.retry.non_idempotent = non_idempotent);
        let mut client = Client::connect(proxy.http());
        client.send(request("POST", "hello"));
        assert_eq!(client.answer().text(), "busy");
        let bodies: Vec<_> = bad.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies, vec![b"hello".to_vec(); times]);
    }
}

#[test]
fn what_cannot_be_sent_again_or_is_not_allowed_passes_the_first_answer_on() {
    let bad = busy();
    let proxy = retrying(&[bad.address], |route| route.retry.body_bytes = 4);
    let mut client = Client::connect(proxy.http());
    for request in [
        request("PUT", "hello"),
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
    ] {
        client.send(request);
        assert_eq!(client.answer().text(), "busy");
    }
    assert_eq!(bad.seen().len(), 2);
    let mut proxy = retrying(&[bad.address], |_| {});
    let none = RetryAllowance { percent: 0, per_second: 0 };
    proxy.backend("test/origin:80", Backend { retry_allowance: none, ..Backend::default() });
    proxy.apply(&[]);
    let before = bad.seen().len();
    // What the backend was allowed before is used up first.
    let mut client = Client::connect(proxy.http());
    (0..200).for_each(|_| assert_eq!(client.get("a", "/").text(), "busy"));
    let before_last = bad.seen().len();
    assert_eq!(client.get("a", "/").text(), "busy");
    assert_eq!(bad.seen().len() - before_last, 1, "after {before_last} of {before}");
}

#[test]
fn an_answer_that_comes_before_the_body_was_sent_is_dropped_too() {
    let (answered, is_answered) = std::sync::mpsc::channel();
    let origin = Origin::raw(move |connection, mut stream| {
        let mut reader = BufReader::with_capacity(1, stream.try_clone().unwrap());
        read_head(&mut reader).unwrap();
        if connection == 0 {
            reader.read_exact(&mut [0; 5]).unwrap();
            stream.write_all(BUSY).unwrap();
            answered.send(()).unwrap();
            // Until the proxy has closed it.
            let _ = reader.read(&mut [0]);
            return;
        }
        let mut body = [0; 10];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"helloworld");
        stream.write_all(OK).unwrap();
    });
    let proxy = retrying(&[origin.address], |_| {});
    let mut client = Client::connect(proxy.http());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    is_answered.recv().unwrap();
    client.send("world");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_pause_before_another_try_changes_nothing_else() {
    let bad = busy();
    let proxy = retrying(&[bad.address], |route| {
        (route.retry.attempts, route.retry.backoff) = (3, Duration::from_millis(2));
    });
    assert_eq!(Client::connect(proxy.http()).get("a", "/").text(), "busy");
    assert_eq!(bad.seen().len(), 4);
}

/// An origin that reads requests and never answers.
fn silent() -> Origin {
    Origin::after_head(|_, stream| {
        let _ = stream.read(&mut [0]);
        After::Close
    })
}

#[test]
fn an_endpoint_that_does_not_answer_in_time_is_passed_over_if_the_route_says_so() {
    for (timeout, method, tried_again) in [(true, "GET", true), (false, "GET", false), (true, "POST", false)]
    {
        let (silent, good) = (silent(), Origin::named("ok"));
        let proxy = retrying(&[silent.address, good.address], |route| {
            route.timeouts.backend = Some(Duration::from_millis(50));
            route.retry.on.timeout = timeout;
        });
        let mut client = Client::connect(proxy.http());
        let answers = [(); 2].map(|()| {
            client.send(request(method, ""));
            let answer = client.answer();
            (answer.status, answer.field("x-selvedge-reason").map(str::to_owned))
        });
        let late = answers.iter().filter(|answer| **answer == (504, Some("timeout".to_owned()))).count();
        assert_eq!(late, usize::from(!tried_again), "{method} {timeout} {answers:?}");
    }
}

/// An origin over HTTP/2 that answers so, and how often it was asked.
fn http2_origin(
    answer: impl Fn(usize) -> Response<selvedge_tests::http2::Body> + Send + Sync + 'static,
) -> (Http2Origin, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (asked.clone(), Arc::new(answer));
    let origin = Http2Origin::start(100, move |request| {
        let (number, answer) = (count.fetch_add(1, SeqCst), answer.clone());
        async move {
            let _ = request.into_body().collect().await;
            answer(number)
        }
    });
    (origin, asked)
}

fn http2_retrying(endpoints: &[SocketAddr], change: impl FnOnce(&mut Route)) -> Proxy {
    let mut proxy = Proxy::start(Default::default());
    proxy.backend("test/origin:80", Backend { protocol: BackendProtocol::Http2, ..Backend::default() });
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.edit_host("*", |host| change(&mut host.routes[0]));
    proxy.apply(&[("test/origin:80", endpoints)]);
    proxy
}

#[tokio::test]
async fn over_http2_a_dropped_answer_costs_a_stream_and_no_connection() {
    let (origin, asked) = http2_origin(|number| {
        let status = if number < 2 { 503 } else { 200 };
        Response::builder().status(status).body(full(format!("answer {number}"))).unwrap()
    });
    let proxy = http2_retrying(&[origin.address], |route| {
        (route.retry.attempts, route.retry.on.statuses) = (2, vec![503]);
    });
    let answer = Http2Client::connect(proxy.http()).await.whole(get("http://a/")).await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"answer 2"[..]));
    assert_eq!((asked.load(SeqCst), origin.connections()), (3, 1));
}

#[tokio::test]
async fn an_answer_of_grpc_that_is_nothing_but_a_listed_status_is_dropped() {
    let codes = Arc::new(Mutex::new(Vec::new()));
    let seen = codes.clone();
    let (origin, asked) = http2_origin(move |number| {
        let code = if number == 0 { "14" } else { "5" };
        seen.lock().unwrap().push(code);
        let builder = Response::builder().header("content-type", "application/grpc");
        builder.header("grpc-status", code).body(full("")).unwrap()
    });
    let proxy = http2_retrying(&[origin.address], |route| {
        (route.retry.on.grpc, route.retry.non_idempotent) = (vec![14], true);
        route.retry.attempts = 3;
    });
    let call = http::Request::post("http://a/p.S/M").header("content-type", "application/grpc");
    let answer = Http2Client::connect(proxy.http()).await.whole(call.body(full("xyz")).unwrap()).await;
    assert_eq!(answer.field("grpc-status"), "5");
    assert_eq!(asked.load(SeqCst), 2, "{codes:?}");
}

#[test]
fn an_endpoint_whose_answers_count_as_failures_is_ejected() {
    for (failing_statuses, ejected) in [(FailingStatuses::None, false), (FailingStatuses::Gateway, true)] {
        let (bad, good) = (busy(), Origin::named("ok"));
        let mut proxy = Proxy::start(Default::default());
        let health = Health { failures: 3, failing_statuses, ..Health::default() };
        proxy.backend("test/origin:80", Backend { health, ..Backend::default() });
        proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
        proxy.apply(&[("test/origin:80", &[bad.address, good.address])]);
        let mut client = Client::connect(proxy.http());
        (0..20).for_each(|_| drop(client.get("a", "/")));
        let wanted = if ejected { 3 } else { 10 };
        assert_eq!(bad.seen().len(), wanted, "{failing_statuses:?}");
    }
}
