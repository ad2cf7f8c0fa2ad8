//! Comparison: the same requests to two controllers, and what differs in their answers.

mod ask;
mod body;
mod differences;
mod place;
mod questions;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

use ask::{Answer, ask};
pub use place::Place;
use questions::{Question, questions};

use super::{report::counted, shown};
use crate::args::CompareArgs;
use selvedge_common::kube::ingress::Ingress;

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The first controller.
    pub a: String,
    /// The second one.
    pub b: String,
    /// How many requests each of them got.
    pub asked: usize,
    /// How many were not sent, as there are too many or time was over.
    pub left_out: usize,
    /// How many were answered by neither.
    pub unanswered: usize,
    /// What could not be compared.
    pub notes: Vec<String>,
    /// The requests that were answered otherwise.
    pub different: Vec<Pair>,
    /// The same for people: each difference once, with all requests that have it; the most frequent first.
    #[serde(skip)]
    pub groups: Vec<Group>,
}

impl Comparison {
    /// Whether nobody answered anything.
    pub fn is_empty(&self) -> bool {
        self.asked == self.unanswered
    }

    /// What came of it, in a sentence.
    pub(super) fn result(&self) -> String {
        let asked = counted(self.asked, "request", "requests");
        match self.different.len() {
            _ if self.is_empty() => "Nothing could be compared, as no request was answered.".to_owned(),
            0 => format!("Both controllers answer alike: {asked} compared."),
            different => format!("The two controllers answer otherwise: {different} of {asked} compared."),
        }
    }
}

/// What differs in the same way for several requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What differs.
    pub differences: Vec<Difference>,
    /// The requests: method and URL.
    pub requests: Vec<String>,
}

/// A request that was answered otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// Its method.
    pub method: String,
    /// Its URL.
    pub url: String,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Something that differs in two answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What it is: `status`, the name of a field, `body`, or `body` with the name of a part of it.
    pub what: String,
    /// What the first one answers.
    pub a: String,
    /// What the second one answers.
    pub b: String,
}

/// Asks both of them what the Ingresses are for: one request at a time, each of both at once.
///
/// # Errors
/// One of them cannot be reached.
pub(super) async fn compare(
    (a, b): (&Place, &Place),
    ingresses: &[&Ingress],
    args: &CompareArgs,
) -> anyhow::Result<Comparison> {
    for place in [a, b] {
        place.check(args.answer_timeout).await?;
    }
    let all = questions(ingresses, &args.methods);
    let (shared, apart): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|question| a.has(question.is_tls) && b.has(question.is_tls));
    let name = |place: &Place| shown::message(&place.to_string());
    let mut comparison = Comparison { a: name(a), b: name(b), ..Comparison::default() };
    let begin = Instant::now();
    for question in shared.iter().take(args.most_requests) {
        if begin.elapsed() >= args.compare_timeout {
            break;
        }
        let (differences, is_answered) = differing((a, b), question, args.answer_timeout).await;
        comparison.asked += 1;
        comparison.unanswered += usize::from(!is_answered);
        if !differences.is_empty() {
            comparison.different.push(pair(question, differences));
        }
    }
    comparison.left_out = shared.len() - comparison.asked;
    comparison.notes = notes(&comparison, &apart);
    comparison.groups = groups(&comparison.different);
    Ok(comparison)
}

/// What differs in the answers to a request, and whether anybody answered. What differs between two answers of the same
/// controller says nothing of the other one, so whoever answers otherwise is asked twice.
async fn differing(
    (a, b): (&Place, &Place),
    question: &Question,
    longest: Duration,
) -> (Vec<Difference>, bool) {
    let both = || async { tokio::join!(ask(a, question, longest), ask(b, question, longest)) };
    let (one, other) = both().await;
    let mut found = differences::find(&one, &other);
    if !found.is_empty() && one.is_ok() && other.is_ok() {
        let (again, other_again) = both().await;
        let moving: BTreeSet<_> = [(&one, &again), (&other, &other_again)]
            .into_iter()
            .flat_map(|(first, second): (&Result<Answer, String>, _)| differences::find(first, second))
            .map(|difference| difference.what)
            .collect();
        found.retain(|difference| {
            difference.what == differences::STATUS || !moving.contains(&difference.what)
        });
    }
    (found, one.is_ok() || other.is_ok())
}

/// What was not compared, and why.
fn notes(comparison: &Comparison, apart: &[Question]) -> Vec<String> {
    let mut notes = Vec::new();
    for (is_tls, scheme) in [(false, "http"), (true, "https")] {
        let count = apart.iter().filter(|question| question.is_tls == is_tls).count();
        if count > 0 {
            notes.push(format!(
                "{count} requests over {scheme} were not sent: the URLs do not say where to for both"
            ));
        }
    }
    if comparison.left_out > 0 {
        let count = comparison.left_out;
        notes.push(format!(
            "{count} more were not sent: --most-requests and --compare-timeout are the limits"
        ));
    }
    if comparison.unanswered > 0 {
        notes.push(format!("{} were answered by neither", comparison.unanswered));
    }
    notes
}

fn pair(question: &Question, differences: Vec<Difference>) -> Pair {
    let shown = |difference: Difference| {
        let Difference { what, a, b } = difference;
        Difference { what: shown::message(&what), a: shown::message(&a), b: shown::message(&b) }
    };
    Pair {
        method: question.method.clone(),
        url: shown::plain(&question.url()),
        differences: differences.into_iter().map(shown).collect(),
    }
}

fn groups(different: &[Pair]) -> Vec<Group> {
    let mut requests: BTreeMap<&[Difference], Vec<String>> = BTreeMap::new();
    for pair in different {
        let request = format!("{} {}", pair.method, pair.url);
        requests.entry(&pair.differences).or_default().push(request);
    }
    let groups = requests.into_iter();
    let groups = groups.map(|(differences, requests)| Group { differences: differences.to_vec(), requests });
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.requests.len()));
    groups
}
