//! Traces: which requests are recorded as spans, and where spans are sent (OpenTelemetry).

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::filter::Template;

/// Spans that wait to be sent at most, whatever is asked for: each of them takes up to a few KiB.
const MOST_QUEUED: u32 = 65_536;
/// Shortest time between two batches.
const SHORTEST_DELAY: Duration = Duration::from_millis(10);
/// Longest time between two batches.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);
/// What [`Sampler::Ratio`] counts in.
const BILLION: f64 = 1e9;

/// Which requests are traced and where their spans are sent, for all routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracing {
    /// Who gets the spans.
    pub collector: Collector,
    /// What the program is called in traces, `service.name`.
    pub service: Arc<str>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// Record a request whose caller's trace is recorded, and no other with a caller's trace; the sampler decides
    /// about new traces only.
    pub parent_based: bool,
    /// How requests are traced where their route does not say it.
    pub requests: RouteTracing,
    /// Spans that wait to be sent at most; further ones are dropped.
    pub queue: u32,
    /// Spans that are sent at once at most.
    pub batch: u32,
    /// Longest time that a span waits for others to be sent with.
    #[serde(with = "super::duration")]
    pub delay: Duration,
}

/// How the requests of a route are traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTracing {
    /// Whether they are traced; those that are not go to backends with the trace context that they came with.
    pub traced: bool,
    /// Go on with the trace that a request says it belongs to (`traceparent`); without it each request begins a new one.
    pub continues: bool,
    /// Name of their spans; `None` is the method and the path of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Template>,
}

/// Who gets spans, over OTLP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collector {
    /// What it speaks.
    pub protocol: OtlpProtocol,
    /// Over TLS, with a certificate that the system's authorities vouch for.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub secure: bool,
    /// Its name or address; one of IPv6 without brackets.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// Path that spans are posted to, over HTTP; gRPC has one of its own.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub path: Arc<str>,
}

/// How spans are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OtlpProtocol {
    /// Calls of gRPC over HTTP/2.
    #[default]
    Grpc,
    /// Posts of protobuf over HTTP/1.1.
    Http,
}

/// Which new traces are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sampler {
    /// All of them.
    #[default]
    AlwaysOn,
    /// None of them.
    AlwaysOff,
    /// A share of them by the id of the trace, so that all programs with the same share decide alike.
    Ratio {
        /// How many of 1,000,000,000 are.
        per_billion: u32,
    },
}

impl Tracing {
    /// Sends all spans there, with defaults for all else.
    pub fn new(collector: Collector, service: &str) -> Self {
        Self {
            collector,
            service: service.into(),
            sampler: Sampler::default(),
            parent_based: true,
            requests: RouteTracing::default(),
            queue: 2048,
            batch: 512,
            delay: Duration::from_secs(5),
        }
    }

    /// The same with a queue, batches and pauses that make sense.
    pub fn bounded(self) -> Self {
        let queue = self.queue.clamp(1, MOST_QUEUED);
        let batch = self.batch.clamp(1, queue);
        Self { queue, batch, delay: self.delay.clamp(SHORTEST_DELAY, LONGEST_DELAY), ..self }
    }
}

impl Default for RouteTracing {
    fn default() -> Self {
        Self { traced: true, continues: true, operation: None }
    }
}

impl Sampler {
    /// The share of traces from 0 to 1.
    pub fn ratio(share: f64) -> Self {
        // What is no number becomes 0.
        Self::Ratio { per_billion: (share.clamp(0.0, 1.0) * BILLION).round() as u32 }
    }
}

impl OtlpProtocol {
    /// The port that it usually has.
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::Http => 4318,
        }
    }
}

impl Collector {
    /// A collector in clear text at this host, a name or an address.
    ///
    /// # Errors
    /// What is wrong with the host or the port.
    pub fn at(protocol: OtlpProtocol, host: &str, port: u16) -> Result<Self, String> {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name = |host: &str| {
            let is_part = |part: &str| !part.is_empty() && part.len() <= 63;
            let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            host.len() <= 253
                && host.bytes().all(of_name)
                && host.trim_end_matches('.').split('.').all(is_part)
        };
        if host.parse::<std::net::IpAddr>().is_err() && !is_name(host) {
            return Err(format!("{host:?} is no host; write a name or an address without scheme and port"));
        }
        if port == 0 {
            return Err("0 is no port".to_owned());
        }
        let path = match protocol {
            OtlpProtocol::Grpc => "",
            OtlpProtocol::Http => "/v1/traces",
        };
        Ok(Self { protocol, secure: false, host: host.into(), port, path: path.into() })
    }

    /// Reads a URL such as `http://otel.example:4317`; without a port it is the usual one of the scheme. Over HTTP a path
    /// may come before `/v1/traces`; gRPC has one of its own, so there it means nothing.
    ///
    /// # Errors
    /// What is wrong with it, and how it would be right.
    pub fn of_url(protocol: OtlpProtocol, url: &str) -> Result<Self, String> {
        let wrong = || {
            let port = protocol.usual_port();
            format!("{url:?} is no URL of a collector; write it like http://otel.example:{port}")
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (secure, usual) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(wrong()),
        };
        let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let base = base.trim_end_matches('/');
        let of_path = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'<' | b'>');
        if !base.bytes().all(of_path) {
            return Err(wrong());
        }
        let after_host = authority.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match authority[after_host..].rfind(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(after_host + colon);
                (host, port[1..].parse().map_err(|_| wrong())?)
            }
            None => (authority, usual),
        };
        if host.contains(':') && !host.starts_with('[') {
            return Err(wrong());
        }
        let at = Self::at(protocol, host, port).map_err(|_| wrong())?;
        let path = match protocol {
            OtlpProtocol::Grpc => at.path,
            OtlpProtocol::Http => format!("{base}{}", at.path).into(),
        };
        Ok(Self { secure, path, ..at })
    }

    /// Host and port as `Host` has them.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_collectors_have_a_scheme_and_no_more_than_a_port_and_a_path() {
        use OtlpProtocol::{Grpc, Http};
        let read = |protocol, url| {
            let collector = Collector::of_url(protocol, url).ok()?;
            Some((collector.secure, collector.authority(), collector.path.to_string()))
        };
        let row = |secure, authority: &str, path: &str| Some((secure, authority.into(), path.into()));
        for (protocol, url, wanted) in [
            (Grpc, "http://otel.example:4317", row(false, "otel.example:4317", "")),
            (Grpc, "http://otel.example:4317/", row(false, "otel.example:4317", "")),
            (Grpc, "https://otel.example", row(true, "otel.example:443", "")),
            (Grpc, "http://[::1]:4317", row(false, "[::1]:4317", "")),
            (Grpc, "http://[::1]", row(false, "[::1]:80", "")),
            (Http, "http://10.0.0.1:4318", row(false, "10.0.0.1:4318", "/v1/traces")),
            (Http, "https://otel.example/base/", row(true, "otel.example:443", "/base/v1/traces")),
            (Grpc, "http://otel.example:4317/path", row(false, "otel.example:4317", "")),
            (Http, "http://otel.example/?a", None),
            (Grpc, "otel.example:4317", None),
            (Grpc, "grpc://otel.example:4317", None),
            (Grpc, "http://", None),
            (Grpc, "http://user@otel.example", None),
            (Grpc, "http://otel.example:0", None),
            (Grpc, "http://otel.example:65536", None),
            (Grpc, "http://otel..example:4317", None),
            (Grpc, "http://a\r\nb:4317", None),
            (Grpc, "http://::1:4317", None),
        ] {
            assert_eq!(read(protocol, url), wanted, "{url}");
        }
        assert!(
            Collector::at(Grpc, "http://otel", 4317).is_err() && Collector::at(Grpc, "otel:1", 1).is_err()
        );
    }

    #[test]
    fn queues_and_batches_make_sense() {
        let collector = Collector::at(OtlpProtocol::Grpc, "otel", 4317).unwrap();
        let usual = Tracing::new(collector, "edge");
        assert_eq!(usual.clone().bounded(), usual);
        let odd = Tracing { queue: 0, batch: 9, delay: Duration::ZERO, ..usual.clone() }.bounded();
        assert_eq!((odd.queue, odd.batch, odd.delay), (1, 1, SHORTEST_DELAY));
        let large = Tracing { queue: u32::MAX, batch: u32::MAX, ..usual }.bounded();
        assert_eq!((large.queue, large.batch), (MOST_QUEUED, MOST_QUEUED));
    }

    #[test]
    fn a_ratio_is_a_share_whatever_is_given() {
        let counts = |share| match Sampler::ratio(share) {
            Sampler::Ratio { per_billion } => per_billion,
            _ => u32::MAX,
        };
        assert_eq!(counts(0.01), 10_000_000);
        assert_eq!([counts(-1.0), counts(2.0), counts(f64::NAN)], [0, 1_000_000_000, 0]);
    }
}
