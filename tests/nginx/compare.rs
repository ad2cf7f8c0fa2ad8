//! Whether an answer is the recorded one, and if not, why.

use std::{collections::BTreeMap, fmt};

use selvedge_tests::client::Answer;
use serde_json::Value;

use crate::{
    case::Exchange,
    client::Answered,
    pattern::fits,
    seen::{self, Seen},
};

/// Fields of answers that are not compared: those of the connection, and those that are ours alone.
const IGNORED: [&str; 8] = [
    "date",
    "connection",
    "keep-alive",
    "content-length",
    "transfer-encoding",
    "x-selvedge-reason",
    "server-timing",
    "allow",
];

/// Something that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Number of the exchange.
    pub exchange: usize,
    /// Its request.
    pub request: String,
    /// The kind of difference, the same for all that are alike.
    pub cause: String,
    /// The difference.
    pub detail: String,
}

impl Mismatch {
    /// A difference; `at` is the number of an exchange and its request.
    pub fn new(at: &str, cause: String, detail: String) -> Self {
        let (number, request) = at.split_once(' ').unwrap_or_default();
        Self { exchange: number.parse().unwrap_or_default(), request: request.to_owned(), cause, detail }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.exchange, self.request, self.detail)
    }
}

/// Compares an answer, and what backends saw of the request.
pub fn one(exchange: &Exchange, answered: &Answered, seen: &[Seen], at: &str) -> Vec<Mismatch> {
    let mut mismatches = certificate(exchange, answered, at);
    let mut tell = |cause: String, detail: String| mismatches.push(Mismatch::new(at, cause, detail));
    match (&answered.answer, exchange.status) {
        (Ok(answer), Some(status)) => compare_answer(exchange, answer, status, &mut tell),
        (Ok(answer), None) => {
            tell("an answer instead of silence".into(), format!("{} instead of silence", answer.status));
        }
        (Err(_), None) => {}
        (Err(error), Some(status)) => {
            tell(format!("no answer instead of {status}"), format!("{error} instead of {status}"));
        }
    }
    seen::compare(exchange, seen, at, &mut mismatches);
    mismatches
}

/// Compares how often what was answered, and who was reached.
pub fn many(exchange: &Exchange, answers: &[Answered], seen: &[Seen], at: &str) -> Vec<Mismatch> {
    let mut mismatches = answers.last().map_or(Vec::new(), |last| certificate(exchange, last, at));
    let mut tell = |cause: &str, got: String, wanted: String| {
        let detail = format!("{cause}: {got} instead of {wanted}");
        mismatches.push(Mismatch::new(at, cause.to_owned(), detail));
    };
    let status = |answered: &Answered| answered.answer.as_ref().map_or(0, |answer| answer.status);
    let got = counted(answers.iter().map(status));
    let wanted = exchange.statuses.clone().unwrap_or_default();
    if !near(&wanted, &got, exchange.tolerance.statuses) {
        tell("other counts of statuses", format!("{got:?}"), format!("{wanted:?}"));
    }
    let got = counted(seen.iter().map(|seen| seen.service.clone()));
    let wanted = &exchange.services;
    let any = wanted.contains_key("any") && got.values().eq(wanted.values());
    if !any && !near(wanted, &got, exchange.tolerance.services) {
        tell("other counts of services", format!("{got:?}"), format!("{wanted:?}"));
    }
    // Where a single Service was reached and no spread is told, all went to one endpoint.
    let single = || (wanted.len() == 1).then(|| wanted.values().copied().collect());
    if let Some(wanted) = exchange.spread.clone().or_else(single) {
        let mut got: Vec<_> = counted(seen.iter().map(|seen| &seen.endpoint)).into_values().collect();
        got.sort_unstable();
        let give = exchange.tolerance.spread.max(exchange.tolerance.services);
        let same = wanted.len() == got.len() && wanted.iter().zip(&got).all(|(w, g)| w.abs_diff(*g) <= give);
        if !same {
            tell("other counts of endpoints", format!("{got:?}"), format!("{wanted:?}"));
        }
    }
    mismatches
}

fn certificate(exchange: &Exchange, answered: &Answered, at: &str) -> Vec<Mismatch> {
    let (wanted, got) = (exchange.certificate.as_deref(), answered.certificate);
    if wanted == got {
        return Vec::new();
    }
    let detail = format!("certificate {got:?} instead of {wanted:?}");
    vec![Mismatch::new(at, "another certificate".into(), detail)]
}

fn compare_answer(exchange: &Exchange, answer: &Answer, status: u16, tell: &mut impl FnMut(String, String)) {
    if answer.status != status {
        let reason = answer.field("x-selvedge-reason").map(|reason| format!(" ({reason})"));
        let cause = format!("status {} instead of {status}", answer.status);
        // What follows from another status need not be told too.
        return tell(cause.clone(), cause + &reason.unwrap_or_default());
    }
    let mut wanted = seen::values(&seen::split(&exchange.answer));
    let mut got = seen::values(&answer.fields);
    got.retain(|name, _| !IGNORED.contains(&name.as_str()));
    // Ours says who it is where the backend does not; the recorded one is told not to.
    got.retain(|name, values| name != "server" || wanted.contains_key(name) || values != &["selvedge"]);
    match (&exchange.by, &exchange.text) {
        (Some(_), _) => {
            wanted.entry("content-type".into()).or_insert_with(|| vec!["application/json".into()]);
        }
        // A page for people is in the words of who made it.
        (None, None) => drop((wanted.remove("content-type"), got.remove("content-type"))),
        (None, Some(_)) => {}
    }
    seen::compare_fields(&wanted, &got, "in the answer", tell);
    if let Some(by) = exchange.by.as_deref().filter(|by| *by != "any") {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let got = body["backend"].as_str().unwrap_or("none");
        if got != by {
            tell("another backend answered".into(), format!("{got} answered instead of {by}"));
        }
    }
    if let Some(text) = &exchange.text {
        let got = answer.text();
        if !fits(text, &got) {
            tell("another body of the answer".into(), format!("body {got:.80?} instead of {text:?}"));
        }
    }
}

fn counted<T: Ord>(list: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in list {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

fn near<T: Ord>(wanted: &BTreeMap<T, usize>, got: &BTreeMap<T, usize>, give: usize) -> bool {
    let count = |of: &BTreeMap<T, usize>, key: &T| of.get(key).copied().unwrap_or(0);
    wanted.keys().chain(got.keys()).all(|key| count(wanted, key).abs_diff(count(got, key)) <= give)
}
