//! Spans: requests as traces see them (OpenTelemetry), from the context that a request carries to the collector.
//!
//! A worker writes a span in the form that it is sent in and puts it into a bounded queue; it never waits. A task beside
//! the workers takes spans out in batches and sends them.

mod collector;
mod context;
mod export;
mod otlp;
mod queue;
mod sampler;
mod span;

pub use context::{TraceContext, is_state};
pub use export::Exports;
pub use queue::Recorder;
pub use sampler::samples;
pub use span::SpanWriter;
