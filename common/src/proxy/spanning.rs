//! Spanning: the span of a request (OpenTelemetry): its place in a trace, what backends are told of it, and its record.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    address,
    exchange::Exchange,
    headers,
    live::{LiveRoute, PASS_THROUGH},
};
use crate::{
    message::{Known, Method, Version},
    model::RouteTracing,
    spans::{Recorder, SpanWriter, TraceContext, is_state, samples},
};

/// Reasons of answers that broke off after their head: the backend failed, whatever the status was.
const BROKEN: [&str; 2] = ["upstream_broken", "upstream_idle"];

/// The span of a request that is being served; there is none for one that is not recorded.
pub struct Span {
    recorder: Arc<Recorder>,
    own: TraceContext,
    parent: Option<u64>,
}

/// Gives a request its place in a trace as its route says, and tells backends of it. To be asked once, when the route is
/// found and nothing has changed the request yet.
pub fn begin(x: &mut Exchange<'_>, recorder: &Arc<Recorder>) {
    let said = said(x.route.as_deref(), recorder);
    if !said.traced {
        return;
    }
    let continues = said.continues;
    let random = || x.worker().random();
    let new_trace = u128::from(random()) << 64 | u128::from(random());
    let span_id = random().max(1);
    let fields = &mut x.head.fields;
    let parent = if continues { parent(fields.all(Known::Traceparent)) } else { None };
    if parent.is_none() || !is_state(fields.all(Known::Tracestate)) {
        fields.remove(Known::Tracestate);
    }
    let trace_id = parent.map_or(new_trace, |parent| parent.trace_id);
    let is_sampled = samples(recorder.settings(), trace_id, parent.as_ref());
    let own = TraceContext { trace_id, span_id, is_sampled };
    fields.remove(Known::Traceparent);
    fields.push_known(Known::Traceparent, &own.text());
    if is_sampled {
        let parent = parent.map(|parent| parent.span_id);
        x.span = Some(Box::new(Span { recorder: recorder.clone(), own, parent }));
    }
}

/// The context that a request came with; two of them are none.
fn parent<'v>(mut values: impl Iterator<Item = &'v [u8]>) -> Option<TraceContext> {
    let value = values.next()?;
    values.next().is_none().then(|| TraceContext::parse(value))?
}

/// How the requests of a route are traced.
fn said<'r>(route: Option<&'r LiveRoute>, recorder: &'r Recorder) -> &'r RouteTracing {
    let of_route = route.and_then(|route| route.route.tracing.as_deref());
    of_route.unwrap_or(&recorder.settings().requests)
}

/// Records the span of a request that has ended, if it has one. One without a route has its place in a trace only now, as
/// no backend was to be told.
pub fn end(x: &mut Exchange<'_>, begin_time: SystemTime, duration: Duration) {
    if x.route.is_none() {
        // What could not be read is no request.
        let recorder = x.worker().live().recorder.clone().filter(|_| !x.head.path().is_empty());
        if let Some(recorder) = recorder {
            begin(x, &recorder);
        }
    }
    let Some(span) = x.span.take() else { return };
    let mut writer = SpanWriter::new(&span.own, span.parent);
    writer.time(begin_time, duration);
    write_name(x, &span, &mut writer);
    write_request(x, &mut writer);
    write_outcome(x, &mut writer);
    span.recorder.keep(writer.finish());
}

/// The first route that was found decides how requests are traced.
fn first_route<'x>(x: &'x Exchange<'_>) -> Option<&'x LiveRoute> {
    x.outer.as_deref().or(x.route.as_deref())
}

/// The name that was chosen for the operation; else the method with the path of the route.
fn write_name(x: &Exchange<'_>, span: &Span, writer: &mut SpanWriter) {
    let mut name = Vec::new();
    if let Some(operation) = &said(first_route(x), &span.recorder).operation {
        let caller = x.source.as_deref().map(|source| &*source.name);
        operation.render((&headers::filter_context(x, caller), &x.head), &[], &mut name);
    }
    if name.trim_ascii().is_empty() {
        name.clear();
        name.extend_from_slice(match x.head.method {
            Method::Other(_) => b"HTTP",
            _ => x.head.method_name(),
        });
        if let Some(path) = route_path(x) {
            name.push(b' ');
            name.extend_from_slice(path.as_bytes());
        }
    }
    writer.name(name.trim_ascii());
}

/// The path by which the route was found; what is passed on has none.
fn route_path<'x>(x: &'x Exchange<'_>) -> Option<&'x str> {
    let route = x.route.as_deref().filter(|route| route.route.id.as_str() != PASS_THROUGH)?;
    Some(route.route.path.text())
}

/// What was asked, and by whom. The query is left out, and so are all fields but `User-Agent`: they may hold secrets.
fn write_request(x: &Exchange<'_>, writer: &mut SpanWriter) {
    match x.head.method {
        Method::Other(_) => {
            writer.text("http.request.method", b"_OTHER");
            writer.text("http.request.method_original", x.head.method_name());
        }
        _ => writer.text("http.request.method", x.head.method_name()),
    }
    writer.text("url.scheme", x.scheme.as_str().as_bytes());
    if let Some(path) = path(x.head.target()) {
        writer.text("url.path", path);
    }
    if let Some(path) = route_path(x) {
        writer.text("http.route", path.as_bytes());
    }
    if !x.head.host().is_empty() {
        writer.text("server.address", x.head.host());
        let port = address::port_of(x.head.authority()).unwrap_or(x.scheme.port());
        writer.number("server.port", port.into());
    }
    writer.text("client.address", ip_text(x.client_ip).as_bytes());
    writer.text("network.peer.address", ip_text(x.client.address.ip()).as_bytes());
    writer.number("network.peer.port", x.client.address.port().into());
    let version: &[u8] = match x.head.version {
        Version::Http10 => b"1.0",
        Version::Http11 | Version::None => b"1.1",
        Version::Http2 => b"2",
    };
    writer.text("network.protocol.version", version);
    if let Some(agent) = x.head.fields.get(Known::UserAgent) {
        writer.text("user_agent.original", agent);
    }
}

/// What became of it. 499 is a word of ours for a client that went away: no status was sent.
fn write_outcome(x: &Exchange<'_>, writer: &mut SpanWriter) {
    if x.status != 499 {
        writer.number("http.response.status_code", x.status.into());
    }
    if let Some(route) = x.route.as_deref() {
        writer.text("selvedge.route", route.route.id.as_str().as_bytes());
        writer.text("selvedge.object", route.route.source.to_string().as_bytes());
        if let Some(upstream) = x.upstream() {
            writer.text("selvedge.backend", upstream.id.as_str().as_bytes());
        }
    }
    if let Some(endpoint) = x.endpoint {
        writer.text("selvedge.endpoint", endpoint.to_string().as_bytes());
        writer.number("selvedge.tries", x.tries.into());
    }
    if let Some(source) = &x.source {
        writer.text("selvedge.caller", source.name.as_bytes());
    }
    if let Some(id) = x.head.fields.get(Known::XRequestId) {
        writer.text("selvedge.request_id", id);
    }
    if let Some(reason) = x.reason {
        writer.text("selvedge.reason", reason.as_bytes());
    }
    let is_broken = x.reason.is_some_and(|reason| BROKEN.contains(&reason));
    if x.status >= 500 || is_broken {
        let mut status = itoa::Buffer::new();
        let kind = x.reason.unwrap_or_else(|| status.format(x.status));
        writer.text("error.type", kind.as_bytes());
        writer.fail(x.reason.unwrap_or_default());
    } else if x.status == 499 {
        writer.text("error.type", x.reason.unwrap_or("client_closed").as_bytes());
    }
}

/// The path of a target as it was sent: of one in absolute form without what comes before it, without the query in any
/// case. `None` where there is none, as in `*` or the target of `CONNECT`.
fn path(target: &[u8]) -> Option<&[u8]> {
    let target = target.split(|byte| matches!(byte, b'?' | b'#')).next()?;
    if target.first()? == &b'/' {
        return Some(target);
    }
    let scheme = target.windows(3).position(|window| window == b"://")?;
    let rest = &target[scheme + 3..];
    Some(&rest[rest.iter().position(|byte| *byte == b'/')?..])
}

fn ip_text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_neither_query_nor_authority() {
        for (target, wanted) in [
            ("/a/b?token=x", Some("/a/b")),
            ("/", Some("/")),
            ("/?a", Some("/")),
            ("/a#b?c", Some("/a")),
            ("http://user:word@host/a?b=c://d/e", Some("/a")),
            ("http://host?secret", None),
            ("http://host?a=/secret", None),
            ("host:443?a=b://c/d", None),
            ("http://host", None),
            ("*", None),
            ("host:443", None),
            ("", None),
        ] {
            assert_eq!(path(target.as_bytes()), wanted.map(str::as_bytes), "{target}");
        }
    }

    #[test]
    fn two_contexts_are_none() {
        let one = &b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"[..];
        assert!(parent([one].into_iter()).is_some());
        assert!(parent([one, one].into_iter()).is_none());
        assert!(parent(std::iter::empty()).is_none());
    }
}
