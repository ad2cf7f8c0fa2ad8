//! What is set up before anything runs: the logs, and how many connections the system allows.

use anyhow::Context as _;

use super::args::{AccessLogFormat, Format, LogArgs};
use crate::runtime::{
    access_log::{self, AccessLog},
    metrics::Metrics,
    telemetry::{self, LogFormat},
};

/// Connections that are left to the system when its limit of open files is not known.
const CONNECTIONS_UNKNOWN: usize = 20_000;

/// Sets up the program's own log.
///
/// # Errors
/// A filter that is none.
pub fn start_log(args: &LogArgs) -> anyhow::Result<()> {
    // The client libraries say again what we say of the API server.
    let usual = || "info,kube_client=error,kube_runtime=off".to_owned();
    let filter = args.log_filter.clone().or_else(|| std::env::var("RUST_LOG").ok()).unwrap_or_else(usual);
    let format = match args.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    Ok(telemetry::start(format, &filter)?)
}

pub(super) fn open_access_log(args: &LogArgs, metrics: &Metrics) -> anyhow::Result<AccessLog> {
    let format = match args.access_log {
        AccessLogFormat::Off => return Ok(AccessLog::off()),
        AccessLogFormat::Text => access_log::AccessLogFormat::Text,
        AccessLogFormat::Json => access_log::AccessLogFormat::Json,
    };
    AccessLog::stdout(format, metrics.access_log.clone()).context("cannot open the access log")
}

/// Connections from clients on all listeners: as given, or half of the limit of open files, which is raised as far
/// as it goes.
pub(super) fn connections(given: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A limit that cannot be raised stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    match given {
        0 => files.map_or(CONNECTIONS_UNKNOWN, |files| files / 2),
        given => given,
    }
}
