//! Scenarios: what is asked of the proxies.

use std::str::FromStr;

use crate::{
    contestant::Way,
    load::{Shape, Speech},
};

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// As it is called on the command line and in tables.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// How proxies are asked.
    pub way: Way,
    /// The last part of the path: how long answers are.
    pub answer: &'static str,
    /// What is measured.
    pub measure: Measure,
}

/// What is measured in a scenario.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// Requests.
    Load(Shape),
    /// Memory of connections that are open and silent.
    Idle,
}

const KEPT: Shape = Shape { speech: Speech::Http1, connections: 64, streams: 1, upload: 0, rate: None };
/// So few that an open connection never waits for another one.
const LARGE: Shape = Shape { connections: 16, ..KEPT };

/// All of them, in the order of tables.
pub const SCENARIOS: [Scenario; 13] = [
    Scenario {
        name: "keep-alive",
        about: "HTTP/1.1, 64 connections that are kept, answers of 1 KiB",
        way: Way::Plain,
        answer: "1k",
        measure: Measure::Load(KEPT),
    },
    Scenario {
        name: "fixed-rate",
        about: "the same at 25,000 requests per second, latency from when each was due",
        way: Way::Plain,
        answer: "1k",
        measure: Measure::Load(Shape { rate: Some(25_000), ..KEPT }),
    },
    Scenario {
        name: "tls",
        about: "TLS 1.3, 64 connections that are kept, answers of 1 KiB",
        way: Way::Tls,
        answer: "1k",
        measure: Measure::Load(KEPT),
    },
    Scenario {
        name: "http2",
        about: "HTTP/2 under TLS to HTTP/1.1, 16 connections with 8 requests at once",
        way: Way::Tls,
        answer: "1k",
        measure: Measure::Load(Shape { speech: Speech::Http2, connections: 16, streams: 8, ..KEPT }),
    },
    Scenario {
        name: "body-64k",
        about: "HTTP/1.1, 32 connections, answers of 64 KiB",
        way: Way::Plain,
        answer: "64k",
        measure: Measure::Load(Shape { connections: 32, ..KEPT }),
    },
    Scenario {
        name: "body-1m",
        about: "HTTP/1.1, 16 connections, answers of 1 MiB",
        way: Way::Plain,
        answer: "1m",
        measure: Measure::Load(LARGE),
    },
    Scenario {
        name: "tls-body-1m",
        about: "TLS 1.3, 16 connections, answers of 1 MiB",
        way: Way::Tls,
        answer: "1m",
        measure: Measure::Load(LARGE),
    },
    Scenario {
        name: "connection-each",
        about: "HTTP/1.1, a connection for each request",
        way: Way::Plain,
        answer: "1k",
        measure: Measure::Load(Shape { speech: Speech::Http1Anew, ..KEPT }),
    },
    Scenario {
        name: "handshake-each",
        about: "TLS 1.3, a full handshake for each request (ECDSA P-256, X25519)",
        way: Way::Tls,
        answer: "1k",
        measure: Measure::Load(Shape { speech: Speech::Http1Anew, connections: 32, ..KEPT }),
    },
    Scenario {
        name: "post",
        about: "HTTP/1.1, POST of 16 KiB, answers of 1 KiB",
        way: Way::Plain,
        answer: "1k",
        measure: Measure::Load(Shape { upload: 16 * 1024, ..KEPT }),
    },
    Scenario {
        name: "grpc",
        about: "gRPC-like calls, HTTP/2 in clear text on both sides, 16 connections with 8 calls at once",
        way: Way::Grpc,
        answer: "",
        measure: Measure::Load(Shape { speech: Speech::Grpc, connections: 16, streams: 8, ..KEPT }),
    },
    Scenario {
        name: "idle",
        about: "connections in clear text that are open and silent after one request",
        way: Way::Plain,
        answer: "1k",
        measure: Measure::Idle,
    },
    Scenario {
        name: "idle-tls",
        about: "connections under TLS that are open and silent after one request",
        way: Way::Tls,
        answer: "1k",
        measure: Measure::Idle,
    },
];

impl Scenario {
    /// What ALPN shall agree on.
    pub fn protocol(&self) -> &'static str {
        match self.measure {
            Measure::Load(Shape { speech: Speech::Http2 | Speech::Grpc, .. }) => "h2",
            _ => "http/1.1",
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = SCENARIOS.map(|scenario| scenario.name).join(", ");
        let found = SCENARIOS.into_iter().find(|scenario| scenario.name == text);
        found.ok_or_else(|| format!("no scenario {text:?}; there are: {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_by_their_names() {
        for scenario in SCENARIOS {
            assert_eq!(scenario.name.parse::<Scenario>().unwrap().about, scenario.about);
        }
        assert!("slow".parse::<Scenario>().unwrap_err().starts_with("no scenario \"slow\"; there are: keep"));
    }
}
