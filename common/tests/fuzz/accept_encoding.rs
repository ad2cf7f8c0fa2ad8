//! `Accept-Encoding` against a model that reads weights with a regular expression.

use std::{collections::HashMap, sync::LazyLock};

use regex::bytes::Regex;
use selvedge_common::{
    filter::{Compressible, Compression, ContentCoding},
    message::{RequestHead, ResponseHead, Version},
};

static WEIGHT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?-u)[qQ]=(?:0(?:\.([0-9]{0,3}))?|(1)(?:\.0{0,3})?)$").expect("it is one")
});

/// Answers in HTML, with either coding.
static BOTH: LazyLock<Compression> = LazyLock::new(|| {
    let html = || Some(Compressible { level: 1, min_bytes: 1, types: vec!["text/html".into()] });
    Compression { gzip: html(), brotli: html(), no_gzip_for: None }
});

/// How an answer is compressed for a client that says this.
pub fn check(input: &[u8]) {
    let mut asked = RequestHead::default();
    asked.version = Version::Http11;
    asked.fields.push(b"accept-encoding", input);
    let mut answer = ResponseHead::default();
    answer.status = 200;
    answer.fields.push(b"content-type", b"text/html");
    let choice = BOTH.choose(&asked, &mut answer);
    assert_eq!(choice.map(|choice| choice.coding), expected(input), "{}", input.escape_ascii());
    assert_eq!(answer.fields.get_by_name("vary"), Some(&b"Accept-Encoding"[..]));
}

fn expected(input: &[u8]) -> Option<ContentCoding> {
    let mut weights = HashMap::new();
    for member in
        input.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    {
        let parts: Vec<_> = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).collect();
        let coding = String::from_utf8_lossy(parts[0]).to_ascii_lowercase();
        let coding = if coding == "x-gzip" { "gzip".to_owned() } else { coding };
        weights.entry(coding).or_insert(parts.get(1).map_or(1000, |text| weight(text)));
    }
    let of = |coding| weights.get(coding).or(weights.get("*")).copied().unwrap_or(0);
    let (gzip, brotli) = (of("gzip"), of("br"));
    let (best, coding) =
        if brotli >= gzip { (brotli, ContentCoding::Brotli) } else { (gzip, ContentCoding::Gzip) };
    let plain = weights.get("identity").copied().unwrap_or(0);
    (best > 0 && best >= plain).then_some(coding)
}

/// In thousandths; what is no weight counts as none.
fn weight(text: &[u8]) -> u32 {
    let Some(found) = WEIGHT.captures(text) else { return 0 };
    let digits = found.get(1).map_or("", |digits| std::str::from_utf8(digits.as_bytes()).expect("digits"));
    let fraction = format!("{digits:0<3}").parse().expect("three digits");
    if found.get(2).is_some() { 1000 } else { fraction }
}
