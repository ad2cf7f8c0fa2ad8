//! Bodies: what differs in two of them, by parts where they have names, as what an echo service tells of requests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Difference,
    ask::Answer,
    differences::{NONE, different, field, is_always_different},
};

/// Most parts that are told of one body.
const MOST_PARTS: usize = 20;
/// Most characters of a part that are told.
const MOST_CHARACTERS: usize = 100;

/// The parts of a body by their names.
type Parts = BTreeMap<String, String>;

/// What differs.
pub(super) fn find(a: &Answer, b: &Answer) -> Vec<Difference> {
    if (a.length, a.sum) == (b.length, b.sum) {
        return Vec::new();
    }
    let (Some(one), Some(other)) = (parts(a), parts(b)) else {
        let whole = |answer: &Answer| format!("{} bytes, {:016x}", answer.length, answer.sum);
        return different("body", whole(a), whole(b)).into_iter().collect();
    };
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let names = names.into_iter().filter(|name| !is_always_different(last(name)));
    let part = |parts: &Parts, name: &String| parts.get(name).map_or(NONE.to_owned(), |text| short(text));
    let found = names.filter(|name| one.get(*name) != other.get(*name)).map(|name| Difference {
        what: format!("body {name}"),
        a: part(&one, name),
        b: part(&other, name),
    });
    let mut found: Vec<_> = found.collect();
    found.truncate(MOST_PARTS);
    found
}

/// The parts of JSON, or of lines with names; `None` for other bodies, whose parts say nothing to people.
fn parts(answer: &Answer) -> Option<Parts> {
    let text = std::str::from_utf8(&answer.body).ok().filter(|text| !text.is_empty())?;
    let kind = field(answer, "content-type").to_ascii_lowercase();
    let mut parts = Parts::new();
    match serde_json::from_str(text) {
        Ok(value) if kind.contains("json") => add(&value, &mut String::new(), &mut parts),
        _ if kind.starts_with("text/plain") => lines(text, &mut parts),
        _ => return None,
    }
    Some(parts)
}

/// Adds the parts of a value: `headers.host` is `host` in `headers`.
fn add(value: &Value, name: &mut String, parts: &mut Parts) {
    let begin = name.len();
    let mut below = |key: &str, value: &Value| {
        if begin > 0 {
            name.push('.');
        }
        // An echo service tells fields as they came, in any case.
        name.push_str(&key.to_ascii_lowercase());
        add(value, name, parts);
        name.truncate(begin);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(place, value)| below(&place.to_string(), value));
        }
        Value::String(text) => drop(parts.insert(name.clone(), text.clone())),
        other => drop(parts.insert(name.clone(), other.to_string())),
    }
}

/// Adds lines such as `Host: a.test` and `host=a.test`; one without a name has its number.
fn lines(text: &str, parts: &mut Parts) {
    for (number, line) in text.lines().enumerate() {
        let named = line.split_once([':', '=']).filter(|(name, _)| {
            let name = name.trim();
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        });
        let (name, value) = match named {
            Some((name, value)) => (name.trim().to_ascii_lowercase(), value.trim()),
            None => (format!("line {}", number + 1), line.trim()),
        };
        parts.entry(name).and_modify(|values| *values += &format!(", {value}")).or_insert(value.to_owned());
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').find(|part| part.parse::<usize>().is_err()).unwrap_or(name)
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: &str, body: &str) -> Answer {
        let fields = vec![("content-type".to_owned(), kind.to_owned())];
        let (length, sum) = (body.len() as u64, body.bytes().map(u64::from).sum());
        Answer { status: 200, fields, length, sum, body: body.into() }
    }

    #[test]
    fn what_an_echo_service_tells_is_compared_by_parts() {
        type Told = &'static [(&'static str, &'static str, &'static str)];
        let table: [(&str, &str, &str, Told); 6] = [
            (
                "application/json",
                r#"{"path": "/a", "headers": {"Host": "a.test", "X-Request-ID": "1"}, "ways": ["x", "y"]}"#,
                r#"{"path": "/", "headers": {"host": "a.test", "x-request-id": "2"}, "ways": ["x"]}"#,
                &[("body path", "/a", "/"), ("body ways.1", "y", NONE)],
            ),
            (
                "text/plain; charset=utf-8",
                "GET /a HTTP/1.1\nHost: a.test\nX-Request-Id: 1",
                "GET / HTTP/1.1\nHost: a.test\nX-Request-Id: 22",
                &[("body line 1", "GET /a HTTP/1.1", "GET / HTTP/1.1")],
            ),
            ("text/plain", "host=a", "host=b", &[("body host", "a", "b")]),
            ("application/json", r#"{"date": 1}"#, r#"{"date": 22}"#, &[]),
            ("text/html", "a", "a", &[]),
            ("text/html", "a", "bb", &[("body", "1 bytes, 0000000000000061", "2 bytes, 00000000000000c4")]),
        ];
        for (kind, a, b, want) in table {
            let found = find(&answer(kind, a), &answer(kind, b));
            let found: Vec<_> = found.iter().map(|one| (&*one.what, &*one.a, &*one.b)).collect();
            assert_eq!(found, want, "{a}");
        }
    }

    #[test]
    fn long_and_deep_bodies_are_told_in_part() {
        let long = |letter: &str| format!("[{}]", vec![format!("\"{}\"", letter.repeat(300)); 50].join(","));
        let found = find(&answer("application/json", &long("a")), &answer("application/json", &long("b")));
        assert_eq!((found.len(), found[0].a.chars().count()), (MOST_PARTS, MOST_CHARACTERS + 1));
        let deep = |depth: usize| answer("application/json", &("[".repeat(depth) + &"]".repeat(depth)));
        assert_eq!(find(&deep(10_000), &deep(10_001))[0].what, "body");
    }
}
