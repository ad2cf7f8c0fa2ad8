//! Settings groups: traces.

use std::{sync::Arc, time::Duration};

use selvedge_common::{
    filter::Template,
    model::{Collector, OtlpProtocol, RouteTracing, Sampler, Tracing},
};

use super::{
    Effect, Globals,
    form::{CollectorHost, Fraction, Port, Positive, SamplerName},
    given::Given,
    setting::{setting, usual},
};
use crate::{
    annotations::form::{Count, Forgiving, Operation},
    translate::with_names,
};

/// Why those of Jaeger are not taken.
const JAEGER: &str = "ingress-nginx has it no more; its successor is OpenTelemetry";

/// Share of traces where nobody says it.
const RATIO: f64 = 0.01;
/// What the program is called where nobody says it.
const SERVICE: &str = "selvedge-ingress";

super::settings! {
    /// Traces
    Traces {
        /// Trace requests with OpenTelemetry; with the flag `--otlp-endpoint` they are traced unless this says `false`.
        enabled: bool = usual("enable-opentelemetry").default("`false`").example("`true`");
        /// Go on with the trace that a request says it belongs to (`traceparent` of W3C Trace Context).
        trust: bool = usual("opentelemetry-trust-incoming-span").default("`true`").example("`false`");
        /// Name of spans; without it the method and the path of the route.
        operation: Operation = usual("opentelemetry-operation-name").example("`shop`");
        /// File with settings.
        config: Forgiving = setting("opentelemetry-config").default("`/etc/ingress-controller/telemetry/opentelemetry.toml`").example("`/etc/otel.toml`")
            .no_effect("no file of nginx's module is read: the other settings of traces and the flags say it");
        /// Host of the collector that spans are sent to, over gRPC in clear text; it comes before the flag `--otlp-endpoint`.
        host: CollectorHost = setting("otlp-collector-host").example("`otel.default.svc`");
        /// Its port.
        port: Port = setting("otlp-collector-port").default("`4317`").example("`4318`");
        /// Spans that wait to be sent at most, up to 65536; further ones are dropped and counted.
        queue: Positive = setting("otel-max-queuesize").default("`2048`").example("`4096`");
        /// Longest time in milliseconds that a span waits for others to be sent with, from 10 to 3600000.
        delay: Positive = setting("otel-schedule-delay-millis").default("`5000`").example("`1000`");
        /// Spans that are sent at once at most, up to those that may wait.
        batch: Positive = setting("otel-max-export-batch-size").default("`512`").example("`256`");
        /// Name of the edge in traces.
        service: Forgiving = setting("otel-service-name").default("`selvedge-ingress`").example("`edge`");
        /// Which new traces are recorded.
        sampler: SamplerName = setting("otel-sampler").default("`AlwaysOn`").example("`TraceIdRatioBased`");
        /// Record a request whose caller's trace is recorded, and no other with a caller's trace.
        parent: bool = setting("otel-sampler-parent-based").default("`true`").example("`false`");
        /// Share of new traces that `TraceIdRatioBased` records.
        ratio: Fraction = setting("otel-sampler-ratio").default("`0.01`").example("`0.5`");
    }
}

/// What is said of traces of all classes; what is not leaves it to flags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceGlobals {
    /// Who gets spans.
    pub collector: Option<Collector>,
    /// What the edge is called.
    pub service: Option<Arc<str>>,
    /// Which new traces are recorded.
    pub sampler: Option<Sampler>,
    /// Whether callers decide it for theirs.
    pub parent_based: Option<bool>,
    /// Spans that wait at most.
    pub queue: Option<u32>,
    /// Spans that are sent at once at most.
    pub batch: Option<u32>,
    /// Time between two batches.
    pub delay: Option<Duration>,
    /// Whether requests are traced that no Ingress says anything of.
    pub traced: Option<bool>,
    /// Whether these go on with the traces of their callers.
    pub continues: Option<bool>,
    /// Name of their spans.
    pub operation: Option<Template>,
}

impl TraceGlobals {
    /// Which requests are traced: as this says, else as flags do. `None` if nobody gets spans.
    pub fn over(&self, flags: Option<&Tracing>) -> Option<Tracing> {
        let mut tracing = match (flags, &self.collector) {
            (Some(flags), _) => flags.clone(),
            (None, Some(collector)) => Tracing {
                requests: RouteTracing { traced: false, ..RouteTracing::default() },
                ..Tracing::new(collector.clone(), SERVICE)
            },
            (None, None) => return None,
        };
        set(&mut tracing.collector, &self.collector);
        set(&mut tracing.service, &self.service);
        set(&mut tracing.sampler, &self.sampler);
        set(&mut tracing.parent_based, &self.parent_based);
        set(&mut tracing.queue, &self.queue);
        set(&mut tracing.batch, &self.batch);
        set(&mut tracing.delay, &self.delay);
        let requests = &mut tracing.requests;
        set(&mut requests.traced, &self.traced);
        set(&mut requests.continues, &self.continues);
        requests.operation = self.operation.clone().or(requests.operation.take());
        Some(tracing.bounded())
    }

    /// Whether traces are wanted and nothing says where they go.
    pub fn asks_for_a_collector(&self) -> bool {
        self.traced == Some(true) && self.collector.is_none()
    }
}

fn set<T: Clone>(value: &mut T, said: &Option<T>) {
    if let Some(said) = said {
        value.clone_from(said);
    }
}

impl Effect for Traces {
    fn apply(&self, globals: &mut Globals, _: &mut Given<'_>) {
        let port = self.port.map_or(OtlpProtocol::Grpc.usual_port(), |port| port.0);
        let collector = self.host.as_ref();
        let sampler = self.sampler.map(|sampler| match sampler {
            SamplerName::AlwaysOn => Sampler::AlwaysOn,
            SamplerName::AlwaysOff => Sampler::AlwaysOff,
            SamplerName::TraceIdRatioBased => Sampler::ratio(self.ratio.map_or(RATIO, |share| share.0)),
        });
        // Of requests without a route nothing is known that a name could be made of.
        let operation = self.operation.as_ref().map(|name| with_names(&name.0, &[""; 5]));
        globals.traces = TraceGlobals {
            // That it is a host was seen when it was read.
            collector: collector.and_then(|host| Collector::at(OtlpProtocol::Grpc, &host.0, port).ok()),
            service: self
                .service
                .as_ref()
                .map(|name| name.0.trim().into())
                .filter(|name: &Arc<str>| !name.is_empty()),
            sampler,
            parent_based: self.parent,
            queue: self.queue.map(|count| count.0),
            batch: self.batch.map(|count| count.0),
            delay: self.delay.map(|millis| Duration::from_millis(millis.0.into())),
            traced: self.enabled,
            continues: self.trust,
            operation: operation.and_then(|text| Template::parse(&text).ok()),
        };
    }
}

super::settings! {
    /// Traces of Jaeger
    Jaeger {
        /// Host that collects them.
        host: Forgiving = setting("jaeger-collector-host").example("`jaeger`").no_effect(JAEGER);
        /// Its port.
        port: Count = setting("jaeger-collector-port").default("`6831`").example("`6832`").no_effect(JAEGER);
        /// Its URL.
        endpoint: Forgiving = setting("jaeger-endpoint").example("`http://jaeger`").no_effect(JAEGER);
        /// Name of the service.
        service: Forgiving = setting("jaeger-service-name").default("`nginx`").example("`edge`").no_effect(JAEGER);
        /// Form of the fields.
        format: Forgiving = setting("jaeger-propagation-format").default("`jaeger`").example("`w3c`").no_effect(JAEGER);
        /// Which requests are traced.
        sampler: Forgiving = setting("jaeger-sampler-type").default("`const`").example("`probabilistic`").no_effect(JAEGER);
        /// How many of them.
        parameter: Forgiving = setting("jaeger-sampler-param").default("`1`").example("`0.1`").no_effect(JAEGER);
        /// Who says it.
        sampler_host: Forgiving = setting("jaeger-sampler-host").default("`http://127.0.0.1`").example("`http://jaeger`").no_effect(JAEGER);
        /// Its port.
        sampler_port: Count = setting("jaeger-sampler-port").default("`5778`").example("`5779`").no_effect(JAEGER);
        /// Field of the trace.
        field: Forgiving = setting("jaeger-trace-context-header-name").default("`uber-trace-id`").example("`trace`").no_effect(JAEGER);
        /// Field that asks for a trace.
        debug_field: Forgiving = setting("jaeger-debug-header").default("`uber-debug-id`").example("`debug`").no_effect(JAEGER);
        /// Field of what goes along.
        baggage: Forgiving = setting("jaeger-baggage-header").default("`jaeger-baggage`").example("`baggage`").no_effect(JAEGER);
        /// What fields of it begin with.
        prefix: Forgiving = setting("jaeger-trace-baggage-header-prefix").default("`uberctx-`").example("`ctx-`").no_effect(JAEGER);
    }
}

impl Effect for Jaeger {}
