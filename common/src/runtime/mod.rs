//! What surrounds the proxy in a process: workers, drain, access log, metrics, logs, the admin address.

pub mod access_log;
pub mod admin;
pub mod deadline;
pub mod drain;
pub mod engine;
pub mod graph;
mod listening;
pub mod metrics;
pub mod spawn;
pub mod telemetry;
mod workers;
