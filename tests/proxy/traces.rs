//! Traces: the span of each request at a real collector, and the context that backends see.

use std::{io::Write, sync::Arc, thread::JoinHandle, time::Duration};

use http::Request;
use selvedge_common::model::{
    Backend, BackendProtocol, Collector as To, OtlpProtocol, PathMatch, RouteTracing, Sampler, Tracing,
};
use selvedge_tests::{
    client::Client,
    collector::{Collector, Span, Verdict},
    http2::{Http2Client, Http2Origin, full},
    origin::{After, Origin},
    proxy::{Proxy, nowhere},
    waiting::until,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Spans go there at once.
fn settings(to: std::net::SocketAddr) -> Tracing {
    let to = To::at(OtlpProtocol::Grpc, &to.ip().to_string(), to.port()).unwrap();
    Tracing { delay: Duration::from_millis(10), ..Tracing::new(to, "edge") }
}

/// A proxy whose requests are traced, and what sends its spans.
fn traced(origin: &Origin, tracing: Tracing) -> (Proxy, JoinHandle<()>) {
    let mut proxy = Proxy::to(&[origin.address]);
    trace(&mut proxy, tracing);
    let exporting = proxy.export_spans();
    (proxy, exporting)
}

fn trace(proxy: &mut Proxy, tracing: Tracing) {
    proxy.snapshot.tracing = Some(Arc::new(tracing));
    proxy.apply(&[]);
}

fn get(proxy: &Proxy, fields: &str) -> u16 {
    let mut client = Client::connect(proxy.http());
    client.send(format!("GET /shop/cart?token=hunter2 HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"));
    client.answer().status
}

/// `traceparent` as the only request had it, taken apart: trace, span, flags.
fn told(origin: &Origin) -> [String; 3] {
    let seen = origin.only();
    let count = seen.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("traceparent")).count();
    assert_eq!(count, 1, "{seen:?}");
    let parts: Vec<_> = seen.field("traceparent").unwrap().split('-').map(str::to_owned).collect();
    assert_eq!(parts[0], "00");
    [parts[1].clone(), parts[2].clone(), parts[3].clone()]
}

fn dropped(proxy: &Proxy) -> u64 {
    proxy.engine.metrics().spans_dropped.total()
}

fn exported(proxy: &Proxy) -> u64 {
    proxy.engine.metrics().spans_exported.get()
}

#[test]
fn a_request_is_a_span_in_the_trace_of_its_caller_and_its_backend_in_that_span() {
    let (origin, collector) = (Origin::named("ok"), Collector::start());
    let (proxy, _exporting) = traced(&origin, settings(collector.address));
    let fields = format!(
        "traceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: rojo=1\r\ntracestate: congo=2\r\n\
         Authorization: Bearer hunter2\r\nCookie: session=hunter2\r\nX-Key: hunter2\r\nUser-Agent: curl/8\r\n"
    );
    assert_eq!(get(&proxy, &fields), 200);
    let span = collector.only();
    let [trace, own, flags] = told(&origin);
    assert_eq!(
        (span.trace_id.as_str(), span.parent.as_str(), span.service.as_str()),
        (TRACE, CALLER, "edge")
    );
    assert_eq!((trace.as_str(), own.as_str(), flags.as_str()), (TRACE, span.span_id.as_str(), "01"));
    assert_ne!(own, CALLER);
    let states = origin.only().fields.into_iter().filter(|(name, _)| name == "tracestate");
    assert_eq!(states.map(|(_, value)| value).collect::<Vec<_>>(), ["rojo=1", "congo=2"]);
    assert_eq!((span.name.as_str(), span.kind, span.status.0), ("GET /", 2, 0));
    assert!(span.time.0 > 0 && span.time.0 <= span.time.1);
    let endpoint = origin.address.to_string();
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/shop/cart"),
        ("url.scheme", "http"),
        ("http.route", "/"),
        ("server.address", "a.example"),
        ("server.port", "80"),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "curl/8"),
        ("http.response.status_code", "200"),
        ("selvedge.route", "test/route/0"),
        ("selvedge.object", "Ingress test/route"),
        ("selvedge.backend", "test/origin:80"),
        ("selvedge.endpoint", &endpoint),
        ("selvedge.tries", "1"),
        ("error.type", ""),
    ] {
        assert_eq!(span.attribute(key), value, "{key}");
    }
    let request_id = origin.only().field("x-request-id").unwrap().to_owned();
    assert_eq!(span.attribute("selvedge.request_id"), request_id);
    let secret = b"hunter2";
    assert!(collector.messages().iter().all(|all| !all.windows(secret.len()).any(|text| text == secret)));
}

#[test]
fn a_new_trace_begins_where_there_is_none_or_none_is_believed() {
    let sound = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: rojo=1\r\n");
    let zeros = sound.replace(TRACE, &"0".repeat(32));
    let rows = [
        ("", true),
        (sound.as_str(), false),
        (&zeros, true),
        (&sound.replace(CALLER, &"0".repeat(16)), true),
        (&sound.to_uppercase(), true),
        (&sound.replace("00-", "ff-"), true),
        (&sound.replace("-01", "-01-x"), true),
        (&sound.replace("-01", ""), true),
        (&format!("{sound}{sound}"), true),
        ("traceparent:\r\ntracestate: rojo=1\r\n", true),
        ("tracestate: rojo=1\r\n", true),
        ("traceparent: \u{fc}\r\ntracestate: rojo=1\r\n", true),
    ];
    for (fields, continues) in rows {
        let (origin, collector) = (Origin::named("ok"), Collector::start());
        let requests = RouteTracing { continues, ..RouteTracing::default() };
        let (proxy, _exporting) = traced(&origin, Tracing { requests, ..settings(collector.address) });
        assert_eq!(get(&proxy, fields), 200, "{fields}");
        let span = collector.only();
        let [trace, own, flags] = told(&origin);
        assert_eq!((span.trace_id, span.span_id, span.parent.as_str()), (trace.clone(), own, ""), "{fields}");
        assert!(
            trace != TRACE && trace.bytes().any(|digit| digit != b'0') && flags == "01",
            "{trace} {fields}"
        );
        assert_eq!(origin.only().field("tracestate"), None, "{fields}");
    }
}

#[test]
fn a_malformed_state_is_left_out_and_its_trace_goes_on() {
    for state in ["rojo", "A=1", "a=1,=2", "a=1, b=\u{fc}", &format!("a={}", "x".repeat(300))] {
        let (origin, collector) = (Origin::named("ok"), Collector::start());
        let (proxy, _exporting) = traced(&origin, settings(collector.address));
        let fields = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: {state}\r\n");
        assert_eq!(get(&proxy, &fields), 200);
        assert_eq!(collector.only().trace_id, TRACE, "{state}");
        assert_eq!(origin.only().field("tracestate"), None, "{state}");
    }
}

#[test]
fn a_trace_that_is_not_recorded_goes_on_without_a_span() {
    let collector = Collector::start();
    let quiet = format!("traceparent: 00-{TRACE}-{CALLER}-00\r\n");
    let low = format!("traceparent: 00-{}{}-{CALLER}-01\r\n", &TRACE[..16], "0".repeat(15) + "1");
    let high = format!("traceparent: 00-{}{}-{CALLER}-00\r\n", &TRACE[..16], "f".repeat(16));
    let half = Sampler::ratio(0.5);
    for (sampler, parent_based, fields, recorded) in [
        (Sampler::AlwaysOn, true, quiet.as_str(), false),
        (Sampler::AlwaysOn, false, &quiet, true),
        (Sampler::AlwaysOff, true, "", false),
        (Sampler::AlwaysOff, true, &low, true),
        (Sampler::AlwaysOff, false, &low, false),
        (half, false, &low, true),
        (half, false, &high, false),
        (half, true, &high, false),
        (Sampler::ratio(0.0), true, "", false),
        (Sampler::ratio(1.0), true, "", true),
    ] {
        let before = collector.spans().len();
        let origin = Origin::named("ok");
        let (proxy, _exporting) =
            traced(&origin, Tracing { sampler, parent_based, ..settings(collector.address) });
        assert_eq!(get(&proxy, fields), 200);
        let [trace, own, flags] = told(&origin);
        assert_eq!(flags, if recorded { "01" } else { "00" }, "{sampler:?} {parent_based} {fields}");
        assert!(fields.is_empty() || fields.contains(&trace) && !fields.contains(&own), "{fields}");
        if recorded {
            let spans = collector.wait_for(before + 1);
            assert_eq!(spans[before].span_id, own);
        } else {
            // All that there is goes out when the engine stops.
            stop(proxy, _exporting);
            assert_eq!(collector.spans().len(), before, "{sampler:?} {parent_based} {fields}");
        }
    }
}

/// Stops an engine and waits for its last spans.
fn stop(proxy: Proxy, exporting: JoinHandle<()>) {
    drop(proxy);
    exporting.join().unwrap();
}

#[test]
fn a_route_may_be_left_out_or_have_its_own_name_for_spans() {
    let (origin, collector) = (Origin::named("ok"), Collector::start());
    let (mut proxy, exporting) = traced(&origin, settings(collector.address));
    let with = |traced, operation: Option<&str>| RouteTracing {
        traced,
        continues: true,
        operation: operation.map(|text| text.parse().unwrap()),
    };
    let mut set = |tracing| {
        proxy.edit_host("*", |host| host.routes[0].tracing = Some(Arc::new(tracing)));
        proxy.apply(&[]);
        let fields = "traceparent: nonsense\r\ntracestate: nonsense\r\n";
        assert_eq!(get(&proxy, fields), 200);
    };
    set(with(false, None));
    let seen = origin.only();
    assert_eq!((seen.field("traceparent"), seen.field("tracestate")), (Some("nonsense"), Some("nonsense")));
    set(with(true, Some("shop $request_method $host")));
    set(with(true, Some("$http_x_none ")));
    stop(proxy, exporting);
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["shop GET a.example", "GET /"]);
}

#[test]
fn what_failed_is_an_error_and_says_why() {
    let collector = Collector::start();
    let failing = Origin::answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    let breaking = Origin::scripted(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").unwrap();
        After::Close
    });
    let missing = Origin::answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let error = |span: &Span| (span.status.clone(), span.attribute("error.type").to_owned());
    let is = |code: u64, message: &str, kind: &str| ((code, message.to_owned()), kind.to_owned());
    for (number, (to, status, wanted)) in [
        (failing.address, "503", is(2, "", "503")),
        (nowhere(), "502", is(2, "connect", "connect")),
        (breaking.address, "200", is(2, "upstream_broken", "upstream_broken")),
        (missing.address, "404", is(0, "", "")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut proxy = Proxy::to(&[to]);
        trace(&mut proxy, settings(collector.address));
        let _exporting = proxy.export_spans();
        let mut client = Client::connect(proxy.http());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let _ = client.try_answer();
        let span = collector.wait_for(number + 1).remove(number);
        assert_eq!(span.attribute("http.response.status_code"), status);
        assert_eq!(error(&span), wanted);
    }
}

#[test]
fn who_finds_no_route_is_in_a_trace_as_well_and_nonsense_is_not() {
    let collector = Collector::start();
    let mut proxy = Proxy::start(Default::default());
    trace(&mut proxy, settings(collector.address));
    let exporting = proxy.export_spans();
    assert_eq!(get(&proxy, &format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n")), 404);
    let mut client = Client::connect(proxy.http());
    client.send("GET /a b HTTP/1.1\r\nnonsense\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    stop(proxy, exporting);
    let span = collector.only();
    assert_eq!((span.name.as_str(), span.trace_id.as_str(), span.parent.as_str()), ("GET", TRACE, CALLER));
    assert_eq!((span.attribute("selvedge.reason"), span.attribute("url.path")), ("no_route", "/shop/cart"));
    assert_eq!((span.status.0, span.attribute("http.route")), (0, ""));
}

#[test]
fn requests_go_on_while_nobody_takes_spans_and_the_lost_ones_are_counted() {
    let origin = Origin::named("ok");
    let tracing = Tracing { queue: 5, batch: 5, delay: Duration::from_secs(3600), ..settings(nowhere()) };
    let (proxy, exporting) = traced(&origin, tracing);
    for _ in 0..100 {
        assert_eq!(get(&proxy, ""), 200);
    }
    // One batch may be on its way, and another one waits.
    until(|| (dropped(&proxy) >= 90).then_some(()));
    let metrics = proxy.engine.metrics().clone();
    assert!(metrics.encode().contains("selvedge_spans_dropped_total{reason=\"queue_full\"}"));
    stop(proxy, exporting);
    assert_eq!((metrics.spans_exported.get(), metrics.spans_dropped.total()), (0, 100));
}

#[test]
fn a_batch_that_is_refused_for_now_is_sent_again_and_one_that_is_refused_for_good_is_not() {
    for (status, requests, taken) in [("14", 2, 1), ("3", 1, 0)] {
        let collector = Collector::judging(move |number| match number {
            0 => Verdict::Fail(status),
            _ => Verdict::Take,
        });
        let origin = Origin::named("ok");
        let (proxy, _exporting) = traced(&origin, settings(collector.address));
        assert_eq!(get(&proxy, ""), 200);
        until(|| (exported(&proxy) + dropped(&proxy) == 1).then_some(()));
        assert_eq!((exported(&proxy), collector.requests()), (taken, requests), "{status}");
        assert_eq!(collector.spans().len() as u64, taken);
    }
}

#[test]
fn spans_that_a_collector_leaves_out_are_counted_as_lost() {
    let (origin, collector) = (Origin::named("ok"), Collector::judging(|_| Verdict::TakeBut(1)));
    let (proxy, _exporting) = traced(&origin, settings(collector.address));
    assert_eq!(get(&proxy, ""), 200);
    until(|| (dropped(&proxy) == 1).then_some(()));
    assert_eq!(exported(&proxy), 0);
}

#[test]
fn spans_are_sent_when_there_are_enough_and_the_last_ones_at_the_end() {
    let (origin, collector) = (Origin::named("ok"), Collector::start());
    let tracing = Tracing { batch: 2, delay: Duration::from_secs(3600), ..settings(collector.address) };
    let (proxy, exporting) = traced(&origin, tracing);
    assert_eq!(get(&proxy, ""), 200);
    assert_eq!(get(&proxy, ""), 200);
    collector.wait_for(2);
    assert_eq!(get(&proxy, ""), 200);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(proxy.engine.drain(Duration::ZERO, Duration::from_secs(60)));
    exporting.join().unwrap();
    assert_eq!(collector.spans().len(), 3);
    assert_eq!((collector.requests(), exported(&proxy)), (2, 3));
}

#[test]
fn a_collector_that_does_not_answer_holds_the_end_up_for_seconds_at_most() {
    let (origin, collector) = (Origin::named("ok"), Collector::judging(|_| Verdict::Hang));
    let (proxy, exporting) = traced(&origin, settings(collector.address));
    assert_eq!(get(&proxy, ""), 200);
    until(|| (collector.requests() == 1).then_some(()));
    let metrics = proxy.engine.metrics().clone();
    stop(proxy, exporting);
    assert_eq!((metrics.spans_exported.get(), metrics.spans_dropped.total()), (0, 1));
}

#[test]
fn other_settings_count_at_once_and_none_end_it() {
    let (origin, first, second) = (Origin::named("ok"), Collector::start(), Collector::start());
    let (mut proxy, exporting) = traced(&origin, settings(first.address));
    assert_eq!(get(&proxy, ""), 200);
    trace(&mut proxy, settings(second.address));
    assert_eq!(get(&proxy, ""), 200);
    proxy.snapshot.tracing = None;
    proxy.apply(&[]);
    assert_eq!(get(&proxy, ""), 200);
    stop(proxy, exporting);
    assert_eq!((first.spans().len(), second.spans().len()), (1, 1));
    let told: Vec<_> = origin.seen().iter().map(|seen| seen.field("traceparent").is_some()).collect();
    assert_eq!(told, [true, true, false]);
}

#[test]
fn spans_go_over_http_as_well() {
    let (origin, collector) = (Origin::named("ok"), Collector::over_http());
    let to = To::of_url(OtlpProtocol::Http, &collector.url()).unwrap();
    let (proxy, _exporting) = traced(&origin, Tracing { collector: to, ..settings(collector.address) });
    assert_eq!(get(&proxy, ""), 200);
    collector.wait_for(1);
    // On the same connection.
    assert_eq!(get(&proxy, ""), 200);
    collector.wait_for(2);
    until(|| (exported(&proxy) == 2).then_some(()));
}

#[tokio::test]
async fn calls_of_grpc_over_http2_are_spans_too() {
    let collector = Collector::start();
    let seen = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let kept = seen.clone();
    let origin = Http2Origin::start(100, move |request| {
        let parent = request.headers()["traceparent"].to_str().unwrap().to_owned();
        kept.lock().unwrap().push(parent);
        async {
            let builder = http::Response::builder().header("content-type", "application/grpc");
            builder.header("grpc-status", "0").body(full("")).unwrap()
        }
    });
    let mut proxy = Proxy::start(Default::default());
    proxy.backend("test/origin:80", Backend { protocol: BackendProtocol::Http2, ..Backend::default() });
    proxy.route("*", PathMatch::Prefix("/shop.Orders".into()), "test/origin:80");
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    trace(&mut proxy, settings(collector.address));
    let _exporting = proxy.export_spans();
    let mut client = Http2Client::connect(proxy.http()).await;
    for _ in 0..2 {
        let call =
            Request::post("http://a.example/shop.Orders/Get").header("content-type", "application/grpc");
        let call = call.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
        assert_eq!(client.whole(call.header("te", "trailers").body(full("x")).unwrap()).await.status(), 200);
    }
    let spans = tokio::task::spawn_blocking(move || collector.wait_for(2)).await.unwrap();
    let told: Vec<_> = spans.iter().map(|span| format!("00-{TRACE}-{}-01", span.span_id)).collect();
    assert_eq!(*seen.lock().unwrap(), told);
    for span in &spans {
        assert_eq!(
            (span.name.as_str(), span.attribute("network.protocol.version")),
            ("POST /shop.Orders", "2")
        );
        assert_eq!((span.parent.as_str(), span.attribute("url.path")), (CALLER, "/shop.Orders/Get"));
    }
}
