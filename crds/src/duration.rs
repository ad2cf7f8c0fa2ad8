//! A length of time as it is written in objects: `250ms`, `5s`, `1m30s`.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the API server demands of the text, as Gateway API does (GEP-2257).
const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
/// The longest text that fits the pattern.
const LONGEST: u32 = 28;
/// Names of units with their length in milliseconds, longest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A length of time, written as Gateway API durations are (GEP-2257).
///
/// One to four numbers of at most five digits, each with one of the units `h`, `m`, `s` and `ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// The text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoDuration(String);

impl Duration {
    /// The same as a number with its unit; never more precise than a millisecond.
    pub fn get(self) -> std::time::Duration {
        self.0
    }

    /// So many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = NoDuration;

    fn from_str(text: &str) -> Result<Self, NoDuration> {
        let wrong = || NoDuration(text.chars().take(LONGEST as usize).collect());
        let (mut rest, mut milliseconds) = (text, 0);
        for _ in 0..4 {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 5 {
                return Err(wrong());
            }
            let (number, after) = rest.split_at(digits);
            let letters = after.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, after) = after.split_at(letters);
            let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            milliseconds += number.parse::<u64>().map_err(|_| wrong())? * length;
            rest = after;
            if rest.is_empty() {
                return Ok(Self::from_millis(milliseconds));
            }
        }
        Err(wrong())
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in UNITS {
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl fmt::Display for NoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no duration; write one such as 250ms, 5s or 1m30s", self.0)
    }
}

impl std::error::Error for NoDuration {}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": LONGEST,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('{PATTERN}')"),
                "message": "write a duration such as 250ms, 5s or 1m30s",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_gateway_api_reads_it() {
        let cases = [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("2h1m1s1ms", Some(7_261_001)),
            ("99999h", Some(359_996_400_000)),
            ("30s30s", Some(60_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("5 s", None),
            ("1d", None),
            ("100000s", None),
            ("1s1s1s1s1s", None),
            ("5S", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(text.parse().ok(), milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["0s", "250ms", "5s", "1m30s", "2h1m1s1ms"] {
            let read: Duration = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), text);
        }
    }

    #[test]
    fn an_error_says_what_to_write() {
        let error = serde_json::from_value::<Duration>("fast".into()).unwrap_err();
        assert_eq!(error.to_string(), "`fast` is no duration; write one such as 250ms, 5s or 1m30s");
    }
}
