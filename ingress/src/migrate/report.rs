//! The report: what becomes of the objects of ingress-nginx, as data that each form prints.

use serde::Serialize;

use super::compare::Comparison;

/// What a move means for an object, or for a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Move {
    /// It does here what it does there.
    #[default]
    Unchanged,
    /// It does nearly that; each difference is told.
    SmallDifferences,
    /// Something must be changed before.
    ChangeBefore,
}

impl Move {
    /// The same for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unchanged => "moves unchanged",
            Self::SmallDifferences => "moves with small differences",
            Self::ChangeBefore => "needs a change before the move",
        }
    }

    /// The same of so many of them.
    pub fn of(self, count: usize) -> String {
        match count {
            1 => self.text().to_owned(),
            _ => self.text().replacen("moves", "move", 1).replacen("needs", "need", 1),
        }
    }
}

/// All that is reported.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The whole in a sentence and in numbers.
    pub summary: Summary,
    /// Flags of `run` that serve these objects.
    pub flags: Vec<String>,
    /// What could not be read, and what is good to know of how it was read.
    pub notices: Vec<Notice>,
    /// What Ingresses say and what is wrong with them, each once with those that it concerns; what must be changed first.
    pub subjects: Vec<Subject>,
    /// The settings of the running ingress-nginx, if they were found.
    pub settings: Option<Settings>,
    /// Every Ingress that is ingress-nginx's, by namespace and name.
    pub ingresses: Vec<Ingress>,
    /// What is wrong with other objects, such as Secrets.
    pub others: Vec<Finding>,
    /// Ways of ingress-nginx that no annotation names and that differ here.
    pub behaviours: Vec<Behaviour>,
    /// How the answers of two controllers differ, if that was asked for.
    pub comparison: Option<Comparison>,
}

/// The whole in a sentence and in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Whether to move, in a sentence.
    pub result: String,
    /// Ingresses of ingress-nginx.
    pub ingresses: usize,
    /// Hosts that their rules name.
    pub hosts: usize,
    /// How many of the Ingresses do here what they do there.
    pub unchanged: usize,
    /// How many do nearly that.
    pub small_differences: usize,
    /// How many need a change before.
    pub change_before: usize,
    /// Settings of the ConfigMap that need a change before.
    pub settings_change_before: usize,
    /// Other objects that need a change before.
    pub others_change_before: usize,
    /// Ports that ConfigMaps give to Services over TCP.
    pub tcp_ports: usize,
    /// Ingresses that are Selvedge's already.
    pub already_ours: usize,
    /// Ingresses of other controllers, or of none.
    pub left_out: usize,
}

/// An annotation with what becomes of it, or something wrong, and whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The annotation without prefix, or one word for what is wrong.
    pub name: String,
    /// What becomes of it, in a word or two.
    pub verdict: String,
    /// Why and what to do, or what it does.
    pub explanation: String,
    /// What that means for a move.
    #[serde(rename = "move")]
    pub moves: Move,
    /// The Ingresses, as `namespace/name`.
    pub ingresses: Vec<String>,
}

/// Something to know that is about no object that could be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// `error`, `warning` or `notice`; an error means that something could not be read.
    pub severity: &'static str,
    /// What it is.
    pub message: String,
}

/// One Ingress.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// File and line that say it, if they are known.
    pub place: Option<String>,
    /// What a move means for it.
    #[serde(rename = "move")]
    pub moves: Move,
    /// Its annotations that are ingress-nginx's or ours.
    pub annotations: Vec<Entry>,
    /// Its paths.
    pub paths: Vec<Path>,
    /// What else is wrong with it.
    pub findings: Vec<Finding>,
}

/// An annotation of an Ingress, or a setting of the ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name; that of an annotation with its prefix.
    pub key: String,
    /// Its value, as far as it may be shown.
    pub value: String,
    /// What becomes of it, in a word or two.
    pub verdict: &'static str,
    /// Why, or what it does.
    pub explanation: String,
    /// What that means for a move.
    #[serde(rename = "move")]
    pub moves: Move,
}

/// One path of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Path {
    /// The host of its rule; `*` is every one.
    pub host: String,
    /// As it is written.
    pub path: String,
    /// As it is written.
    pub path_type: String,
    /// Which requests it answers here.
    pub answers: String,
    /// What else to know of it.
    pub notes: Vec<String>,
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The object.
    pub object: String,
    /// The field.
    pub field: String,
    /// One word for machines.
    pub reason: String,
    /// What is wrong and what to do.
    pub message: String,
    /// What that means for a move.
    #[serde(rename = "move")]
    pub moves: Move,
}

/// The settings of the running ingress-nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// The ConfigMap.
    pub object: String,
    /// Its keys.
    pub entries: Vec<Entry>,
}

/// A way of ingress-nginx that no annotation names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behaviour {
    /// What ingress-nginx does.
    pub there: &'static str,
    /// What happens here.
    pub here: &'static str,
}

impl Report {
    /// Whether something could not be read, or nothing compared.
    pub fn is_unread(&self) -> bool {
        let is_empty = self.comparison.as_ref().is_some_and(Comparison::is_empty);
        is_empty || self.notices.iter().any(|notice| notice.severity == "error")
    }

    /// Whether something must be changed before.
    pub fn needs_change(&self) -> bool {
        let Summary { change_before, settings_change_before, others_change_before, .. } = self.summary;
        let differs = self.comparison.as_ref().is_some_and(|comparison| !comparison.different.is_empty());
        differs || change_before + settings_change_before + others_change_before > 0
    }
}

impl Summary {
    /// Whether to move, in a sentence for who decides it.
    pub(super) fn result(&self, is_unread: bool) -> String {
        let named = [
            (self.change_before, "Ingress", "Ingresses"),
            (self.settings_change_before, "setting of ingress-nginx", "settings of ingress-nginx"),
            (self.others_change_before, "finding of other objects", "findings of other objects"),
        ];
        let named = named.into_iter().filter(|(count, ..)| *count > 0);
        let named: Vec<_> = named.map(|(count, one, more)| counted(count, one, more)).collect();
        let total = self.change_before + self.settings_change_before + self.others_change_before;
        let verb = if total == 1 { "needs" } else { "need" };
        let mut result = match (named.is_empty(), self.small_differences) {
            (false, _) => format!("Not ready: {} {verb} a change before the move.", listed(&named)),
            (true, 0) => "Ready: nothing has to be changed before the move.".to_owned(),
            (true, count) => format!(
                "Ready: nothing has to be changed before the move; {} will behave a little differently.",
                counted(count, "Ingress", "Ingresses")
            ),
        };
        if is_unread {
            result.insert_str(0, "Not known for sure, as something could not be read. ");
        }
        result
    }
}

/// Names as a sentence lists them.
fn listed(names: &[String]) -> String {
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// So many of them.
pub(super) fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", noun(count, one, more))
}

/// What so many of them are called.
pub(super) fn noun<'a>(count: usize, one: &'a str, more: &'a str) -> &'a str {
    if count == 1 { one } else { more }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_a_sentence() {
        let small = Summary { small_differences: 1, ..Summary::default() };
        let change = Summary { change_before: 2, settings_change_before: 1, ..small.clone() };
        let one = Summary { others_change_before: 1, ..Summary::default() };
        let table = [
            (Summary::default(), false, "Ready: nothing has to be changed before the move."),
            (
                small,
                false,
                "Ready: nothing has to be changed before the move; 1 Ingress will behave a little differently.",
            ),
            (
                change,
                false,
                "Not ready: 2 Ingresses and 1 setting of ingress-nginx need a change before the move.",
            ),
            (
                one,
                true,
                "Not known for sure, as something could not be read. \
                 Not ready: 1 finding of other objects needs a change before the move.",
            ),
        ];
        for (summary, is_unread, want) in table {
            assert_eq!(summary.result(is_unread), want);
        }
    }
}
