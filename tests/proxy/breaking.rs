//! Limits of a backend: what is too much is refused at once, and who may wait is served.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use http::Response;
use selvedge_common::model::{Backend, BackendLimits, BackendProtocol};
use selvedge_tests::{
    client::{Answer, Client},
    http2::{Http2Client, Http2Origin, full},
    origin::{After, Origin},
    proxy::Proxy,
    waiting::eventually,
};

use crate::balance::proxy;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An origin that tells when a request has come, and answers one for each word that it gets.
pub(super) fn held() -> (Origin, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((come, came), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
    let gone = Mutex::new(gone);
    let origin = Origin::scripted(move |_, stream| {
        let _ = come.send(());
        // When the test has ended, everything may go.
        let _ = gone.lock().unwrap().recv();
        if stream.write_all(OK).is_ok() { After::KeepOpen } else { After::Close }
    });
    (origin, came, go)
}

fn limited(limits: BackendLimits) -> Backend {
    Backend { limits, ..Backend::default() }
}

pub(super) fn begin(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client
}

pub(super) fn assert_overload(answer: &Answer) {
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (503, Some("overload")));
}

#[test]
fn requests_beyond_the_limit_get_503_and_no_endpoint_is_blamed() {
    let (origin, came, go) = held();
    let backend = limited(BackendLimits { requests: Some(2), ..BackendLimits::default() });
    let proxy = proxy(2, backend, std::slice::from_ref(&origin));
    let mut two = [begin(&proxy), begin(&proxy)];
    (0..2).for_each(|_| came.recv().unwrap());
    (0..10).for_each(|_| assert_overload(&begin(&proxy).answer()));
    (0..2).for_each(|_| go.send(()).unwrap());
    assert_eq!(two.each_mut().map(|client| client.answer().status), [200, 200]);
    go.send(()).unwrap();
    assert_eq!(two[0].get("a", "/").status, 200, "there is room again");
    assert_eq!(proxy.engine.metrics().upstream.retries.total(), 0);
}

#[test]
fn a_request_without_a_free_connection_waits_and_more_of_them_get_503() {
    let (origin, came, go) = held();
    let limits = BackendLimits { connections: Some(1), pending: Some(1), requests: None };
    let proxy = proxy(1, limited(limits), std::slice::from_ref(&origin));
    let mut first = begin(&proxy);
    came.recv().unwrap();
    let (mut second, mut third) = (begin(&proxy), begin(&proxy));
    let refused = {
        // Either of them may have come first; the other one is refused.
        let (told, which) = mpsc::channel();
        thread::scope(|scope| {
            for (index, client) in [&mut second, &mut third].into_iter().enumerate() {
                let told = told.clone();
                scope.spawn(move || {
                    let answer = client.answer();
                    let _ = told.send((index, answer));
                });
            }
            let (refused, answer) = which.recv().unwrap();
            assert_overload(&answer);
            go.send(()).unwrap();
            assert_eq!(first.answer().status, 200);
            came.recv().unwrap();
            go.send(()).unwrap();
            assert_eq!(which.recv().unwrap().1.status, 200, "who waited is served");
            refused
        })
    };
    assert!(refused < 2);
}

#[test]
fn there_are_never_more_requests_on_their_way_than_connections_and_every_one_is_served() {
    let most = Arc::new(AtomicUsize::new(0));
    let (busy, most_busy) = (AtomicUsize::new(0), most.clone());
    let origin = Origin::scripted(move |_, stream| {
        most_busy.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Others get the time to come, if there are any.
        thread::yield_now();
        busy.fetch_sub(1, Ordering::SeqCst);
        if stream.write_all(OK).is_ok() { After::KeepOpen } else { After::Close }
    });
    let limits = BackendLimits { connections: Some(3), pending: Some(100), requests: None };
    // Workers take idle connections from one another.
    let proxy = proxy(4, limited(limits), std::slice::from_ref(&origin));
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let mut client = Client::connect(proxy.http());
                (0..20).for_each(|_| assert_eq!(client.get("a", "/").status, 200));
            });
        }
    });
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}

#[test]
fn an_idle_connection_to_one_endpoint_closes_for_another_endpoint() {
    let origins = ["1", "2"].map(Origin::named);
    // The connection may not have come back yet when its answer is there, so one has to be allowed to wait.
    let limits = BackendLimits { connections: Some(1), pending: Some(1), requests: None };
    for workers in [1, 3] {
        let proxy = proxy(workers, limited(limits.clone()), &origins);
        for _ in 0..6 {
            let mut client = Client::connect(proxy.http());
            let mut two = [client.get("a", "/").text(), client.get("a", "/").text()];
            two.sort();
            assert_eq!(two, ["1", "2"], "in turn");
        }
    }
}

#[tokio::test]
async fn requests_over_http_2_wait_for_a_stream_where_connections_are_limited() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (opened, begun) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = begun.clone();
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
    let limits = BackendLimits { connections: Some(1), pending: Some(8), requests: None };
    let backend = Backend { protocol: BackendProtocol::Http2, ..limited(limits) };
    let proxy = proxy(1, backend, &[]);
    proxy.endpoints("test/origin:80", &[origin.address]);
    let client = Http2Client::connect(proxy.http()).await;
    // From here on the proxy knows how many streams the backend allows.
    for _ in 0..2 {
        assert_eq!(client.clone().get("http://a/").await.status(), 200);
    }
    let asking: Vec<_> = (0..13)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.get("http://a/wait").await.status() })
        })
        .collect();
    // Four are on their way, eight wait, and one is too much.
    eventually(async || asking.iter().any(|one| one.is_finished()).then_some(())).await;
    assert!(begun.load(Ordering::SeqCst) <= 4);
    gate.add_permits(12);
    let mut statuses = Vec::new();
    for answer in asking {
        statuses.push(answer.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200].repeat(12), vec![503]].concat());
    assert_eq!(origin.connections(), 1);
}
