//! Verdicts: what becomes of annotations, and what a Problem means for a move.

use selvedge_common::{
    kube::ingress::Ingress,
    model::{Problem, Severity},
};

use super::{
    report::{Entry, Finding, Move},
    shown,
};
use crate::annotations::{GROUPS, Verdict, field, without_prefix};

/// Problems that an object has where it is now as well: it does there no more than here.
const AS_BEFORE: [&str; 25] = [
    "AliasConflict",
    "AnnotationWithoutEffect",
    "CanaryConflict",
    "CanaryWithoutMain",
    "CertificateConflict",
    "ConfigMapNotFound",
    "DuplicateAnnotation",
    "DuplicatePath",
    "EmptyAnnotation",
    "IgnoredOnCanary",
    "NoPaths",
    "NoTlsHosts",
    "NothingToServe",
    "PassedThrough",
    "PassthroughConflict",
    "PassthroughWithoutBackend",
    "PassthroughWithoutHost",
    "PathConflict",
    "PortNotFound",
    "SecretNotFound",
    "ServiceNotFound",
    "SettingWithoutEffect",
    "UnknownAnnotation",
    "UnknownSetting",
    "UnsupportedResource",
];

/// The verdict of what has effect, though something is wrong with it.
pub(super) const PROBLEM: &str = "problem";

/// What a Problem means for a move.
pub(super) fn moves(problem: &Problem) -> Move {
    match problem.severity {
        _ if AS_BEFORE.contains(&problem.reason.as_str()) => Move::Unchanged,
        Severity::Error => Move::ChangeBefore,
        Severity::Warning => Move::SmallDifferences,
    }
}

/// A Problem as it is reported.
pub(super) fn finding(problem: &Problem) -> Finding {
    Finding {
        object: shown::plain(&problem.object.to_string()),
        field: shown::plain(&problem.field),
        reason: problem.reason.clone(),
        message: shown::message(&problem.message),
        moves: moves(problem),
    }
}

/// What is declared of an annotation or a setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    /// What it does.
    pub doc: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of one that somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// A word or two.
    pub verdict: &'static str,
    /// Why and what to do, or what it does.
    pub explanation: String,
    /// What that means for a move.
    pub moves: Move,
}

/// The annotations of an Ingress that are ingress-nginx's or ours, with what becomes of them. `problems` are those of the
/// Ingress.
pub(super) fn annotations(ingress: &Ingress, problems: &[&Problem]) -> Vec<Entry> {
    let all = ingress.metadata.annotations.iter();
    let named = all.filter_map(|(whole, value)| {
        let name = without_prefix(whole)?;
        Some((whole, name, value))
    });
    let judged = named.map(|(whole, name, value)| {
        let Judged { verdict, explanation, moves } = judge(declared(name), &field(whole), problems);
        let (key, value) = (shown::plain(whole), shown::value(name, value));
        Entry { key, value, verdict, explanation, moves }
    });
    judged.collect()
}

fn declared(name: &str) -> Option<Declared> {
    let mut keys = GROUPS.iter().flat_map(|group| group.keys);
    let key = keys.find(|key| key.names().any(|known| known == name))?;
    Some(Declared { doc: key.doc, verdict: key.verdict })
}

/// What becomes of what is declared so and stands in this field of an object. `problems` are those of the object.
pub(super) fn judge(declared: Option<Declared>, field: &str, problems: &[&Problem]) -> Judged {
    let problems: Vec<_> = problems.iter().filter(|problem| problem.field == field).copied().collect();
    let moves = problems.iter().map(|problem| self::moves(problem)).max().unwrap_or_default();
    let told: Vec<_> = problems.iter().map(|problem| shown::message(&problem.message)).collect();
    let verdict = match (declared, told.is_empty()) {
        (None, true) => "unknown",
        (Some(Declared { verdict: Verdict::Honoured, .. }), true) => Verdict::Honoured.text().0,
        (Some(_), true) => "default",
        (_, false) => problems.iter().find_map(|problem| of_reason(&problem.reason)).unwrap_or(PROBLEM),
    };
    let explanation = match declared {
        // Verdicts begin with their own name.
        _ if !told.is_empty() => told.join("; ").trim_start_matches(&format!("{verdict}: ")).to_owned(),
        _ if verdict == "default" => "it says what counts without it".to_owned(),
        Some(declared) => declared.doc.trim().to_owned(),
        None => String::new(),
    };
    Judged { verdict, explanation, moves }
}

/// What the reason of a Problem says became of an annotation or a setting.
fn of_reason(reason: &str) -> Option<&'static str> {
    Some(
        match reason.strip_prefix("Setting").or_else(|| reason.strip_prefix("Annotation")).unwrap_or(reason) {
            "UnknownAnnotation" | "UnknownSetting" => "unknown",
            "InvalidAnnotation" | "InvalidSetting" => "invalid value",
            "EmptyAnnotation" => "empty",
            "DuplicateAnnotation" => "said twice",
            "PassedThrough" => Verdict::Honoured.text().0,
            "Refused" => Verdict::Refused("").text().0,
            "Approximated" => Verdict::Approximated("").text().0,
            "WithoutEffect" | "NotSupported" => Verdict::NoEffect("").text().0,
            _ => return None,
        },
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::{api::networking::v1 as networking, apimachinery::pkg::apis::meta::v1::ObjectMeta};

    use super::*;
    use crate::annotations::{Annotations, NGINX_PREFIX};

    #[test]
    fn every_annotation_gets_the_verdict_that_its_problems_tell() {
        let table = [
            ("use-regex", "true", "honoured", Move::Unchanged),
            ("use-regex", "maybe", "invalid value", Move::ChangeBefore),
            ("use-regex", "", "empty", Move::Unchanged),
            ("proxy-buffering", "on", "no effect here", Move::Unchanged),
            ("proxy-buffering", "off", "default", Move::Unchanged),
            ("proxy-send-timeout", "7", "approximated", Move::SmallDifferences),
            ("x-forwarded-prefix", "/api", "approximated", Move::SmallDifferences),
            ("server-snippet", "a b;", "refused", Move::ChangeBefore),
            ("secure-backends", "true", "unknown", Move::Unchanged),
            ("backend-protocol", "FCGI", "refused", Move::ChangeBefore),
        ];
        for (name, value, verdict, moves) in table {
            let annotations = BTreeMap::from([(format!("{NGINX_PREFIX}{name}"), value.to_owned())]);
            let metadata = ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() };
            let ingress = networking::Ingress { metadata, ..networking::Ingress::default() }.into();
            let (_, problems) = Annotations::read(&ingress, true);
            let judged = super::annotations(&ingress, &problems.iter().collect::<Vec<_>>());
            assert_eq!((judged[0].verdict, judged[0].moves), (verdict, moves), "{name}: {judged:?}");
            assert!(!judged[0].explanation.is_empty(), "{name}");
        }
    }
}
