//! Forms: what the value of an annotation looks like.

mod nginx;
mod operation;
mod words;

use std::time::Duration;

use selvedge_common::model::Balance;

pub use nginx::{
    AbsoluteUrl, Cidrs, Codes, Cookie, Count, FieldName, Forgiving, Hosts, MOST_HOSTS, Names, NextUpstream,
    ObjectName, Outcome, Path, Pattern, RedirectCode, Seconds, Size, Target, Text, Time, is_host,
};
pub use operation::Operation;
pub use words::{
    AffinityKind, AffinityMode, AuthType, CanaryBehaviour, HttpVersion, LoadBalance, Protocol, SameSite,
    Satisfy, SecretForm, Switch, VerifyClient,
};

use crate::translate::Via;

/// A type that the value of an annotation is read as.
pub trait Form: Sized {
    /// The form for people, for example `true or false`.
    const NAME: &'static str;

    /// Reads a value; `None` if it does not have the form.
    fn parse(text: &str) -> Option<Self>;

    /// What is wrong with a value that does not have the form, where that is more than the form says.
    fn why_not(_text: &str) -> Option<String> {
        None
    }
}

impl Form for bool {
    const NAME: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Option<Self> {
        // ingress-nginx: as `strconv.ParseBool` of Go reads them, without blanks around.
        match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        }
    }
}

impl Form for Duration {
    const NAME: &'static str =
        "a time such as `500ms`, `30s`, `5m` or `1h30m`, longer than 0 and at most `24h`";

    fn parse(text: &str) -> Option<Self> {
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        let mut sum = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest[..digits].parse().ok()?;
            let unit = &rest[digits..];
            let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
            let part = match &unit[..end] {
                "ms" => Duration::from_millis(number),
                "s" => Duration::from_secs(number),
                "m" => Duration::from_secs(number.checked_mul(60)?),
                "h" => Duration::from_secs(number.checked_mul(3600)?),
                _ => return None,
            };
            sum = sum.checked_add(part)?;
            rest = &unit[end..];
        }
        (sum > Duration::ZERO && sum <= LONGEST).then_some(sum)
    }
}

impl Form for Balance {
    const NAME: &'static str = "`round-robin` or `least-requests`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "round-robin" => Some(Self::RoundRobin),
            "least-requests" => Some(Self::LeastRequests),
            _ => None,
        }
    }
}

impl Form for Via {
    const NAME: &'static str = "`router` or `direct`";

    fn parse(text: &str) -> Option<Self> {
        Via::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_is_written_as_go_reads_it() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(bool::parse(text), Some(true), "{text:?}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(bool::parse(text), Some(false), "{text:?}");
        }
        for text in ["", "yes", "on", "tRUE", " true", "true ", "2"] {
            assert_eq!(bool::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn times_have_a_unit_and_an_end() {
        let table = [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("24h", Some(86_400_000)),
            ("24h1ms", None),
            ("0s", None),
            ("30", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("30 s", None),
            ("30S", None),
            ("18446744073709551615h", None),
            ("99999999999999999999s", None),
            ("3é", None),
        ];
        for (text, want) in table {
            assert_eq!(Duration::parse(text), want.map(Duration::from_millis), "{text:?}");
        }
    }
}
