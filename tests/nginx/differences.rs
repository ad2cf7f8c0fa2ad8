//! The list of differences: what differs on purpose, what is not sent, and what does not pass yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::compare::Mismatch;

/// Where the part of the file begins that the test writes.
const WRITTEN: &str = "\nnot_yet:";

/// The file.
pub struct Differences {
    path: PathBuf,
    lists: Lists,
    unsent: BTreeMap<String, BTreeSet<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    /// Differs on purpose.
    on_purpose: Vec<Entry>,
    /// Is not sent.
    not_sent: Vec<Entry>,
    /// Counts how often endpoints are asked, and so runs with none ever left out for its failures.
    never_ejected: BTreeSet<String>,
    /// Does not pass yet.
    not_yet: BTreeSet<String>,
}

/// Exchanges of a case, and why they are in the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    case: String,
    /// Numbers of the exchanges; all of them if there are none.
    #[serde(default)]
    exchanges: BTreeSet<usize>,
    /// The annotation or behaviour that it is about.
    about: String,
    /// The reason.
    why: String,
}

impl Differences {
    /// Reads the file.
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("the list of differences can be read");
        let lists: Lists = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
        for entry in lists.on_purpose.iter().chain(&lists.not_sent) {
            assert!(!entry.why.is_empty() && !entry.about.is_empty(), "{} has no reason", entry.case);
        }
        let unsent = lists.not_sent.iter().map(|entry| (entry.case.clone(), entry.exchanges.clone()));
        let unsent = unsent.collect();
        Self { path: path.to_owned(), lists, unsent }
    }

    /// The exchanges of a case that are not sent.
    pub fn unsent(&self, case: &str) -> &BTreeSet<usize> {
        const NONE: &BTreeSet<usize> = &BTreeSet::new();
        self.unsent.get(case).unwrap_or(NONE)
    }

    /// Whether endpoints that fail are left out for a while in a case, as they are by default.
    pub fn ejects(&self, case: &str) -> bool {
        !self.lists.never_ejected.contains(case)
    }

    /// Names in the lists that no case has.
    pub fn unknown(&self, cases: &BTreeSet<String>) -> Vec<&str> {
        let entries = self.lists.on_purpose.iter().chain(&self.lists.not_sent).map(|entry| &entry.case);
        let names = entries.chain(&self.lists.never_ejected).chain(&self.lists.not_yet);
        names.filter(|name| !cases.contains(*name)).map(String::as_str).collect()
    }

    /// What is otherwise than the lists say: what differs and is not listed, and what is listed and does not differ.
    pub fn judge(&self, found: &BTreeMap<String, Vec<Mismatch>>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, mismatches) in found {
            let rest = self.unexplained(name, mismatches);
            match (rest.is_empty(), self.lists.not_yet.contains(name)) {
                (true, true) => wrong.push(format!("{name} is as recorded: take it out of not_yet")),
                (false, false) => wrong.extend(rest.iter().map(|mismatch| format!("{name} {mismatch}"))),
                _ => {}
            }
        }
        for entry in &self.lists.on_purpose {
            let differing: BTreeSet<_> =
                found.get(&entry.case).into_iter().flatten().map(|mismatch| mismatch.exchange).collect();
            let same = entry.exchanges.difference(&differing).collect::<Vec<_>>();
            if differing.is_empty() || !same.is_empty() {
                wrong.push(format!("{} {same:?} is as recorded: take it out of on_purpose", entry.case));
            }
        }
        wrong
    }

    /// Writes the list of what does not pass yet anew.
    pub fn rewrite(&self, found: &BTreeMap<String, Vec<Mismatch>>) {
        let text = fs::read_to_string(&self.path).expect("the list of differences can be read");
        let head = text.find(WRITTEN).map_or(text.as_str(), |at| &text[..at]);
        let names: Vec<_> = found
            .iter()
            .filter(|(name, mismatches)| !self.unexplained(name, mismatches).is_empty())
            .map(|(name, _)| format!("- {name}\n"))
            .collect();
        let list = if names.is_empty() { " []\n".to_owned() } else { format!("\n{}", names.concat()) };
        fs::write(&self.path, format!("{head}{WRITTEN}{list}")).expect("the list can be written");
    }

    /// What does not differ on purpose.
    fn unexplained<'a>(&self, name: &str, mismatches: &'a [Mismatch]) -> Vec<&'a Mismatch> {
        let is_meant = |mismatch: &&Mismatch| {
            let covers = |entry: &Entry| {
                entry.case == name
                    && (entry.exchanges.is_empty() || entry.exchanges.contains(&mismatch.exchange))
            };
            !self.lists.on_purpose.iter().any(covers)
        };
        mismatches.iter().filter(is_meant).collect()
    }
}
