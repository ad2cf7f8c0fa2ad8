//! Forms that only the ConfigMap has.

use std::sync::Arc;

use selvedge_common::{
    filter::{SubjectPattern, Template, check_token},
    message::pattern::SearchPattern,
    model::{Collector, OtlpProtocol},
};

use crate::annotations::{Form, form::Count};

/// Beginnings of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths(pub Arc<[Arc<str>]>);

impl Form for Paths {
    const NAME: &'static str = "beginnings of paths such as `/public`, separated by commas";

    fn parse(text: &str) -> Option<Self> {
        let paths: Vec<_> = text.split(',').map(str::trim).filter(|path| !path.is_empty()).collect();
        let sound =
            paths.iter().all(|path| path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()));
        (sound && !paths.is_empty()).then(|| Self(paths.into_iter().map(Into::into).collect()))
    }
}

/// Most values of one list.
const MOST_VALUES: usize = 1000;

/// Whole values, or regular expressions that a part of a value must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values(pub Arc<[SubjectPattern]>);

impl Form for Values {
    const NAME: &'static str = "at most 1000 values, separated by commas; one that begins with `~` is a regular expression, and with `~*` one in either case";

    fn parse(text: &str) -> Option<Self> {
        let values = text.split(',').map(str::trim).filter(|value| !value.is_empty());
        // Each of them is compiled.
        if values.clone().count() > MOST_VALUES {
            return None;
        }
        let pattern = |value: &str| match (value.strip_prefix("~*"), value.strip_prefix('~')) {
            (Some(regex), _) => SubjectPattern::new(&format!("(?i:{})", whole(regex)?)).ok(),
            (None, Some(regex)) => SubjectPattern::new(regex).ok(),
            (None, None) => SubjectPattern::new(&format!("^(?i:{})$", escape(value))).ok(),
        };
        values.map(pattern).collect::<Option<Vec<_>>>().map(|values| Self(values.into()))
    }
}

/// A regular expression that is sound on its own: `a)|(b` must not become so by what is put around it.
fn whole(regex: &str) -> Option<&str> {
    SubjectPattern::new(regex).ok().map(|_| regex)
}

/// A regular expression for just this text.
fn escape(text: &str) -> String {
    let escaped = |c: char| match c {
        c if c.is_ascii_alphanumeric() || !c.is_ascii() || c == ' ' => c.to_string(),
        c => format!("\\x{:02x}", u32::from(c)),
    };
    text.chars().map(escaped).collect()
}

/// Versions of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsVersions(pub Arc<[Arc<str>]>);

impl Form for TlsVersions {
    const NAME: &'static str =
        "some of `SSLv2`, `SSLv3`, `TLSv1`, `TLSv1.1`, `TLSv1.2` and `TLSv1.3`, separated by blanks";

    fn parse(text: &str) -> Option<Self> {
        const KNOWN: [&str; 6] = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
        let words = text.split_ascii_whitespace();
        let words = words.map(|word| KNOWN.contains(&word).then(|| word.into()));
        words.collect::<Option<Vec<_>>>().map(|words| Self(words.into()))
    }
}

/// How many buffers, and how large each of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// How many.
    pub count: u64,
    /// Bytes of each.
    pub bytes: u64,
}

impl Form for Buffers {
    const NAME: &'static str = "a number of buffers and the size of each such as `4 8k`";

    fn parse(text: &str) -> Option<Self> {
        let (count, size) = text.trim().split_once(' ')?;
        let count = crate::annotations::form::Count::parse(count)?.0;
        let bytes = crate::annotations::form::Size::parse(size)?.0;
        (count > 0 && bytes > 0).then_some(Self { count: count.into(), bytes })
    }
}

/// Status of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Form for Status {
    const NAME: &'static str = "a status from 400 to 599";

    fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().filter(|status| (400..=599).contains(status)).map(Self)
    }
}

/// How much of what annotations can do harm is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Risk;

impl Form for Risk {
    const NAME: &'static str = "`Critical`, `High`, `Medium` or `Low`";

    fn parse(text: &str) -> Option<Self> {
        matches!(text.trim(), "Critical" | "High" | "Medium" | "Low").then_some(Self)
    }
}

/// A number with a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction(pub f64);

impl Form for Fraction {
    const NAME: &'static str = "a number from 0 to 1";

    fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Self)
    }
}

/// Host of a collector of traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorHost(pub Arc<str>);

impl Form for CollectorHost {
    const NAME: &'static str = "the name or address of a host, without scheme and port";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        Collector::at(OtlpProtocol::Grpc, text, 1).is_ok().then(|| Self(text.into()))
    }
}

/// A whole number that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positive(pub u32);

impl Form for Positive {
    const NAME: &'static str = "a whole number from 1 to 4294967295";

    fn parse(text: &str) -> Option<Self> {
        Count::parse(text).filter(|count| count.0 > 0).map(|count| Self(count.0))
    }
}

/// How much effort gzip makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GzipLevel(pub u8);

impl Form for GzipLevel {
    const NAME: &'static str = "a whole number from 1 to 9";

    fn parse(text: &str) -> Option<Self> {
        text.trim().parse::<u8>().ok().filter(|level| (1..=9).contains(level)).map(Self)
    }
}

/// How much effort Brotli makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrotliLevel(pub u8);

impl Form for BrotliLevel {
    const NAME: &'static str = "a whole number from 0 to 11";

    fn parse(text: &str) -> Option<Self> {
        text.trim().parse::<u8>().ok().filter(|level| *level <= 11).map(Self)
    }
}

/// Types of media, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaTypes(pub Arc<[Arc<str>]>);

impl Form for MediaTypes {
    const NAME: &'static str =
        "types such as `text/css` without parameters, separated by blanks, or `*` for all";

    fn parse(text: &str) -> Option<Self> {
        let is_type = |word: &str| {
            let halves = word.split_once('/').map(|(one, other)| [one, other]);
            word == "*" || halves.is_some_and(|halves| halves.iter().all(|half| check_token(half).is_ok()))
        };
        let words = text.split_ascii_whitespace();
        let types = words.map(|word| is_type(word).then(|| word.to_ascii_lowercase().into()));
        types.collect::<Option<Arc<[_]>>>().filter(|types| types.len() <= MOST_VALUES).map(Self)
    }
}

/// What stands in `User-Agent` of some clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPattern(pub SearchPattern);

impl Form for ClientPattern {
    const NAME: &'static str = "a regular expression, or `msie6`";

    fn parse(text: &str) -> Option<Self> {
        // nginx: a name for such clients.
        let pattern = if text.trim() == "msie6" { r"MSIE [4-6]\." } else { text.trim() };
        SearchPattern::new(pattern).ok().map(Self)
    }

    fn why_not(text: &str) -> Option<String> {
        SearchPattern::new(text.trim()).err().map(|why| why.to_string())
    }
}

/// What requests are counted by; `None` is the address of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitKey(pub Option<Template>);

impl Form for LimitKey {
    const NAME: &'static str = "a text with variables such as `$http_x_user`";

    fn parse(text: &str) -> Option<Self> {
        let template = Template::parse(&with_readable_address(text)).ok()?;
        let is_address = matches!(&**template.text(), "$remote_addr" | "${remote_addr}");
        Some(Self((!is_address).then_some(template)))
    }

    fn why_not(text: &str) -> Option<String> {
        Template::parse(&with_readable_address(text)).err().map(|why| why.to_string())
    }
}

/// nginx: the same address in fewer bytes, which makes no other key.
fn with_readable_address(text: &str) -> String {
    text.trim()
        .replace("$binary_remote_addr", "$remote_addr")
        .replace("${binary_remote_addr}", "${remote_addr}")
}

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Form for Port {
    const NAME: &'static str = "a port from 1 to 65535";

    fn parse(text: &str) -> Option<Self> {
        Count::parse(text).and_then(|port| port.0.try_into().ok()).filter(|port| *port > 0).map(Self)
    }
}

/// Which new traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerName {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A share.
    TraceIdRatioBased,
}

impl Form for SamplerName {
    const NAME: &'static str = "`AlwaysOn`, `AlwaysOff` or `TraceIdRatioBased`";

    fn parse(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "AlwaysOn" => Self::AlwaysOn,
            "AlwaysOff" => Self::AlwaysOff,
            "TraceIdRatioBased" => Self::TraceIdRatioBased,
            _ => return None,
        })
    }
}
