//! What surrounds the proxy in a process: access log, metrics, logs, the admin address.

pub mod access_log;
pub mod admin;
pub mod metrics;
pub mod telemetry;
