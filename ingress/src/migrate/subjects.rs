//! Subjects: what Ingresses say and what is wrong with them, each once with all whom it concerns.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    report::{Entry, Ingress, Move, Subject},
    verdicts::PROBLEM,
};
use crate::annotations::without_prefix;

/// What makes two subjects the same: name, verdict and explanation.
type Same<'a> = (&'a str, &'a str, &'a str, Move);

/// The subjects of these Ingresses: what must be changed first, and of the same weight the most frequent first.
pub(super) fn gather(ingresses: &[Ingress]) -> Vec<Subject> {
    let mut concerned: BTreeMap<Same<'_>, Vec<String>> = BTreeMap::new();
    for ingress in ingresses {
        for same in of_one(ingress) {
            let names = concerned.entry(same).or_default();
            let name = format!("{}/{}", ingress.namespace, ingress.name);
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
    }
    let subjects = concerned.into_iter().map(|((name, verdict, explanation, moves), ingresses)| Subject {
        name: name.to_owned(),
        verdict: verdict.to_owned(),
        explanation: explanation.to_owned(),
        moves,
        ingresses,
    });
    let mut subjects: Vec<_> = subjects.collect();
    // Sorting keeps the order by name where the rest is equal.
    subjects.sort_by_key(|subject| Reverse((subject.moves, subject.ingresses.len())));
    subjects
}

/// The name of an annotation without its prefix.
pub(super) fn short(key: &str) -> &str {
    without_prefix(key).unwrap_or(key)
}

/// Whether something is wrong with an annotation that is so there as well, which concerns nobody but its owner.
fn is_as_before(annotation: &Entry) -> bool {
    annotation.moves == Move::Unchanged && annotation.verdict == PROBLEM
}

fn of_one(ingress: &Ingress) -> impl Iterator<Item = Same<'_>> {
    let annotations = ingress.annotations.iter().filter(|one| !is_as_before(one));
    let annotations =
        annotations.map(|one| (short(&one.key), one.verdict, one.explanation.as_str(), one.moves));
    let findings = ingress.findings.iter().filter(|finding| finding.moves != Move::Unchanged);
    let findings = findings.map(|one| (one.reason.as_str(), PROBLEM, one.message.as_str(), one.moves));
    annotations.chain(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::NGINX_PREFIX;

    #[test]
    fn each_subject_is_told_once_and_the_weightiest_first() {
        let annotation = |name: &str, moves| Entry {
            key: format!("{NGINX_PREFIX}{name}"),
            value: String::new(),
            verdict: "said",
            explanation: "why".into(),
            moves,
        };
        let ingress = |name: &str, annotations: &[Entry]| Ingress {
            namespace: "shop".into(),
            name: name.into(),
            annotations: annotations.to_vec(),
            ..Ingress::default()
        };
        let (often, seldom) = (annotation("a", Move::Unchanged), annotation("b", Move::Unchanged));
        let bad = annotation("c", Move::ChangeBefore);
        let subjects = gather(&[ingress("x", &[often.clone(), seldom, bad]), ingress("y", &[often])]);
        let told: Vec<_> =
            subjects.iter().map(|subject| (subject.name.as_str(), subject.ingresses.join(" "))).collect();
        let want = [("c", "shop/x"), ("a", "shop/x shop/y"), ("b", "shop/x")];
        assert_eq!(told, want.map(|(name, ingresses)| (name, ingresses.to_owned())));
    }
}
