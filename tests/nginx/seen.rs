//! What backends saw of a request, and whether it is what they should have seen.

use std::collections::BTreeMap;

use crate::{
    case::{Exchange, Reached, Saw},
    compare::Mismatch,
    pattern::fits,
};

/// Name and value.
pub type Field = (String, String);

/// A request as a backend saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The Service.
    pub service: String,
    /// Where its endpoint listens.
    pub endpoint: String,
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// The version.
    pub version: String,
    /// Fields, in order.
    pub fields: Vec<Field>,
    /// Size of the body.
    pub bytes: usize,
    /// Name in TLS.
    pub server_name: Option<String>,
}

impl Seen {
    /// The value of the first field of this name, whatever its case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Values by the name of their field, in lower case.
type Values = BTreeMap<String, Vec<String>>;

/// Compares what backends saw of one request with what they should have seen.
pub fn compare(exchange: &Exchange, seen: &[Seen], at: &str, mismatches: &mut Vec<Mismatch>) {
    let expected: Vec<(&str, &Saw)> = match (&exchange.reached, &exchange.by) {
        (Some(reached), _) => reached.iter().map(|Reached { at, saw }| (at.as_str(), saw)).collect(),
        (None, Some(by)) => vec![(by, &exchange.saw)],
        (None, None) => Vec::new(),
    };
    let mut tell = |cause: String, detail: String| mismatches.push(Mismatch::new(at, cause, detail));
    let names = |list: &mut dyn Iterator<Item = &str>| list.collect::<Vec<_>>().join(" ");
    let wanted = names(&mut expected.iter().map(|(service, _)| *service));
    let got = names(&mut seen.iter().map(|seen| seen.service.as_str()));
    let any = wanted == "any" && seen.len() == 1;
    if wanted != got && !any {
        let text = |list: &str| if list.is_empty() { "none".to_owned() } else { list.to_owned() };
        let cause = format!("reached {} instead of {}", text(&got), text(&wanted));
        return tell(cause.clone(), cause);
    }
    for ((_, saw), seen) in expected.into_iter().zip(seen) {
        compare_one(exchange, saw, seen, &mut tell);
    }
}

fn compare_one(exchange: &Exchange, saw: &Saw, seen: &Seen, tell: &mut impl FnMut(String, String)) {
    let (method, target, ..) = exchange.request();
    let line = saw.becomes.clone().unwrap_or_else(|| format!("{method} {target}"));
    let service = &seen.service;
    let got = format!("{} {}", seen.method, seen.target);
    if line != got {
        tell(
            "another method or target at the backend".into(),
            format!("{service} saw {got:?} instead of {line:?}"),
        );
    }
    let sent = exchange.body.as_ref().map_or(0, String::len);
    let bytes = saw.bytes.unwrap_or(sent);
    if bytes != seen.bytes {
        let detail = format!("{service} saw {} bytes of body instead of {bytes}", seen.bytes);
        tell("another body at the backend".into(), detail);
    }
    if saw.server_name != seen.server_name {
        let detail = format!("{service} saw {:?} instead of {:?}", seen.server_name, saw.server_name);
        tell("another server name at the backend".into(), detail);
    }
    compare_fields(&expected_fields(exchange, saw, service), &values(&seen.fields), "at the backend", tell);
}

/// Compares fields by name. Their order counts among those of one name.
pub fn compare_fields(expected: &Values, got: &Values, place: &str, tell: &mut impl FnMut(String, String)) {
    for (name, wanted) in expected {
        match got.get(name) {
            None => tell(format!("field {name} missing {place}"), format!("{name}: {wanted:?} is missing")),
            Some(values) => {
                let same = wanted.len() == values.len() && wanted.iter().zip(values).all(|(w, v)| fits(w, v));
                if !same {
                    let detail = format!("{name}: {values:?} instead of {wanted:?}");
                    tell(format!("field {name} different {place}"), detail);
                }
            }
        }
    }
    for (name, values) in got.iter().filter(|(name, _)| !expected.contains_key(*name)) {
        tell(format!("field {name} too much {place}"), format!("{name}: {values:?} is too much"));
    }
}

/// The fields that a backend should have seen.
fn expected_fields(exchange: &Exchange, saw: &Saw, service: &str) -> Values {
    if let Some(all) = &saw.all {
        return values(&split(all));
    }
    let mut usual = match service {
        "auth" => of_subrequest(exchange),
        _ => of_request(exchange),
    };
    usual.extend(split(&exchange.fields));
    let mut fields = values(&usual);
    fields.extend(values(&split(&saw.adds)));
    for name in &saw.lacks {
        fields.remove(&name.to_lowercase());
    }
    fields
}

/// What the controller tells every backend.
fn of_request(exchange: &Exchange) -> Vec<Field> {
    let (_, _, host, tls) = exchange.request();
    let host = host.unwrap_or_default();
    let client = exchange.from.map_or("127.0.0.1".to_owned(), |from| from.to_string());
    let (scheme, port) = if tls { ("https", "443") } else { ("http", "80") };
    let fields = [
        ("Host", host),
        ("X-Request-ID", "<id>"),
        ("X-Real-IP", &client),
        ("X-Forwarded-For", &client),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Port", port),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Scheme", scheme),
        ("X-Scheme", scheme),
    ];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// What the controller tells an authentication service.
fn of_subrequest(exchange: &Exchange) -> Vec<Field> {
    let (method, target, host, tls) = exchange.request();
    let client = exchange.from.map_or("127.0.0.1".to_owned(), |from| from.to_string());
    let scheme = if tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{target}", host.unwrap_or_default());
    let fields = [
        ("X-Request-ID", "<id>"),
        ("Host", "auth.default.svc.cluster.local"),
        ("X-Original-URL", &url),
        ("X-Original-Method", method),
        ("X-Sent-From", "nginx-ingress-controller"),
        ("X-Real-IP", &client),
        ("X-Forwarded-For", &client),
        ("X-Auth-Request-Redirect", target),
    ];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Fields from lines `Name: value`.
pub fn split(lines: &[String]) -> Vec<Field> {
    let pair = |line: &String| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_owned(), value.trim().to_owned())
    };
    lines.iter().map(pair).collect()
}

/// Values by name, without those that concern the connection or the length of a body.
pub fn values(fields: &[Field]) -> Values {
    let mut values = Values::new();
    for (name, value) in fields {
        let name = name.to_lowercase();
        let usual = matches!(value.to_lowercase().as_str(), "close" | "keep-alive");
        match name.as_str() {
            "content-length" | "transfer-encoding" => {}
            "connection" if usual => {}
            _ => values.entry(name).or_default().push(value.clone()),
        }
    }
    values
}
