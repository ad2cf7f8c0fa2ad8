//! Recorded answers of ingress-nginx, against those that the edge gives to the same requests.
//!
//! The objects are those of the record, sockets and TLS are real. `answers/README.md` says how the answers were recorded
//! and how they are written down.

mod backends;
mod case;
mod certificates;
mod client;
mod compare;
mod differences;
mod edge;
mod objects;
mod origin;
mod pattern;
mod replay;
mod seen;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use backends::Backends;
use case::Written;
use compare::Mismatch;
use differences::Differences;

/// How many cases run at once. Most of their time they wait for sockets.
const AT_ONCE: usize = 6;

#[test]
fn requests_are_answered_as_recorded_or_as_the_list_of_differences_says() {
    let differences = Differences::read(&folder().join("differences.yaml"));
    let cases = cases();
    assert!(cases.len() >= 246, "only {} cases were found", cases.len());
    let wrong_names = differences.unknown(&cases.iter().map(|case| case.name.clone()).collect());
    assert!(wrong_names.is_empty(), "these are listed as different, but are no cases: {wrong_names:?}");
    let found = run(&cases, &differences);
    let wanted = std::env::var("NGINX_CASES").ok();
    if let Some(wanted) = &wanted {
        print_cases(&found, wanted);
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        print_causes(&found);
        differences.rewrite(&found);
        return;
    }
    let wrong = differences.judge(&found);
    assert!(wrong.is_empty(), "{} surprises:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_has_a_name_and_says_what_it_shows() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(case.name.starts_with(&format!("{}-", case.area)), "{} is in {}", case.name, case.area);
        assert!(case.shows.len() > 10, "{} says nothing", case.name);
        assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
    }
}

/// Replays all cases, several at once, and tells what differs in each.
fn run(cases: &[Written], differences: &Differences) -> BTreeMap<String, Vec<Mismatch>> {
    let next = Mutex::new(cases.iter());
    let found = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let backends = Backends::start();
                loop {
                    let Some(written) = next.lock().expect("nobody panics with it").next() else { return };
                    let case = written.at(&backends).unwrap_or_else(|e| panic!("{}: {e}", written.name));
                    let mismatches = replay::replay(&case, &backends, differences);
                    found.lock().expect("nobody panics with it").insert(case.case, mismatches);
                }
            });
        }
    });
    found.into_inner().expect("nobody panicked with it")
}

fn cases() -> Vec<Written> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder().join("answers"))
        .expect("the folder of answers can be read")
        .map(|entry| entry.expect("its entries too").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files.iter().flat_map(|path| case::read(path)).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx")
}

/// Prints what differs in the cases whose name holds this text.
fn print_cases(found: &BTreeMap<String, Vec<Mismatch>>, wanted: &str) {
    for (name, mismatches) in found.iter().filter(|(name, _)| name.contains(wanted)) {
        eprintln!("{name}: {}", if mismatches.is_empty() { "as recorded" } else { "differs" });
        for mismatch in mismatches {
            eprintln!("  {mismatch}");
        }
    }
}

/// Prints why cases differ, the most frequent reason first.
fn print_causes(found: &BTreeMap<String, Vec<Mismatch>>) {
    let mut causes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, mismatches) in found {
        for mismatch in mismatches {
            causes.entry(&mismatch.cause).or_default().insert(name);
        }
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(cause, names)| (std::cmp::Reverse(names.len()), *cause));
    for (cause, names) in causes {
        let list: Vec<_> = names.iter().copied().collect();
        eprintln!("{:>4} {cause}: {}", names.len(), list.join(" "));
    }
}
