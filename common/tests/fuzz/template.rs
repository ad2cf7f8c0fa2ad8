//! Templates against a model that looks each variable up in lists, and against their own text.

use std::{net::IpAddr, sync::LazyLock, time::Duration, time::Instant};

use regex::Regex;
use selvedge_common::{
    filter::{FilterContext, RateLimit, RateMemory, Template},
    message::{RequestHead, Scheme},
};

/// The query of the request.
const QUERY: &str = "d=1&E=/%2F&e=2&d&x=%0d%0a";
/// The fields of the request.
const FIELDS: [(&str, &str); 6] = [
    ("Host", "A.test:8443"),
    ("X-One-Two", "1"),
    ("x-one-two", "2"),
    ("Cookie", "Sid=a=b; other=c"),
    ("cookie", "sid=z"),
    ("X_Low", "\t\u{e9}"),
];
/// What groups of a pattern matched.
const GROUPS: [&str; 3] = ["one", "t\r\nw\0o", ""];
/// Variables without a name of the user's behind them.
const PLAIN: [(&str, &str); 16] = [
    ("args", QUERY),
    ("query_string", QUERY),
    ("best_http_host", "A.test:8443"),
    ("http_host", "A.test:8443"),
    ("host", "a.test"),
    ("is_args", "?"),
    ("remote_addr", "192.0.2.7"),
    ("request_method", "POST"),
    ("request_uri", "/x/../b%20c?d=1&E=/%2F&e=2&d&x=%0d%0a"),
    ("escaped_request_uri", "%2Fx%2F..%2Fb%2520c%3Fd%3D1%26E%3D%2F%252F%26e%3D2%26d%26x%3D%250d%250a"),
    ("scheme", "https"),
    ("pass_access_scheme", "https"),
    ("server_port", "8443"),
    ("pass_server_port", "8443"),
    ("pass_port", "8443"),
    ("uri", "/b%20c"),
];

/// A variable at the begin of a text: in braces, a group of a pattern, or a word.
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)^\$(?:\{([^}]*)\}|([1-9])|([A-Za-z0-9_]+))").expect("it is one"));

/// What limits of the rate remember: nothing.
#[derive(Debug)]
pub struct NoMemory;

impl RateMemory for NoMemory {
    fn take(&self, _: &RateLimit, _: &[u8], _: Instant) -> Result<(), Duration> {
        Ok(())
    }
}

/// What filters know of a request over TLS.
pub fn context(rates: &NoMemory) -> FilterContext<'_> {
    FilterContext {
        client: IpAddr::from([192, 0, 2, 7]),
        caller: None,
        certificate: None,
        scheme: Scheme::Https,
        port: 8443,
        https_port: 8443,
        now: Instant::now(),
        random: 0,
        rates,
        asked: None,
    }
}

/// Takes a text apart and fills it in.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (read, wanted) = (Template::with_captures(text), model(text));
    assert_eq!(read.is_ok(), wanted.is_some(), "{text:?}: {read:?}");
    let told = read.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert!(!told.contains(['\r', '\n', '\0']), "{text:?}: {told:?}");
    let (Ok(template), Some((filled, groups))) = (read, wanted) else {
        assert!(Template::parse(text).is_err(), "{text:?}");
        return;
    };
    assert_eq!(usize::from(template.captures()), groups, "{text:?}");
    assert_eq!(Template::parse(text).is_ok(), groups == 0, "{text:?}");
    assert_eq!(template.to_string(), text);
    let written = serde_json::to_string(&template).expect("it is text");
    assert_eq!(serde_json::from_str::<Template>(&written).expect("it was one"), template);
    let mut out = Vec::new();
    template.render((&context(&NoMemory), &request()), &GROUPS.map(str::as_bytes), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), filled, "{text:?}");
    assert!(!out.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')), "{text:?}");
}

fn request() -> RequestHead {
    let mut head = RequestHead::default();
    head.set_method(b"POST");
    head.set_host(b"A.test:8443").expect("it is a host");
    head.set_origin(format!("/x/../b%20c?{QUERY}").as_bytes(), false).expect("it has a canonical form");
    for (name, value) in FIELDS {
        head.fields.push(name.as_bytes(), value.as_bytes());
    }
    head
}

/// What comes out, and the largest group that is named; `None` if the text is no template.
fn model(text: &str) -> Option<(String, usize)> {
    let (mut out, mut groups, mut count, mut rest) = (String::new(), 0, 0, text);
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        if let Some(behind) = rest[at..].strip_prefix("${$}") {
            out.push('$');
            rest = behind;
            continue;
        }
        let found = VARIABLE.captures(&rest[at..])?;
        let name = found.iter().skip(1).flatten().next()?.as_str();
        let is_word = found.get(3).is_some();
        match name
            .parse::<usize>()
            .ok()
            .filter(|number| (1..=9).contains(number) && name.len() == 1 && !is_word)
        {
            Some(number) => {
                groups = groups.max(number);
                out.extend(GROUPS.get(number - 1).into_iter().flat_map(|text| text.chars()).filter(is_kept));
            }
            None => out += &variable(name)?,
        }
        count += 1;
        rest = &rest[at + found[0].len()..];
    }
    out += rest;
    let is_sound =
        text.len() <= 4096 && count <= 32 && text.bytes().all(|b| b == b'\t' || !b.is_ascii_control());
    is_sound.then_some((out, groups))
}

fn is_kept(letter: &char) -> bool {
    !matches!(letter, '\r' | '\n' | '\0')
}

fn variable(name: &str) -> Option<String> {
    if let Some((_, value)) = PLAIN.iter().find(|(known, _)| *known == name) {
        return Some((*value).to_owned());
    }
    let (kind, name) = name.split_once('_').filter(|(_, name)| !name.is_empty())?;
    let value_of = |pairs: Vec<&str>| {
        let pairs = pairs.into_iter().filter_map(|pair| pair.split_once('='));
        let mut named = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    match kind {
        "arg" => Some(value_of(QUERY.split('&').collect())),
        "cookie" => {
            let lines = FIELDS.iter().filter(|(field, _)| field.eq_ignore_ascii_case("cookie"));
            Some(value_of(lines.flat_map(|(_, value)| value.split(';')).map(str::trim).collect()))
        }
        "http" => {
            let wanted = name.to_ascii_lowercase();
            let named =
                FIELDS.iter().filter(|(field, _)| field.to_ascii_lowercase().replace('-', "_") == wanted);
            let values: Vec<_> = named.map(|(_, value)| *value).collect();
            Some(values.join(if wanted == "cookie" { "; " } else { ", " }))
        }
        _ => None,
    }
}
