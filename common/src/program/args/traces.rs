//! Flags for traces: which requests are recorded as spans, and where these are sent.

use std::sync::LazyLock;

use clap::{Args, ValueEnum};

use crate::model::{Collector, OtlpProtocol, RouteTracing, Sampler, Tracing};

/// What OpenTelemetry's variable for all programs says of the collector; it counts where no flag says it.
static ENDPOINT: LazyLock<Option<String>> = LazyLock::new(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
/// The same of the name of the program.
static SERVICE_NAME: LazyLock<Option<String>> = LazyLock::new(|| variable("OTEL_SERVICE_NAME"));

/// Traces.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Traces")]
pub struct TraceArgs {
    /// Collector to send spans of requests to, such as `http://otel.example:4317`; without it, and without OTEL_EXPORTER_OTLP_ENDPOINT, nothing is traced
    #[arg(
        long,
        env = "SELVEDGE_OTLP_ENDPOINT",
        value_name = "URL",
        default_value = ENDPOINT.as_deref(),
        value_parser = endpoint
    )]
    pub otlp_endpoint: Option<String>,
    /// What the collector speaks
    #[arg(long, env = "SELVEDGE_OTLP_PROTOCOL", value_name = "PROTOCOL", value_enum, default_value = "grpc")]
    pub otlp_protocol: Protocol,
    /// Name of this program in traces; without it, and without OTEL_SERVICE_NAME, its own
    #[arg(long, env = "SELVEDGE_OTLP_SERVICE_NAME", value_name = "NAME", default_value = SERVICE_NAME.as_deref())]
    pub otlp_service_name: Option<String>,
    /// Which new traces are recorded
    #[arg(
        long,
        env = "SELVEDGE_TRACE_SAMPLER",
        value_name = "SAMPLER",
        value_enum,
        default_value = "always-on"
    )]
    pub trace_sampler: TraceSampler,
    /// Share of new traces that the sampler ratio records, from 0 to 1
    #[arg(long, env = "SELVEDGE_TRACE_RATIO", value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    pub trace_ratio: f64,
    /// Begin a new trace for each request, whatever traceparent says
    #[arg(long, env = "SELVEDGE_TRACE_IGNORE_INCOMING")]
    pub trace_ignore_incoming: bool,
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// OTLP over gRPC
    #[default]
    Grpc,
    /// OTLP over HTTP, with protobuf
    Http,
}

/// Which new traces are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TraceSampler {
    /// All
    #[default]
    AlwaysOn,
    /// None
    AlwaysOff,
    /// A share
    Ratio,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
}

/// A URL of a collector, whatever it speaks.
fn endpoint(text: &str) -> Result<String, String> {
    let text = text.trim();
    Collector::of_url(OtlpProtocol::Http, text).map(|_| text.to_owned())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

impl TraceArgs {
    /// What they say, for a program of this name; `None` if nothing is to be traced.
    pub fn tracing(&self, program: &str) -> Option<Tracing> {
        let protocol = match self.otlp_protocol {
            Protocol::Grpc => OtlpProtocol::Grpc,
            Protocol::Http => OtlpProtocol::Http,
        };
        // That it is a URL was seen when it was read.
        let collector = Collector::of_url(protocol, self.otlp_endpoint.as_deref()?).ok()?;
        let sampler = match self.trace_sampler {
            TraceSampler::AlwaysOn => Sampler::AlwaysOn,
            TraceSampler::AlwaysOff => Sampler::AlwaysOff,
            TraceSampler::Ratio => Sampler::ratio(self.trace_ratio),
        };
        let requests = RouteTracing { continues: !self.trace_ignore_incoming, ..RouteTracing::default() };
        let tracing = Tracing::new(collector, self.otlp_service_name.as_deref().unwrap_or(program));
        Some(Tracing { sampler, requests, ..tracing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_endpoint_nothing_is_traced() {
        assert_eq!(TraceArgs::default().tracing("edge"), None);
        assert!(endpoint("otel:4317").unwrap_err().contains("http://otel.example:"));
        assert_eq!(endpoint(" http://otel:4317 "), Ok("http://otel:4317".into()));
    }

    #[test]
    fn flags_become_settings() {
        let usual = TraceArgs { otlp_endpoint: Some("http://a:1".into()), ..TraceArgs::default() };
        let wanted = Tracing::new(Collector::at(OtlpProtocol::Grpc, "a", 1).unwrap(), "edge");
        assert_eq!(usual.tracing("edge"), Some(wanted));
        let given = TraceArgs {
            otlp_endpoint: Some("https://traces.example/otlp".into()),
            otlp_protocol: Protocol::Http,
            otlp_service_name: Some("own".into()),
            trace_sampler: TraceSampler::Ratio,
            trace_ratio: 0.5,
            trace_ignore_incoming: true,
        };
        let given = given.tracing("edge").unwrap();
        assert_eq!((&*given.collector.path, &*given.service), ("/otlp/v1/traces", "own"));
        assert_eq!(given.sampler, Sampler::ratio(0.5));
        assert!(!given.requests.continues && given.requests.traced);
    }
}
