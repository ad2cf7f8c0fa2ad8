//! Limits: sizes, numbers and times that a listener holds its clients to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of one listener. Defaults are those of a public edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Connections open at once on the listener.
    pub connections: u32,
    /// Connections open at once from one source address; 0 is no limit.
    pub connections_per_source: u32,
    /// Largest request head; more is answered 431.
    pub head_bytes: u32,
    /// Most header fields of a request over HTTP/1.1, of at most 256; more is answered 431.
    pub fields: u16,
    /// Largest request target; more is answered 414.
    pub target_bytes: u32,
    /// Longest TLS handshake.
    #[serde(with = "super::duration")]
    pub handshake_time: Duration,
    /// Longest time from the first byte of a request head to its last.
    #[serde(with = "super::duration")]
    pub head_time: Duration,
    /// Longest silence while a request body is being read.
    #[serde(with = "super::duration")]
    pub body_idle: Duration,
    /// Lowest average rate of a request body once `body_idle` has passed, in bytes per second; 0 is no limit.
    pub body_min_rate_bytes: u64,
    /// Longest time a connection may stay open between two requests.
    #[serde(with = "super::duration")]
    pub keep_alive_idle: Duration,
    /// Longest time a client may take for a piece of a response, of 128 KiB or what there is.
    #[serde(with = "super::duration")]
    pub write_stall: Duration,
    /// Longest time a tunnel (WebSocket) may carry nothing in either direction.
    #[serde(with = "super::duration")]
    pub tunnel_idle: Duration,
    /// Age after which a connection is closed at the end of a request; each gets up to 10 % more.
    #[serde(with = "super::duration")]
    pub connection_age: Duration,
    /// Drop header fields whose name has an underscore.
    pub drop_underscore_fields: bool,
    /// Reject paths with an escaped slash (`%2f`) instead of passing them on as they are.
    pub reject_escaped_slash: bool,
    /// Limits of HTTP/2 connections.
    pub http2: Http2Limits,
}

/// Limits of one HTTP/2 connection (RFC 9113 §6.5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http2Limits {
    /// Streams open at once.
    pub streams: u32,
    /// Flow-control window of a stream.
    pub stream_window_bytes: u32,
    /// Flow-control window of the connection.
    pub connection_window_bytes: u32,
    /// Largest header list.
    pub header_list_bytes: u32,
    /// Most header fields of a request; more is answered 431.
    pub fields: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_source: 0,
            head_bytes: 16 << 10,
            fields: 100,
            target_bytes: 8 << 10,
            handshake_time: Duration::from_secs(10),
            head_time: Duration::from_secs(10),
            body_idle: Duration::from_secs(60),
            body_min_rate_bytes: 256,
            keep_alive_idle: Duration::from_secs(75),
            write_stall: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(3600),
            connection_age: Duration::from_secs(3600),
            drop_underscore_fields: true,
            reject_escaped_slash: false,
            http2: Http2Limits::default(),
        }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window_bytes: 64 << 10,
            connection_window_bytes: 1 << 20,
            header_list_bytes: 32 << 10,
            fields: 128,
        }
    }
}
