//! Traces of the router: the span of each call, and the context on its way from service to service.

use selvedge_tests::{client::Client, collector::Collector, origin::Origin};

use crate::{Mesh, orders, rule};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_call_is_a_span_between_its_caller_and_the_service() {
    let (origin, collector) = (Origin::named("ok"), Collector::start());
    let rules = rule("rules", "[{matches: [{path: {prefix: /v1}}], backends: [{service: orders}]}]");
    let flags = ["--otlp-endpoint", &collector.url(), "--otlp-service-name", "mesh"];
    let mesh = Mesh::with_flags(&[orders(&[origin.address]), rules], &flags);
    let mut client = Client::connect(mesh.router.http);
    for path in ["/v1/a?b=c", "/other"] {
        let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: orders.shop\r\n{parent}\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
    }
    drop(mesh);
    let spans = collector.spans();
    let shown: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.attribute("url.path"))).collect();
    assert_eq!(shown, [("GET /v1", "/v1/a"), ("GET /", "/other")]);
    for (span, seen) in spans.iter().zip(origin.seen()) {
        assert_eq!((span.trace_id.as_str(), span.parent.as_str()), (TRACE, "00f067aa0ba902b7"));
        assert_eq!((span.service.as_str(), span.attribute("selvedge.backend")), ("mesh", "shop/orders:80"));
        let wanted = format!("00-{TRACE}-{}-01", span.span_id);
        assert_eq!(seen.field("traceparent"), Some(&*wanted));
    }
}
