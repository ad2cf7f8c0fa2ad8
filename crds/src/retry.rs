//! Which requests are tried again, and how often.

use std::{borrow::Cow, fmt, str::FromStr};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::duration::Duration;

/// Which requests are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How often a request is tried again after the first try. 0: never.
    #[schemars(range(max = 10))]
    #[serde(default = "one")]
    pub attempts: u8,
    /// After which outcomes: `connect-failure`, `reset`, `timeout`, `5xx`, `gateway-error` (502, 503, 504),
    /// `retriable-4xx` (409), a status from 400 to 599, or a gRPC status: `cancelled`, `deadline-exceeded`,
    /// `internal`, `resource-exhausted`, `unavailable`. Absent or empty: what is tried again without a rule, which is
    /// a failed connection, and for idempotent requests a reset before the response.
    // Not `on`: what reads YAML 1.1, as kubectl does, takes that word for `true`.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<RetryOn>,
    /// How long to wait before the second try, more before each further one, with jitter. Absent: 25ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
    /// How much all requests of the rule may be tried again. What is absent is as policies say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetryBudget>,
    /// Whether requests such as POST, which may not bear being done twice, are tried again too after a part of them
    /// was sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub non_idempotent: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: one(), when: Vec::new(), backoff: None, budget: None, non_idempotent: false }
    }
}

/// How much may be tried again, so that retries do not break what is only slow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// So many retries for a hundred requests. Absent: 20.
    #[schemars(range(max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// So many retries in a second beside those. Absent: 10.
    #[schemars(range(max = 100_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
}

/// An outcome after which a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetryOn {
    /// `connect-failure`: no connection was made, so nothing was sent.
    ConnectFailure,
    /// `reset`: the connection ended before the head of the response.
    Reset,
    /// `timeout`: the time of the try ran out before the head of the response.
    Timeout,
    /// `5xx`: any status from 500 to 599, or no response.
    ServerError,
    /// `gateway-error`: status 502, 503 or 504.
    GatewayError,
    /// `retriable-4xx`: status 409.
    RetriableClientError,
    /// A status from 400 to 599.
    Status(u16),
    /// gRPC status 1, `cancelled`.
    Cancelled,
    /// gRPC status 4, `deadline-exceeded`.
    DeadlineExceeded,
    /// gRPC status 13, `internal`.
    Internal,
    /// gRPC status 8, `resource-exhausted`.
    ResourceExhausted,
    /// gRPC status 14, `unavailable`.
    Unavailable,
}

/// Names of outcomes; a status is written as its number.
const NAMES: [(&str, RetryOn); 11] = [
    ("connect-failure", RetryOn::ConnectFailure),
    ("reset", RetryOn::Reset),
    ("timeout", RetryOn::Timeout),
    ("5xx", RetryOn::ServerError),
    ("gateway-error", RetryOn::GatewayError),
    ("retriable-4xx", RetryOn::RetriableClientError),
    ("cancelled", RetryOn::Cancelled),
    ("deadline-exceeded", RetryOn::DeadlineExceeded),
    ("internal", RetryOn::Internal),
    ("resource-exhausted", RetryOn::ResourceExhausted),
    ("unavailable", RetryOn::Unavailable),
];

/// The text names no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRetryOn(String);

impl FromStr for RetryOn {
    type Err = NoRetryOn;

    fn from_str(text: &str) -> Result<Self, NoRetryOn> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, on)| *on);
        let status = || text.parse().ok().filter(|status| (400..=599).contains(status)).map(Self::Status);
        named.or_else(status).ok_or_else(|| NoRetryOn(text.chars().take(32).collect()))
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, on)| on == self) {
            Some((name, _)) => f.write_str(name),
            None => match self {
                Self::Status(status) => write!(f, "{status}"),
                other => write!(f, "{other:?}"),
            },
        }
    }
}

impl fmt::Display for NoRetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is nothing to retry on; write a status from 400 to 599 or one of ", self.0)?;
        let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

impl std::error::Error for NoRetryOn {}

impl Serialize for RetryOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Status(status) => serializer.serialize_u16(*status),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for RetryOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = RetryOn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status or the name of an outcome, such as connect-failure")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RetryOn, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RetryOn, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RetryOn, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for RetryOn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| format!("'{name}'")).collect();
        let names = names.join(", ");
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": format!(
                    "type(self) == int ? (self >= 400 && self <= 599) : \
                     (self in [{names}] || self.matches('^[45][0-9][0-9]$'))"
                ),
                "message": format!(
                    "retry on a status from 400 to 599 or one of {}",
                    names.replace('\'', "")
                ),
            }],
        })
    }
}

fn one() -> u8 {
    1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_read_as_number_and_as_text() {
        let read: Vec<RetryOn> =
            serde_json::from_value(json!(["connect-failure", 503, "503", "5xx", "unavailable"])).unwrap();
        let expected = [
            RetryOn::ConnectFailure,
            RetryOn::Status(503),
            RetryOn::Status(503),
            RetryOn::ServerError,
            RetryOn::Unavailable,
        ];
        assert_eq!(read, expected);
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written, json!(["connect-failure", 503, 503, "5xx", "unavailable"]));
    }

    #[test]
    fn what_is_no_outcome_is_refused_with_those_there_are() {
        for wrong in [json!("conect-failure"), json!(200), json!("399"), json!(600), json!(-1), json!("")] {
            let error = serde_json::from_value::<RetryOn>(wrong.clone()).unwrap_err().to_string();
            assert!(
                error.contains(
                    "nothing to retry on; write a status from 400 to 599 or one of connect-failure"
                )
            );
        }
    }
}
