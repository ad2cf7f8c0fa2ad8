//! What is set up before anything runs: the logs, and how many connections the system allows.

use anyhow::Context as _;

use super::args::{AccessLogFormat, Format, LogArgs};
use crate::runtime::{
    access_log::{self, AccessLog},
    metrics::Metrics,
    telemetry::{self, LogFormat},
};

/// Connections that are left to the system when its limit of open files is not known.
const CONNECTIONS_UNKNOWN: u64 = 20_000;
/// Memory that a connection may need, with that to its backend: what ten thousand slow clients were measured to take.
const CONNECTION_BYTES: u64 = 16 << 10;
/// Where a container sees its limit of memory: a number, or `max` (cgroup v2).
const CONTAINER_MEMORY: &str = "/sys/fs/cgroup/memory.max";

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

/// Connections from clients on all listeners: as given, or as many as open files and memory are enough for. The limit of
/// open files is raised as far as it goes.
pub(super) fn connections(given: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A limit that cannot be raised stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current;
    let container = std::fs::read_to_string(CONTAINER_MEMORY).ok().and_then(|text| text.trim().parse().ok());
    let memory = getrlimit(Resource::As).current.into_iter().chain(container).min();
    match given {
        0 => enough(files, memory),
        given => given,
    }
}

/// Half of the files, and half of the memory in bytes, where these have limits.
fn enough(files: Option<u64>, memory: Option<u64>) -> usize {
    let of_files = files.map_or(CONNECTIONS_UNKNOWN, |files| files / 2);
    let of_memory = memory.map(|memory| memory / 2 / CONNECTION_BYTES);
    let connections = of_memory.map_or(of_files, |of_memory| of_memory.min(of_files));
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_as_many_as_half_of_files_and_half_of_memory_are_enough_for() {
        let rows = [
            (Some(1 << 20), None, 1 << 19),
            (Some(1 << 20), Some(128 << 20), 4_096),
            (Some(1_024), Some(128 << 20), 512),
            (None, Some(256 << 20), 8_192),
            (None, None, 20_000),
        ];
        for (files, memory, wanted) in rows {
            assert_eq!(enough(files, memory), wanted, "{files:?} {memory:?}");
        }
    }
}
