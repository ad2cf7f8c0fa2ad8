//! One line in the access log and one count for each request, whichever way it ends.

use std::{
    io::{Read, Write},
    time::Duration,
};

use http::Response;
use hyper::body::Frame;
use selvedge_common::{
    filter::SubjectPattern,
    id::RouteId,
    model::{Backend, BackendProtocol},
};
use selvedge_tests::{
    client::Client,
    http2::{Http2Origin, pieces},
    log::{Lines, lines},
    origin::{After, Origin},
    proxy::{Proxy, nowhere},
    waiting::until,
};
use serde_json::{Value, json};

fn logged(change: impl FnOnce(&mut Proxy)) -> (Proxy, Lines) {
    let (access_log, lines) = lines();
    let mut proxy = crate::proxy_with(|setup| {
        setup.access_log = access_log;
        setup.limits.head_time = Duration::from_millis(200);
        setup.limits.body_idle = Duration::from_millis(200);
    });
    change(&mut proxy);
    (proxy, lines)
}

fn to(origin: &Origin) -> (Proxy, Lines) {
    logged(|proxy| {
        proxy.route_all(&[origin.address]);
        proxy.edit_host("*", |host| host.routes[0].timeouts.request = Duration::from_millis(200));
        proxy.apply(&[]);
    })
}

/// Sends this, reads what comes, ends the engine and gives the one line and the metrics.
fn only_line((proxy, lines): (Proxy, Lines), request: &str) -> (Value, String) {
    let mut client = Client::connect(proxy.http());
    client.send(request);
    // Some of them are answered, some broken off.
    let _ = client.try_answer();
    drop(client);
    let line = lines.next_line();
    let metrics = proxy.engine.metrics().encode();
    drop(proxy);
    assert_eq!(lines.rest(), Vec::<Value>::new(), "one line and no more: {line}");
    (line, metrics)
}

const GET: &str = "GET /p?q HTTP/1.1\r\nHost: a\r\n\r\n";

/// What a backend does with a request, what is sent, the status and the reason in the line.
type Row = (fn(&mut std::net::TcpStream) -> After, &'static str, u16, Option<&'static str>);

fn answers(stream: &mut std::net::TcpStream) -> After {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    After::KeepOpen
}

fn closes(_: &mut std::net::TcpStream) -> After {
    After::Close
}

fn waits(stream: &mut std::net::TcpStream) -> After {
    let _ = stream.read(&mut [0]);
    After::Close
}

fn breaks_off(stream: &mut std::net::TcpStream) -> After {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok").unwrap();
    After::Close
}

fn talks_nonsense(stream: &mut std::net::TcpStream) -> After {
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    After::Close
}

const ROWS: &[Row] = &[
    (answers, GET, 200, None),
    (closes, GET, 502, Some("upstream_closed")),
    (waits, GET, 504, Some("timeout")),
    (breaks_off, GET, 200, Some("upstream_broken")),
    (talks_nonsense, GET, 502, Some("upstream_protocol")),
    (
        answers,
        "POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx",
        408,
        Some("client_body_timeout"),
    ),
    (
        answers,
        "POST /p?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        400,
        Some("client_body"),
    ),
];

#[test]
fn each_end_of_a_routed_request_is_recorded_once() {
    for (script, request, status, reason) in ROWS {
        let script = *script;
        let origin = Origin::scripted(move |_, stream| script(stream));
        let (line, metrics) = only_line(to(&origin), request);
        assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(reason)), "{line}");
        assert_eq!(line["route"], json!(RouteId::new("test/route/0").as_str()), "{line}");
        assert_eq!(line["backend"], json!("test/origin:80"), "{line}");
        assert_eq!(line["endpoint"], json!(origin.address.to_string()), "{line}");
        assert_eq!(line["generation"], json!(3), "{line}");
        let class = format!("status=\"{}xx\"}} 1", status / 100);
        let ended: Vec<_> = metrics.lines().filter(|line| line.contains("status=\"")).collect();
        assert!(ended.len() == 1 && ended[0].ends_with(&class), "{status}: {ended:?}");
        if let Some(reason) = reason {
            assert!(metrics.contains(&format!("reason=\"{reason}\"}} 1")), "{metrics}");
        }
    }
}

#[test]
fn requests_without_a_route_or_backend_are_recorded_once() {
    let rows = [
        (GET, 404, "no_route"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "no_host"),
        ("nonsense /\r\n\r\n", 400, "bad_request_line"),
        ("GET / HT", 408, "head_timeout"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "not_proxied"),
    ];
    for (request, status, reason) in rows {
        let (line, metrics) = only_line(logged(|_| {}), request);
        assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(reason)), "{line}");
        assert!(metrics.contains(&format!("reason=\"{reason}\"}} 1")), "{metrics}");
        let words: Vec<_> = request.split_ascii_whitespace().take(2).collect();
        assert_eq!(
            [&line["method"], &line["target"]],
            [&json!(words[0]), &json!(words[1])],
            "what was refused"
        );
    }
    let (line, _) = only_line(logged(|proxy| proxy.route_all(&[])), GET);
    assert_eq!((&line["status"], &line["reason"]), (&json!(503), &json!("no_endpoint")));
    let (line, _) = only_line(logged(|proxy| proxy.route_all(&[nowhere()])), GET);
    assert_eq!(
        (&line["status"], &line["reason"], &line["tries"]),
        (&json!(502), &json!("connect"), &json!(2))
    );
}

#[test]
fn a_client_that_goes_away_while_the_backend_works_is_499_and_frees_the_backend() {
    for begun in [false, true] {
        let (sender, freed) = std::sync::mpsc::channel();
        let (begin, has_begun) = std::sync::mpsc::channel();
        let origin = Origin::after_head(move |_, stream| {
            if begun {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
                    .unwrap();
            }
            begin.send(()).unwrap();
            sender.send(stream.read(&mut [0]).unwrap_or(0)).unwrap();
            After::Close
        });
        let (proxy, lines) = logged(|proxy| proxy.route_all(&[origin.address]));
        let mut client = Client::connect(proxy.http());
        client.send(GET);
        has_begun.recv().unwrap();
        if begun {
            assert_eq!(client.head().unwrap().status, 200);
        }
        drop(client);
        assert_eq!(freed.recv_timeout(Duration::from_secs(60)), Ok(0), "the backend is let go");
        let line = lines.next_line();
        let status = if begun { 200 } else { 499 };
        assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!("client_closed")), "{line}");
    }
}

#[test]
fn a_client_that_goes_away_frees_a_backend_that_speaks_http_2() {
    for begun in [false, true] {
        let (sender, freed) = std::sync::mpsc::channel();
        let (begin, has_begun) = std::sync::mpsc::channel();
        let origin = Http2Origin::start(100, move |_| {
            let (sender, begin) = (sender.clone(), begin.clone());
            async move {
                let (writer, body) = pieces();
                begin.send(()).unwrap();
                // The body is dropped when the stream is reset, answered or not.
                tokio::task::spawn_local(async move {
                    let _ = writer.send(Ok(Frame::data("ok".into()))).await;
                    writer.closed().await;
                    sender.send(()).unwrap();
                });
                if !begun {
                    std::future::pending::<()>().await;
                }
                Response::new(body)
            }
        });
        let (proxy, lines) = logged(|proxy| {
            let backend = Backend { protocol: BackendProtocol::Http2, ..Backend::default() };
            proxy.route_all(&[origin.address]);
            proxy.backend("test/origin:80", backend);
            proxy.apply(&[("test/origin:80", &[origin.address])]);
        });
        let mut client = Client::connect(proxy.http());
        client.send(GET);
        has_begun.recv().unwrap();
        if begun {
            assert_eq!(client.head().unwrap().status, 200);
        }
        drop(client);
        assert_eq!(freed.recv_timeout(Duration::from_secs(60)), Ok(()), "the backend is let go");
        let line = lines.next_line();
        let status = if begun { 200 } else { 499 };
        assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!("client_closed")), "{line}");
    }
}

#[test]
fn a_client_that_goes_away_in_its_body_is_499() {
    let origin = Origin::named("never");
    let (proxy, lines) = logged(|proxy| proxy.route_all(&[origin.address]));
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    drop(client);
    let line = lines.next_line();
    assert_eq!((&line["status"], &line["reason"]), (&json!(499), &json!("client_closed")));
    assert_eq!(origin.seen(), []);
}

#[test]
fn a_line_counts_bytes_and_tries() {
    let origin = Origin::named("hello");
    let (proxy, lines) = logged(|proxy| proxy.route_all(&[origin.address]));
    let mut client = Client::connect(proxy.http());
    client.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nUser-Agent: me\r\n\r\nabc");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.get("a", "/y").status, 200);
    let (first, second) = (lines.next_line(), lines.next_line());
    assert_eq!((&first["method"], &first["tries"]), (&json!("PUT"), &json!(1)), "{first}");
    assert!(first.to_string().contains("\"me\"") && second.to_string().contains("/y"), "{first} {second}");
    let metrics = proxy.engine.metrics().encode();
    assert!(metrics.contains("status=\"2xx\"} 2"), "{metrics}");
}

#[test]
fn requests_cut_off_by_the_end_of_the_engine_are_recorded() {
    let (begin, has_begun) = std::sync::mpsc::channel();
    let origin = Origin::after_head(move |_, stream| {
        begin.send(()).unwrap();
        let _ = stream.read(&mut [0]);
        After::Close
    });
    let (proxy, lines) = logged(|proxy| proxy.route_all(&[origin.address]));
    let mut client = Client::connect(proxy.http());
    client.send(GET);
    has_begun.recv().unwrap();
    drop(proxy);
    assert_eq!(lines.rest().len(), 1);
}

/// Whether the metrics have all of these lines.
fn counted(proxy: &Proxy, lines: &[&str]) -> bool {
    let metrics = proxy.engine.metrics().encode();
    lines.iter().all(|wanted| metrics.lines().any(|line| line == *wanted))
}

#[test]
fn connections_to_endpoints_are_counted_as_open_until_they_close() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    assert_eq!(Client::connect(proxy.http()).get("a", "/").status, 200);
    let opened = "selvedge_upstream_connections_opened_total 1";
    assert!(counted(&proxy, &[opened, "selvedge_upstream_connections_closed_total 0"]));
    proxy.endpoints("test/origin:80", &[]);
    until(|| counted(&proxy, &[opened, "selvedge_upstream_connections_closed_total 1"]).then_some(()));
}

#[test]
fn each_failed_try_and_the_ejection_it_leads_to_are_counted() {
    let (bad, good) = (Origin::scripted(|_, stream| closes(stream)), Origin::named("ok"));
    let proxy = Proxy::to(&[bad.address, good.address]);
    let mut client = Client::connect(proxy.http());
    for _ in 0..20 {
        assert_eq!(client.get("a", "/").text(), "ok");
    }
    assert_eq!(bad.seen().len(), 5);
    let lines = [
        "selvedge_upstream_failures_total{reason=\"upstream_closed\"} 5",
        "selvedge_upstream_retries_total{reason=\"upstream_closed\"} 5",
        "selvedge_upstream_ejections_total 1",
    ];
    assert!(counted(&proxy, &lines), "{}", proxy.engine.metrics().encode());
}

#[test]
fn an_endpoint_is_not_charged_with_what_its_client_does_wrong() {
    let origin = Origin::scripted(|_, stream| waits(stream));
    let request = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";
    let (_, metrics) = only_line(to(&origin), request);
    assert!(!metrics.contains("selvedge_upstream_failures_total{"), "{metrics}");
}

#[test]
fn what_a_listener_leaves_out_has_no_line() {
    let origin = Origin::named("ok");
    let (access_log, lines) = lines();
    let mut proxy = crate::proxy_with(|setup| {
        setup.access_log = access_log;
        setup.listener =
            |listener| listener.unlogged_targets = vec![SubjectPattern::new("^(?i:/healthz)$").unwrap()];
    });
    proxy.route_all(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for path in ["/healthz", "/HealthZ", "/healthz?a", "/", "/healthz/a", "/healthz"] {
        assert_eq!(client.get("a", path).status, 200);
    }
    drop((client, proxy));
    let targets: Vec<_> = lines.rest().iter().map(|line| line["target"].clone()).collect();
    assert_eq!(targets, ["/healthz?a", "/", "/healthz/a"]);
}

#[test]
fn a_route_is_counted_from_its_first_request_on_and_goes_on_when_it_changes() {
    let origin = Origin::named("ok");
    let mut proxy = Proxy::to(&[origin.address]);
    let has = |proxy: &Proxy, line: &str| proxy.engine.metrics().encode().contains(line);
    assert!(has(&proxy, "selvedge_route_series 0\n"));
    let mut client = Client::connect(proxy.http());
    for count in 1..3 {
        assert_eq!(client.get("a", "/").status, 200);
        let ended = format!(
            "selvedge_requests_total{{namespace=\"test\",route=\"route\",service=\"origin\",status=\"2xx\"}} {count}\n"
        );
        until(|| has(&proxy, &ended).then_some(()));
        proxy.edit_host("*", |host| host.routes[0].timeouts.request += Duration::from_secs(1));
        proxy.apply(&[]);
        assert!(has(&proxy, &ended), "another table shows what the one before has counted");
    }
    assert!(has(&proxy, "selvedge_route_series 1\n"));
}
