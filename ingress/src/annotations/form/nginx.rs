//! Forms that ingress-nginx knows: numbers, times and sizes as it writes them, and lists.

use std::{net::IpAddr, sync::Arc, time::Duration};

use selvedge_common::{
    filter::{Networks, check_token},
    kube::host,
    message::authority,
    model::{HostMatch, matching},
};

use super::Form;
use crate::translate::pattern;

/// Longest time that any annotation may name.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Any text without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub Arc<str>);

impl Form for Text {
    const NAME: &'static str = "text without control characters";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.chars().any(char::is_control)).then(|| Self(text.into()))
    }
}

/// Text that may have several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgiving(pub Arc<str>);

impl Form for Forgiving {
    const NAME: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.into()))
    }
}

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u32);

impl Form for Count {
    const NAME: &'static str = "a whole number from 0 to 4294967295";

    fn parse(text: &str) -> Option<Self> {
        number(text).map(Self)
    }
}

/// A number without sign; Rust would take a `+`.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    (text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A number of seconds, without unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl Form for Seconds {
    const NAME: &'static str = "a whole number of seconds";

    fn parse(text: &str) -> Option<Self> {
        let time = Duration::from_secs(number(text)?);
        (time <= LONGEST * 10).then_some(Self(time))
    }
}

/// A time as nginx writes it; without unit it is in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

impl Form for Time {
    const NAME: &'static str =
        "a number of seconds, or a time such as `500ms`, `90s`, `5m` or `1h 30m`, at most a year";

    fn parse(text: &str) -> Option<Self> {
        let mut sum = Duration::ZERO;
        for part in text.split_ascii_whitespace() {
            sum = sum.checked_add(parts(part)?)?;
        }
        (!text.trim().is_empty() && sum <= LONGEST).then_some(Self(sum))
    }
}

/// One or several numbers with units, without blanks between; only the last one may lack its unit.
fn parts(text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: u64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let seconds = |each: u64| count.checked_mul(each).map(Duration::from_secs);
        let part = match &unit[..end] {
            "ms" => Duration::from_millis(count),
            "" | "s" => seconds(1)?,
            "m" => seconds(60)?,
            "h" => seconds(3600)?,
            "d" => seconds(86_400)?,
            "w" => seconds(604_800)?,
            _ => return None,
        };
        sum = sum.checked_add(part)?;
        rest = &unit[end..];
    }
    Some(sum)
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Form for Size {
    const NAME: &'static str = "a size such as `512`, `8k`, `10m` or `1g`";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let shift = match &text[digits..] {
            "" | "b" | "B" => 0,
            "k" | "K" => 10,
            "m" | "M" => 20,
            "g" | "G" => 30,
            _ => return None,
        };
        number::<u64>(&text[..digits])?.checked_mul(1 << shift).map(Self)
    }
}

/// A path that begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(pub Arc<str>);

impl Form for Path {
    const NAME: &'static str = "a path that begins with `/`";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let sound =
            text.starts_with('/') && text.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b';');
        sound.then(|| Self(text.into()))
    }
}

/// What a path becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(pub Arc<str>);

impl Form for Target {
    const NAME: &'static str =
        "a path or URL without `?`, blanks, quotes, braces and `;`, with `$1` to `$9` for captures";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_odd = |c: char| {
            c.is_control() || c.is_whitespace() || matches!(c, '?' | '{' | '}' | ';' | '"' | '\'' | '\\')
        };
        let captures = text.split('$').skip(1).all(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        (!text.is_empty() && !text.contains(is_odd) && captures).then(|| Self(text.into()))
    }
}

/// A regular expression that a part of a text must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(pub Arc<str>);

impl Form for Pattern {
    const NAME: &'static str =
        "a regular expression of moderate size, without look-around and backreferences";

    fn parse(text: &str) -> Option<Self> {
        Self::check(text).ok().map(|()| Self(text.into()))
    }

    fn why_not(text: &str) -> Option<String> {
        Self::check(text).err()
    }
}

impl Pattern {
    fn check(text: &str) -> Result<(), String> {
        matching::check_regex(text)?;
        matching::check_regex(&pattern::anywhere(text))
    }
}

/// An absolute URL of HTTP, or a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsoluteUrl(pub Arc<str>);

impl Form for AbsoluteUrl {
    const NAME: &'static str = "a URL such as `https://shop.example/path`, or a path, without variables";

    fn parse(text: &str) -> Option<Self> {
        let is_odd =
            |c: char| c.is_control() || c.is_whitespace() || matches!(c, '"' | '\\' | ';' | '{' | '}' | '$');
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let is_path = text.starts_with('/') && !text.starts_with("//");
        let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']));
        ((has_host || is_path) && !text.contains(is_odd)).then(|| Self(text.into()))
    }
}

/// Status of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectCode(pub u16);

impl Form for RedirectCode {
    const NAME: &'static str = "a status from 300 to 308";

    fn parse(text: &str) -> Option<Self> {
        number(text).filter(|code| (300..=308).contains(code)).map(Self)
    }
}

/// Status codes of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes(pub Arc<[u16]>);

impl Form for Codes {
    const NAME: &'static str = "status codes from 400 to 599, separated by commas";

    fn parse(text: &str) -> Option<Self> {
        let code = |text: &str| number(text.trim()).filter(|code| (400..=599).contains(code));
        text.split(',').map(code).collect::<Option<Vec<u16>>>().map(|codes| Self(codes.into()))
    }
}

/// Ranges of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cidrs(pub Networks);

impl Form for Cidrs {
    const NAME: &'static str = "addresses or ranges such as `10.0.0.0/8`, separated by commas";

    fn parse(text: &str) -> Option<Self> {
        let range = |text: &str| {
            let (address, length) = match text.trim().split_once('/') {
                Some((address, length)) => (address, Some(number(length)?)),
                None => (text.trim(), None),
            };
            let address: IpAddr = address.parse().ok()?;
            let most: u8 = if address.is_ipv4() { 32 } else { 128 };
            format!("{address}/{}", length.unwrap_or(most)).parse().ok()
        };
        text.split(',').map(range).collect::<Option<Networks>>().map(Self)
    }
}

/// Names of hosts. One that is none does not take the others away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// Those that are.
    pub hosts: Arc<[HostMatch]>,
    /// Those that are none.
    pub wrong: Arc<[Arc<str>]>,
    /// How many names there are beyond [`MOST_HOSTS`], which are not looked at.
    pub left_out: usize,
}

/// Most names of hosts in one list: each of them becomes a host with all that the first one has.
pub const MOST_HOSTS: usize = 1000;

impl Form for Hosts {
    const NAME: &'static str = "host names such as `shop.example` or `*.shop.example`, separated by commas";

    fn parse(text: &str) -> Option<Self> {
        let mut names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let (good, wrong): (Vec<_>, Vec<_>) =
            names.by_ref().take(MOST_HOSTS).partition(|name| host::parse(name).is_ok());
        let left_out = names.count();
        let hosts: Vec<_> = good.into_iter().filter_map(|name| host::parse(name).ok()).collect();
        let wrong: Vec<Arc<str>> = wrong.into_iter().map(Into::into).collect();
        (!hosts.is_empty() || !wrong.is_empty()).then(|| Self {
            hosts: hosts.into(),
            wrong: wrong.into(),
            left_out,
        })
    }
}

/// Names of header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(pub Arc<[Arc<str>]>);

impl Form for Names {
    const NAME: &'static str = "names of header fields, separated by commas";

    fn parse(text: &str) -> Option<Self> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names = names.map(|name| check_token(name).ok().map(|()| name.into()));
        names.collect::<Option<Vec<_>>>().map(|names| Self(names.into()))
    }
}

/// Name of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(pub Arc<str>);

impl Form for FieldName {
    const NAME: &'static str = "the name of a header field";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        check_token(text).ok().map(|()| Self(text.into()))
    }
}

/// Name of a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie(pub Arc<str>);

impl Form for Cookie {
    const NAME: &'static str = "the name of a cookie";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        check_token(text).ok().map(|()| Self(text.into()))
    }
}

/// An object by its name, with its namespace or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Its namespace; `None` is that of the Ingress.
    pub namespace: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
}

impl Form for ObjectName {
    const NAME: &'static str = "the name of an object, with its namespace before a `/` or without";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let is_name = |text: &str| {
            let fits =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
            !text.is_empty() && text.len() <= 253 && text.bytes().all(fits)
        };
        let sound = is_name(name) && namespace.is_none_or(is_name);
        sound.then(|| Self { namespace: namespace.map(Into::into), name: name.into() })
    }
}

/// Which failures are worth another try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextUpstream(pub Arc<[Outcome]>);

/// How a try may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No connection, or it ended before an answer.
    Error,
    /// No answer in time.
    Timeout,
    /// What is no answer of HTTP.
    InvalidHeader,
    /// An answer with this status.
    Status(u16),
    /// Those of methods that are not idempotent, too.
    NonIdempotent,
    /// None.
    Off,
}

impl Form for NextUpstream {
    const NAME: &'static str = "some of `error`, `timeout`, `invalid_header`, `http_403`, `http_404`, `http_429`, `http_500`, \
        `http_502`, `http_503`, `http_504`, `non_idempotent` and `off`, separated by blanks";

    fn parse(text: &str) -> Option<Self> {
        let outcome = |word: &str| {
            Some(match word {
                "error" => Outcome::Error,
                "timeout" => Outcome::Timeout,
                "invalid_header" => Outcome::InvalidHeader,
                "non_idempotent" => Outcome::NonIdempotent,
                "off" => Outcome::Off,
                "http_403" | "http_404" | "http_429" | "http_500" | "http_502" | "http_503" | "http_504" => {
                    Outcome::Status(word.strip_prefix("http_")?.parse().ok()?)
                }
                _ => return None,
            })
        };
        text.split_ascii_whitespace().map(outcome).collect::<Option<Vec<_>>>().map(|all| Self(all.into()))
    }
}

/// Whether a text can be a `Host`.
pub fn is_host(text: &str) -> bool {
    authority::parse(text.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_lack_their_unit() {
        let table = [
            ("60", Some(60_000)),
            ("0", Some(0)),
            ("90s", Some(90_000)),
            ("500ms", Some(500)),
            ("1h 30m", Some(5_400_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("", None),
            (" ", None),
            ("abc", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("99999999999", None),
            ("99999999999999999999", None),
            ("5é", None),
        ];
        for (text, want) in table {
            assert_eq!(Time::parse(text), want.map(|ms| Time(Duration::from_millis(ms))), "{text:?}");
        }
    }

    #[test]
    fn sizes_have_the_units_of_nginx() {
        let table = [
            ("8k", Some(8192)),
            ("1M", Some(1 << 20)),
            ("2g", Some(2 << 30)),
            ("0", Some(0)),
            ("7b", Some(7)),
        ];
        for (text, want) in table {
            assert_eq!(Size::parse(text), want.map(Size), "{text:?}");
        }
        for text in ["", "k", "8kb", "-1", "1.5m", "99999999999999999999", "99999999999g"] {
            assert_eq!(Size::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn lists_are_sound_as_a_whole_or_not_at_all() {
        assert!(Cidrs::parse("10.0.0.0/8, 192.0.2.1,2001:db8::/32").is_some());
        for text in ["10.0.0.0/33", "10.0.0.0/8,x", "", "10.0.0.0/8,", "10.0.0.0/-1"] {
            assert_eq!(Cidrs::parse(text), None, "{text:?}");
        }
        assert!(Codes::parse("404, 503").is_some());
        for text in ["200", "404,abc", "404,"] {
            assert_eq!(Codes::parse(text), None, "{text:?}");
        }
        let hosts = Hosts::parse("a.test, *.b.test, ~^a[0-9]+$,a.test:80").unwrap();
        assert_eq!((hosts.hosts.len(), hosts.wrong.len()), (2, 2));
        assert_eq!(Hosts::parse(","), None);
        let hosts = Hosts::parse(&"a.test,".repeat(MOST_HOSTS + 2)).unwrap();
        assert_eq!((hosts.hosts.len(), hosts.left_out), (MOST_HOSTS, 2));
        assert!(NextUpstream::parse("error timeout http_503 non_idempotent").is_some());
        for text in ["magic", "http_418", "error, timeout"] {
            assert_eq!(NextUpstream::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn targets_hold_captures_and_no_code() {
        for text in ["/", "/$1", "/new/$2$3", "https://x.test/$1"] {
            assert!(Target::parse(text).is_some(), "{text:?}");
        }
        for text in ["", "/x?y=1", "/x; return 200", "/$", "/$uri", "/a b", "/\"", "/{x}"] {
            assert_eq!(Target::parse(text), None, "{text:?}");
        }
    }
}
