//! Health checks: endpoints are asked whether they are well, and what they say decides who gets requests.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use selvedge_common::model::{Backend, BackendProtocol, BackendTls, HealthCheck, HealthCheckKind, PathMatch};
use selvedge_tests::{
    client::Client,
    http2::{Body, Http2Origin, full, grpc_trailers, pieces},
    origin::{After, Origin},
    proxy::{Proxy, Setup, nowhere, vacate},
    tls::{Shaken, TlsOrigin},
    waiting::until,
};

const ID: &str = "test/origin:80";

/// An origin that answers questions for `/healthz` with a status that the test sets, and everything else with 200.
struct Patient {
    origin: Origin,
    status: Arc<AtomicU16>,
}

impl Patient {
    fn new(status: u16) -> Self {
        let status = Arc::new(AtomicU16::new(status));
        let says = status.clone();
        let origin = Origin::scripted(move |seen, stream| {
            let is_question = seen.line.starts_with("GET /healthz");
            let status = if is_question { says.load(Ordering::SeqCst) } else { 200 };
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
            if stream.write_all(answer.as_bytes()).is_ok() { After::KeepOpen } else { After::Close }
        });
        Self { origin, status }
    }

    fn says(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// How many questions and how many requests it has seen.
    fn seen(&self) -> (usize, usize) {
        let seen = self.origin.seen();
        let questions = seen.iter().filter(|seen| seen.line.starts_with("GET /healthz")).count();
        (questions, seen.len() - questions)
    }
}

fn http(host: Option<&str>) -> HealthCheckKind {
    let statuses = [].into();
    HealthCheckKind::Http { path: "/healthz?deep=1".into(), host: host.map(Into::into), statuses }
}

fn check(kind: HealthCheckKind) -> HealthCheck {
    HealthCheck {
        kind,
        interval: Duration::from_millis(2),
        timeout: Duration::from_secs(30),
        healthy_after: 2,
        unhealthy_after: 3,
        port: None,
    }
}

fn asked(kind: HealthCheckKind) -> Backend {
    Backend { check: Some(check(kind)), ..Backend::default() }
}

fn proxy(backend: Backend, endpoints: &[SocketAddr]) -> Proxy {
    let mut proxy = Proxy::start(Setup::default());
    proxy.backend(ID, backend);
    proxy.route("*", PathMatch::Prefix("/".into()), ID);
    proxy.apply(&[(ID, endpoints)]);
    proxy.check_health();
    proxy
}

fn until_unhealthy(proxy: &Proxy, count: i64) {
    until(|| (proxy.engine.metrics().upstream.unhealthy_count() == count).then_some(()));
}

/// Waits until so many questions had this result.
fn until_result(proxy: &Proxy, result: &str, count: u64) {
    let counted = |name| proxy.engine.metrics().upstream.checks.counts().find(|(known, _)| *known == name);
    until(|| counted(result).filter(|(_, counted)| *counted >= count));
}

/// Sends requests, each on its own turn, all of which are answered.
fn send(proxy: &Proxy, count: usize) {
    let mut client = Client::connect(proxy.http());
    (0..count).for_each(|_| assert_eq!(client.get("a", "/").status, 200));
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_them() {
    let (ill, well) = (Patient::new(200), Patient::new(204));
    let proxy = proxy(asked(http(None)), &[ill.origin.address, well.origin.address]);
    until(|| (ill.seen().0 >= 2 && well.seen().0 >= 2).then_some(()));
    send(&proxy, 10);
    assert_eq!((ill.seen().1, well.seen().1), (5, 5));
    ill.says(503);
    until_unhealthy(&proxy, 1);
    until_result(&proxy, "status", 3);
    send(&proxy, 20);
    assert_eq!((ill.seen().1, well.seen().1), (5, 25));
    let metrics = proxy.engine.metrics().encode();
    for wanted in ["upstream_unhealthy_endpoints 1\n", "upstream_health_checks_total{result=\"passed\"} "] {
        assert!(metrics.contains(&format!("selvedge_{wanted}")), "{metrics}");
    }
    ill.says(200);
    until_unhealthy(&proxy, 0);
    send(&proxy, 10);
    assert_eq!((ill.seen().1, well.seen().1), (10, 30));
}

#[test]
fn questions_say_who_asks_and_for_which_host() {
    for host in [None, Some("shop.example")] {
        let patient = Patient::new(200);
        let address = patient.origin.address;
        let _proxy = proxy(asked(http(host)), &[address]);
        let seen = until(|| patient.origin.seen().into_iter().next());
        assert_eq!(seen.line, "GET /healthz?deep=1 HTTP/1.1");
        assert_eq!(seen.field("host"), Some(host.unwrap_or(&address.to_string())));
        assert_eq!(seen.field("user-agent"), Some("selvedge-health"));
        assert_eq!(seen.field("connection"), Some("close"));
    }
}

#[test]
fn only_listed_statuses_are_good_where_some_are_listed() {
    let patients = [200, 302, 418].map(Patient::new);
    let statuses = [300..=399, 418..=418].into();
    let kind = HealthCheckKind::Http { path: "/healthz".into(), host: None, statuses };
    let proxy = proxy(asked(kind), &[0, 1, 2].map(|index: usize| patients[index].origin.address));
    until_unhealthy(&proxy, 1);
    send(&proxy, 20);
    assert_eq!(patients.each_ref().map(|patient| patient.seen().1), [0, 10, 10]);
}

#[test]
fn all_endpoints_are_used_when_all_are_unhealthy() {
    let patients = [500, 503].map(Patient::new);
    let proxy = proxy(asked(http(None)), &[0, 1].map(|index: usize| patients[index].origin.address));
    until_unhealthy(&proxy, 2);
    send(&proxy, 20);
    assert_eq!(patients.each_ref().map(|patient| patient.seen().1), [10, 10]);
}

#[test]
fn an_endpoint_that_takes_no_connections_is_unhealthy_and_no_request_finds_out() {
    let (origin, dead) = (Origin::named("ok"), nowhere());
    let proxy = proxy(asked(HealthCheckKind::Tcp), &[origin.address, dead]);
    until_unhealthy(&proxy, 1);
    until_result(&proxy, "connect", 3);
    send(&proxy, 20);
    assert_eq!(proxy.engine.metrics().upstream.failed.total(), 0);
    vacate(dead);
    let risen = Origin::on(dead, true, |_, stream| {
        match stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") {
            Ok(()) => After::KeepOpen,
            Err(_) => After::Close,
        }
    });
    until_unhealthy(&proxy, 0);
    send(&proxy, 10);
    assert_eq!(risen.seen().len(), 5);
}

#[test]
fn another_port_can_answer_for_an_endpoint() {
    let (origin, sidecar) = (Origin::named("ok"), Patient::new(503));
    let mut backend = asked(http(None));
    backend.check.as_mut().unwrap().port = Some(sidecar.origin.address.port());
    let proxy = proxy(backend, &[origin.address]);
    until_unhealthy(&proxy, 1);
    assert_eq!((origin.connections(), sidecar.seen().1), (0, 0));
    sidecar.says(200);
    until_unhealthy(&proxy, 0);
}

#[test]
fn what_was_found_is_forgotten_with_the_check() {
    let (ill, well) = (Patient::new(503), Patient::new(200));
    let endpoints = [ill.origin.address, well.origin.address];
    let mut proxy = proxy(asked(http(None)), &endpoints);
    until_unhealthy(&proxy, 1);
    proxy.backend(ID, Backend::default());
    proxy.apply(&[(ID, &endpoints)]);
    send(&proxy, 20);
    assert_eq!((ill.seen().1, well.seen().1), (10, 10));
    until_unhealthy(&proxy, 0);
}

#[test]
fn an_endpoint_that_is_gone_is_asked_no_more() {
    let (ill, well) = (Patient::new(503), Patient::new(200));
    let proxy = proxy(asked(http(None)), &[ill.origin.address, well.origin.address]);
    until_unhealthy(&proxy, 1);
    proxy.endpoints(ID, &[well.origin.address]);
    until_unhealthy(&proxy, 0);
    let (asked, clock) = (ill.seen().0, well.seen().0);
    until(|| (well.seen().0 >= clock + 20).then_some(()));
    // One may have been on its way.
    assert!(ill.seen().0 <= asked + 1);
}

#[test]
fn endpoints_that_hang_are_unhealthy() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut backend = asked(http(None));
    backend.check.as_mut().unwrap().timeout = Duration::from_millis(5);
    let proxy = proxy(backend, &[silent.local_addr().unwrap()]);
    until_unhealthy(&proxy, 1);
    until_result(&proxy, "timeout", 3);
}

#[test]
fn a_backend_whose_endpoints_hang_keeps_no_other_waiting() {
    let silent: Vec<_> = (0..80).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    let silent: Vec<_> = silent.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let mut proxy = proxy(asked(http(None)), &silent);
    let well = Patient::new(200);
    proxy.backend("test/well:80", asked(http(None)));
    proxy.apply(&[("test/well:80", &[well.origin.address])]);
    until(|| (well.seen().0 >= 20).then_some(()));
}

#[test]
fn what_cannot_be_asked_says_nothing_of_an_endpoint() {
    let origin = Origin::named("ok");
    let kind = HealthCheckKind::Http { path: "no path".into(), host: None, statuses: [].into() };
    let proxy = proxy(asked(kind), &[origin.address]);
    until_result(&proxy, "unsendable", 10);
    assert_eq!(proxy.engine.metrics().upstream.unhealthy_count(), 0);
}

#[test]
fn an_answer_that_is_not_http_is_none() {
    let rows = [("SSH-2.0-x\r\n", "protocol"), ("", "closed"), ("HTTP/1.1 200 OK\r\n", "closed")];
    for (answer, result) in rows {
        let origin = Origin::scripted(move |_, stream| {
            let _ = stream.write_all(answer.as_bytes());
            After::Close
        });
        let proxy = proxy(asked(http(None)), &[origin.address]);
        until_result(&proxy, result, 3);
        until_unhealthy(&proxy, 1);
    }
}

fn secure(protocol: BackendProtocol, kind: HealthCheckKind) -> Backend {
    let tls = BackendTls { server_name: Some("inner.example".into()), ..BackendTls::default() };
    Backend { protocol, tls: Some(tls), ..asked(kind) }
}

#[test]
fn questions_go_through_the_tls_of_the_backend() {
    let http1 = TlsOrigin::answering(&["http/1.1"], "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let http2 = Http2Origin::secure(|request| async move {
        assert_eq!(request.uri().to_string(), "https://shop.example/healthz?deep=1");
        Response::new(full("ok"))
    });
    for kind in [HealthCheckKind::Tcp, http(Some("shop.example"))] {
        for (protocol, address) in
            [(BackendProtocol::Http1, http1.address), (BackendProtocol::Http2, http2.address)]
        {
            until_result(&proxy(secure(protocol, kind.clone()), &[address]), "passed", 3);
        }
        let plain = Origin::raw(|_, mut stream| drop(stream.write_all(b"not TLS")));
        let proxy = proxy(secure(BackendProtocol::Http1, kind), &[plain.address]);
        until_result(&proxy, "tls", 3);
        until_unhealthy(&proxy, 1);
    }
    let shaken = Shaken { name: Some("inner.example".into()), alpn: Some("http/1.1".into()) };
    assert_eq!(http1.seen(), [shaken].into());
}

#[test]
fn http_2_is_asked_by_prior_knowledge() {
    let status = Arc::new(AtomicU16::new(500));
    let says = status.clone();
    let origin = Http2Origin::start(100, move |request| {
        let status = says.load(Ordering::SeqCst);
        async move {
            assert_eq!(request.headers()["user-agent"], "selvedge-health");
            Response::builder().status(status).body(full("ok")).unwrap()
        }
    });
    let backend = Backend { protocol: BackendProtocol::Http2, ..asked(http(None)) };
    let proxy = proxy(backend, &[origin.address]);
    until_unhealthy(&proxy, 1);
    until_result(&proxy, "status", 3);
    status.store(200, Ordering::SeqCst);
    until_unhealthy(&proxy, 0);
    until(|| (origin.connections() > 5 && origin.open() <= 1).then_some(()));
}

/// What a service of gRPC answers when it is asked for this name.
async fn health(request: Request<Incoming>) -> Response<Body> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["te"], "trailers");
    let question = request.into_body().collect().await.unwrap().to_bytes();
    let answer = Response::builder().header("content-type", "application/grpc");
    let (message, status): (&'static [u8], _) = match &question[..] {
        b"\0\0\0\0\0" => (b"\0\0\0\0\x02\x08\x01", "0"),
        b"\0\0\0\0\x06\x0a\x04down" => (b"\0\0\0\0\x02\x08\x02", "0"),
        b"\0\0\0\0\x07\x0a\x05mute!" => (b"", "0"),
        b"\0\0\0\0\x05\x0a\x03bad" => (b"\0\0\0\0\x02\x0a\x01", "0"),
        b"\0\0\0\0\x06\x0a\x04cold" => (b"\0\0\0\0\x02\x08\x01", "14"),
        b"\0\0\0\0\x07\x0a\x05plain" => return Response::builder().status(404).body(full("")).unwrap(),
        _ => return answer.header("grpc-status", "12").body(full("")).unwrap(),
    };
    let (sender, body) = pieces();
    tokio::task::spawn_local(async move {
        if !message.is_empty() {
            sender.send(Ok(Frame::data(message.into()))).await.unwrap();
        }
        sender.send(Ok(grpc_trailers(status))).await.unwrap();
    });
    answer.body(body).unwrap()
}

#[test]
fn a_service_of_grpc_says_itself_whether_it_serves() {
    let origin = Http2Origin::start(100, health);
    let rows = [
        ("", "passed"),
        ("down", "not_serving"),
        ("mute!", "protocol"),
        ("bad", "protocol"),
        ("cold", "grpc_status"),
        ("plain", "status"),
        ("unknown", "grpc_status"),
    ];
    for (service, result) in rows {
        let kind = HealthCheckKind::Grpc { service: service.into() };
        let backend = Backend { protocol: BackendProtocol::Http2, ..asked(kind) };
        let proxy = proxy(backend, &[origin.address]);
        until_result(&proxy, result, 3);
        until_unhealthy(&proxy, i64::from(result != "passed"));
    }
}

#[test]
fn grpc_is_asked_over_http_2_whatever_requests_are_in() {
    let secure_origin = Http2Origin::secure(health);
    let origin = Http2Origin::start(100, health);
    let kind = HealthCheckKind::Grpc { service: "".into() };
    until_result(&proxy(asked(kind.clone()), &[origin.address]), "passed", 3);
    until_result(&proxy(secure(BackendProtocol::Http1, kind), &[secure_origin.address]), "passed", 3);
}

#[test]
fn a_refused_or_foreign_protocol_fails_and_ends_nothing_else() {
    let kind = HealthCheckKind::Grpc { service: "".into() };
    let foreign = Origin::raw(|_, mut stream| drop(stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n")));
    let good = Http2Origin::start(100, health);
    let backend = Backend { protocol: BackendProtocol::Http2, ..asked(kind) };
    let proxy = proxy(backend, &[foreign.address, good.address, nowhere()]);
    until_unhealthy(&proxy, 2);
    until_result(&proxy, "passed", 10);
}
