//! Settings groups: traces.

use super::{Effect, form::Fraction, setting::setting};
use crate::annotations::form::{Count, Forgiving};

/// What happens until they are honoured.
const MEANWHILE: &str = "no traces are written";
/// Why nothing has to be set.
const NONE: &str = "no traces are written";
/// Why those of Jaeger are not taken.
const JAEGER: &str = "ingress-nginx has it no more; its successor is OpenTelemetry";

super::settings! {
    /// Traces
    Traces {
        /// Write traces.
        enabled: bool = setting("enable-opentelemetry").default("`false`").example("`true`").not_yet(MEANWHILE);
        /// Believe the trace that a request says it belongs to.
        trust: bool = setting("opentelemetry-trust-incoming-span").default("`true`").example("`false`").no_effect(NONE);
        /// Name of the operation.
        operation: Forgiving = setting("opentelemetry-operation-name").example("`shop`").no_effect(NONE);
        /// File with settings.
        config: Forgiving = setting("opentelemetry-config").default("`/etc/ingress-controller/telemetry/opentelemetry.toml`").example("`/etc/otel.toml`").no_effect(NONE);
        /// Host that collects them.
        host: Forgiving = setting("otlp-collector-host").example("`otel.default.svc`").no_effect(NONE);
        /// Its port.
        port: Count = setting("otlp-collector-port").default("`4317`").example("`4318`").no_effect(NONE);
        /// How many are kept.
        queue: Count = setting("otel-max-queuesize").default("`2048`").example("`4096`").no_effect(NONE);
        /// Time between two batches.
        delay: Count = setting("otel-schedule-delay-millis").default("`5000`").example("`1000`").no_effect(NONE);
        /// Largest batch.
        batch: Count = setting("otel-max-export-batch-size").default("`512`").example("`256`").no_effect(NONE);
        /// Name of the service.
        service: Forgiving = setting("otel-service-name").default("`nginx`").example("`edge`").no_effect(NONE);
        /// Which requests are traced.
        sampler: Forgiving = setting("otel-sampler").default("`AlwaysOn`").example("`TraceIdRatioBased`").no_effect(NONE);
        /// Trace those whose caller is traced.
        parent: bool = setting("otel-sampler-parent-based").default("`true`").example("`false`").no_effect(NONE);
        /// Share of requests that is traced.
        ratio: Fraction = setting("otel-sampler-ratio").default("`0.01`").example("`0.5`").no_effect(NONE);
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

impl Effect for Traces {}

impl Effect for Jaeger {}
