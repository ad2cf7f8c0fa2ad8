//! Durations in serialized form: a number and a unit, like `5s`, `1.5s` or `250ms`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes a duration as a number and a unit.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{duration:?}"))
}

/// Reads a duration of this form.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a duration such as 5s or 250ms")))
}

/// The same of a duration that may be absent.
pub(crate) mod option {
    use super::*;

    /// Writes a duration as a number and a unit, or nothing.
    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.collect_str(&format_args!("{duration:?}")),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration of this form, or nothing.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let wrong = || D::Error::custom(format!("{text:?} is not a duration such as 5s or 250ms"));
        parse(&text).map(Some).ok_or_else(wrong)
    }
}

fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let digits = match unit {
        "s" => 9,
        "ms" => 6,
        "µs" | "us" => 3,
        "ns" => 0,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > digits {
        return None;
    }
    let nanos: u128 = format!("{whole}{fraction:0<digits$}").parse().ok()?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for duration in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_micros(1500),
            Duration::from_millis(250),
            Duration::from_secs(60),
            Duration::new(3600, 7),
            Duration::MAX,
        ] {
            assert_eq!(parse(&format!("{duration:?}")), Some(duration), "{duration:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "5", "s", "5 s", "-5s", "5m", ".5s", "1.2.3s", "0.1234567890s", "99999999999999999999999s"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
