//! Flags for limits and times; their defaults are those of the model.

use std::{sync::Arc, time::Duration};

use super::values::{duration, size, size_within, small_size};
use crate::model::{Backend, Health, Http2Limits, Limits, Retry, RetryAllowance, Timeouts};
use clap::{Args, builder::RangedI64ValueParser, value_parser};

/// Largest flow-control window (RFC 9113 §6.9.1).
const MOST_WINDOW: u32 = 0x7fff_ffff;

/// Limits that clients are held to, on each listener. A program may give arguments other defaults, by `mut_arg`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits for clients")]
pub struct ClientArgs {
    /// Connections open at once on each listener
    #[arg(long, env = "SELVEDGE_MAX_CONNECTIONS", value_name = "N", default_value_t = 10_000)]
    pub max_connections: u32,
    /// Connections open at once on all listeners together; 0 is what half of the limits of open files and memory is enough for
    #[arg(long, env = "SELVEDGE_MAX_CONNECTIONS_TOTAL", value_name = "N", default_value_t = 0)]
    pub max_connections_total: usize,
    /// Connections open at once from one source address on each listener; 0 is no limit
    #[arg(long, env = "SELVEDGE_MAX_CONNECTIONS_PER_SOURCE", value_name = "N", default_value_t = 0)]
    pub max_connections_per_source: u32,
    /// Requests in flight at once; low priority is refused from 80 %, normal from 90 % on; 0 is no limit
    #[arg(long, env = "SELVEDGE_MAX_REQUESTS", value_name = "N", default_value_t = 0)]
    pub max_requests: usize,
    /// Largest request head in bytes, at least 1KiB and at most 128KiB; more is answered 431
    #[arg(long, env = "SELVEDGE_MAX_HEAD_SIZE", value_name = "SIZE", default_value = "16KiB", value_parser = size_within(1 << 10, 128 << 10))]
    pub max_head_size: u32,
    /// Most header fields of an HTTP/1.1 request, at most 256; more is answered 431
    #[arg(long, env = "SELVEDGE_MAX_FIELDS", value_name = "N", default_value_t = 100, value_parser = value_parser!(u16).range(1..=256))]
    pub max_fields: u16,
    /// Largest request target in bytes; more is answered 414
    #[arg(long, env = "SELVEDGE_MAX_TARGET_SIZE", value_name = "SIZE", default_value = "8KiB", value_parser = size_within(1, u32::MAX))]
    pub max_target_size: u32,
    /// Longest TLS handshake
    #[arg(long, env = "SELVEDGE_HANDSHAKE_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub handshake_timeout: Duration,
    /// Longest time from the first byte of a request head to its last
    #[arg(long, env = "SELVEDGE_HEAD_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub head_timeout: Duration,
    /// Longest silence while a request body is being read
    #[arg(long, env = "SELVEDGE_BODY_IDLE_TIMEOUT", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub body_idle_timeout: Duration,
    /// Lowest average rate of a request body in bytes per second; 0 is no limit
    #[arg(long, env = "SELVEDGE_BODY_MIN_RATE", value_name = "SIZE", default_value = "256", value_parser = size)]
    pub body_min_rate: u64,
    /// Longest time a connection may stay open between two requests
    #[arg(long, env = "SELVEDGE_KEEP_ALIVE_TIMEOUT", value_name = "TIME", default_value = "75s", value_parser = duration)]
    pub keep_alive_timeout: Duration,
    /// Longest time a client may take for a piece of a response, of 128 KiB or what there is
    #[arg(long, env = "SELVEDGE_WRITE_STALL_TIMEOUT", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub write_stall_timeout: Duration,
    /// Longest time a tunnel (WebSocket) may carry nothing in either direction
    #[arg(long, env = "SELVEDGE_TUNNEL_IDLE_TIMEOUT", value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub tunnel_idle_timeout: Duration,
    /// Age after which a connection is closed at the end of a request; each gets up to 10 % more
    #[arg(long, env = "SELVEDGE_MAX_CONNECTION_AGE", value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub max_connection_age: Duration,
    /// Pass on header fields with an underscore in their name instead of dropping them
    #[arg(long, env = "SELVEDGE_ALLOW_UNDERSCORE_FIELDS")]
    pub allow_underscore_fields: bool,
    /// Answer 400 to paths with an escaped slash (%2f) instead of passing them on
    #[arg(long, env = "SELVEDGE_REJECT_ESCAPED_SLASH")]
    pub reject_escaped_slash: bool,
    /// Streams open at once on an HTTP/2 connection
    #[arg(long, env = "SELVEDGE_HTTP2_MAX_STREAMS", value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
    pub http2_max_streams: u32,
    /// Flow-control window of an HTTP/2 stream in bytes
    #[arg(long, env = "SELVEDGE_HTTP2_STREAM_WINDOW", value_name = "SIZE", default_value = "64KiB", value_parser = size_within(1, MOST_WINDOW))]
    pub http2_stream_window: u32,
    /// Flow-control window of an HTTP/2 connection in bytes
    #[arg(long, env = "SELVEDGE_HTTP2_CONNECTION_WINDOW", value_name = "SIZE", default_value = "1MiB", value_parser = size_within(1, MOST_WINDOW))]
    pub http2_connection_window: u32,
    /// Largest header list of an HTTP/2 request in bytes
    #[arg(long, env = "SELVEDGE_HTTP2_MAX_HEADER_LIST", value_name = "SIZE", default_value = "32KiB", value_parser = small_size)]
    pub http2_max_header_list: u32,
    /// Most header fields of an HTTP/2 request; more is answered 431
    #[arg(long, env = "SELVEDGE_HTTP2_MAX_FIELDS", value_name = "N", default_value_t = 128, value_parser = value_parser!(u16).range(1..))]
    pub http2_max_fields: u16,
}

impl ClientArgs {
    /// The same for the model.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            connections_per_source: self.max_connections_per_source,
            head_bytes: self.max_head_size,
            fields: self.max_fields,
            target_bytes: self.max_target_size,
            handshake_time: self.handshake_timeout,
            head_time: self.head_timeout,
            body_idle: self.body_idle_timeout,
            body_min_rate_bytes: self.body_min_rate,
            keep_alive_idle: self.keep_alive_timeout,
            write_stall: self.write_stall_timeout,
            tunnel_idle: self.tunnel_idle_timeout,
            connection_age: self.max_connection_age,
            drop_underscore_fields: !self.allow_underscore_fields,
            reject_escaped_slash: self.reject_escaped_slash,
            http2: Http2Limits {
                streams: self.http2_max_streams,
                stream_window_bytes: self.http2_stream_window,
                connection_window_bytes: self.http2_connection_window,
                header_list_bytes: self.http2_max_header_list,
                fields: self.http2_max_fields,
            },
        }
    }
}

/// How backends are treated where objects say nothing else. A program may give arguments other defaults, by `mut_arg`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Backends")]
pub struct BackendArgs {
    /// Longest time to connect to an endpoint
    #[arg(long, env = "SELVEDGE_CONNECT_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// Longest wait for the head of a response once its request is sent
    #[arg(long, env = "SELVEDGE_REQUEST_TIMEOUT", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub request_timeout: Duration,
    /// Longest silence of a backend within a response
    #[arg(long, env = "SELVEDGE_BACKEND_IDLE_TIMEOUT", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub backend_idle_timeout: Duration,
    /// How long an unused connection to an endpoint is kept
    #[arg(long, env = "SELVEDGE_UPSTREAM_IDLE_TIMEOUT", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub upstream_idle_timeout: Duration,
    /// How often an idempotent request is tried again when nothing was answered
    #[arg(long, env = "SELVEDGE_RETRIES", value_name = "N", default_value_t = 1)]
    pub retries: u32,
    /// Retries that a hundred requests to a backend allow
    #[arg(long, env = "SELVEDGE_RETRY_BUDGET_PERCENT", value_name = "N", default_value_t = 20, value_parser = percent())]
    pub retry_budget_percent: u8,
    /// Retries to a backend that are allowed in a second, however few its requests are
    #[arg(long, env = "SELVEDGE_RETRY_BUDGET_PER_SECOND", value_name = "N", default_value_t = 10)]
    pub retry_budget_per_second: u32,
    /// Largest request body that is kept to be sent again
    #[arg(long, env = "SELVEDGE_RETRY_BODY_SIZE", value_name = "SIZE", default_value = "64KiB", value_parser = small_size)]
    pub retry_body_size: u32,
    /// Failures in a row after which an endpoint gets no requests for a while; 0 is never
    #[arg(long, env = "SELVEDGE_EJECTION_FAILURES", value_name = "N", default_value_t = 5)]
    pub ejection_failures: u32,
    /// How long that is at first; each further time without a success between it is twice as long
    #[arg(long, env = "SELVEDGE_EJECTION_TIME", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub ejection_time: Duration,
    /// How long that is at most
    #[arg(long, env = "SELVEDGE_MAX_EJECTION_TIME", value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub max_ejection_time: Duration,
    /// Most endpoints of a backend, in percent, that get no requests because they failed
    #[arg(long, env = "SELVEDGE_MAX_EJECTED_PERCENT", value_name = "N", default_value_t = 50, value_parser = percent())]
    pub max_ejected_percent: u8,
    /// If more endpoints of a backend than this, in percent, have failed so, all of them are used
    #[arg(long, env = "SELVEDGE_PANIC_PERCENT", value_name = "N", default_value_t = 50, value_parser = percent())]
    pub panic_percent: u8,
    /// Zone that this instance is in; endpoints that are meant for it come first
    #[arg(long, env = "SELVEDGE_ZONE", value_name = "NAME")]
    pub zone: Option<String>,
}

fn percent() -> RangedI64ValueParser<u8> {
    value_parser!(u8).range(0..=100)
}

impl BackendArgs {
    /// The same for the model: what holds for backends whose Service says nothing else.
    pub fn backend(&self) -> Backend {
        Backend {
            connect_timeout: self.connect_timeout,
            health: Health {
                failures: self.ejection_failures,
                ejection: self.ejection_time,
                longest_ejection: self.max_ejection_time,
                most_ejected_percent: self.max_ejected_percent,
                panic_percent: self.panic_percent,
                ..Health::default()
            },
            retry_allowance: RetryAllowance {
                percent: self.retry_budget_percent,
                per_second: self.retry_budget_per_second,
            },
            ..Backend::default()
        }
    }

    /// The zone; an empty one is unknown, as where a label of the pod is to say it and the cluster sets none.
    pub fn zone(&self) -> Option<Arc<str>> {
        self.zone.as_deref().filter(|zone| !zone.is_empty()).map(Arc::from)
    }

    /// The same for the model: when requests are sent again.
    pub fn retry(&self) -> Retry {
        Retry { attempts: self.retries, body_bytes: self.retry_body_size, ..Retry::default() }
    }

    /// The same for the model: how long requests may take.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            request: self.request_timeout,
            backend_idle: self.backend_idle_timeout,
            ..Timeouts::default()
        }
    }
}

/// Stopping.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Stopping")]
pub struct DrainArgs {
    /// How long connections are still accepted after SIGTERM, while not ready
    #[arg(long, env = "SELVEDGE_LAMEDUCK", value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub lameduck: Duration,
    /// How long requests in flight may take after that before they are cut
    #[arg(long, env = "SELVEDGE_DRAIN_DEADLINE", value_name = "TIME", default_value = "120s", value_parser = duration)]
    pub drain_deadline: Duration,
}
