//! Changed JSON: a document in which some values are others.

use serde_json::{Value, json};

use crate::numbers::Numbers;

/// Texts that fields of objects may have a meaning for.
const TEXTS: [&str; 36] = [
    "",
    "a",
    "*",
    "*.a.example",
    "a.example",
    "A.Example.",
    "..",
    "/",
    "/a/../b",
    "/%2f",
    "//",
    "a b",
    "\0",
    "\u{e9}",
    "0s",
    "5s",
    "-5s",
    "1h1h1h1h",
    "99999h99999h99999h99999h",
    "1e9s",
    "250ms",
    "0x5",
    "+5",
    "http",
    "https",
    "h2c",
    "kubernetes.io/h2c",
    "router",
    "direct",
    "10.0.0.0/8",
    "::/0",
    "300.1.1.1",
    "a{1000}{1000}",
    "(?i)a",
    "a)|(b",
    "selvedge.dev/via",
];

/// One of these documents with up to five changes.
pub fn change(numbers: &mut Numbers, documents: &[Value]) -> Value {
    let mut document = documents[numbers.below(documents.len())].clone();
    for _ in 0..numbers.below(6) {
        let other = &documents[numbers.below(documents.len())];
        let part = somewhere(numbers, &mut other.clone()).clone();
        let place = somewhere(numbers, &mut document);
        *place = match numbers.below(4) {
            0 => part,
            1 => json!(TEXTS[numbers.below(TEXTS.len())]),
            2 => scalar(numbers),
            _ => grown(numbers, place.clone(), part),
        };
    }
    document
}

/// A value within this one, or itself.
fn somewhere<'v>(numbers: &mut Numbers, value: &'v mut Value) -> &'v mut Value {
    let mut place = value;
    loop {
        let count = match place {
            Value::Object(map) => map.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        };
        // Rarely one that is not at the end.
        if count == 0 || numbers.below(12) == 0 {
            return place;
        }
        let index = numbers.below(count);
        place = match place {
            Value::Object(map) => map.values_mut().nth(index).unwrap(),
            Value::Array(list) => &mut list[index],
            _ => return place,
        };
    }
}

fn scalar(numbers: &mut Numbers) -> Value {
    let all = [
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1),
        json!(100),
        json!(65535),
        json!(65536),
        json!(i32::MAX),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(0.5),
        json!(1e300),
        json!([]),
        json!({}),
        json!("a".repeat(1100)),
    ];
    all[numbers.below(all.len())].clone()
}

/// The value with more in it, or less.
fn grown(numbers: &mut Numbers, mut value: Value, part: Value) -> Value {
    let is_less = numbers.below(2) == 0;
    match &mut value {
        Value::Object(map) if is_less => {
            let name = map.keys().nth(numbers.below(map.len())).cloned();
            name.and_then(|name| map.remove(&name));
        }
        Value::Object(map) => drop(map.insert(TEXTS[numbers.below(TEXTS.len())].to_owned(), part)),
        Value::Array(list) if is_less => drop(list.pop()),
        Value::Array(list) => list.push(list.last().cloned().unwrap_or(part)),
        Value::String(text) => text.push_str(TEXTS[numbers.below(TEXTS.len())]),
        other => *other = part,
    }
    value
}
