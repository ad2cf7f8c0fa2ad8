//! Retries: which requests are sent again, how often and after what pause.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a request that failed is sent again, to another endpoint if there is one.
///
/// What the allowance of the backend does not cover and what cannot be sent again in time is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Further tries after the first; 0 switches retries off.
    pub attempts: u32,
    /// Largest body that is kept to be sent again. Requests with larger ones are sent once.
    pub body_bytes: u32,
    /// Which failures are worth another try.
    #[serde(skip_serializing_if = "super::is_default")]
    pub on: RetryOn,
    /// Base of the pause before another try: before the n-th one a random time of up to `2^(n-1)` times this, and
    /// never of more than ten times this. 0 tries again at once.
    #[serde(with = "super::duration", skip_serializing_if = "Duration::is_zero")]
    pub backoff: Duration,
    /// Time since the first try began after which no other one begins; 0 is none.
    #[serde(with = "super::duration", skip_serializing_if = "Duration::is_zero")]
    pub within: Duration,
    /// Send requests again whose method is not idempotent (RFC 9110 §9.2.2), although the backend may have carried
    /// them out. Those of which nothing was sent are tried again in any case.
    #[serde(skip_serializing_if = "super::is_default")]
    pub non_idempotent: bool,
}

/// Which failures are worth another try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryOn {
    /// No byte of the request was sent: the endpoint could not be reached.
    #[serde(skip_serializing_if = "is_true")]
    pub connect: bool,
    /// The endpoint closed the connection before the first byte of an answer.
    #[serde(skip_serializing_if = "is_true")]
    pub reset: bool,
    /// The endpoint did not answer within the time for one try.
    #[serde(skip_serializing_if = "super::is_default")]
    pub timeout: bool,
    /// Answers with one of these status codes. That of the last try reaches the client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
    /// Answers of gRPC that are nothing but one of these codes of status.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grpc: Vec<u8>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 1,
            body_bytes: 64 << 10,
            on: RetryOn::default(),
            backoff: Duration::ZERO,
            within: Duration::ZERO,
            non_idempotent: false,
        }
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self { connect: true, reset: true, timeout: false, statuses: Vec::new(), grpc: Vec::new() }
    }
}

fn is_true(value: &bool) -> bool {
    *value
}
