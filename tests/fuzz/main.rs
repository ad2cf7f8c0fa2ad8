//! Fuzz targets over all that objects go through: files, manifests, translation, tables and the snapshot as text.
//!
//! The golden cases are the corpus. With `SELVEDGE_FUZZ_SECONDS` each target goes on for so long.

#![allow(clippy::unwrap_used, reason = "a test fails by its panics, in whatever function")]

mod annotations;
mod companions;
mod exhaustion;
mod forms;
mod grammar;
mod injection;
#[path = "../../common/tests/fuzz/numbers.rs"]
mod numbers;
mod objects;
mod scene;
mod silence;
mod snapshots;
mod stage;
mod strict;
mod values;

use std::{fs, path::Path};

use annotations::Corpus;
use numbers::repeat;
use stage::Stage;

/// Pieces of manifests.
const WORDS: &[&[u8]] = &[
    b": ",
    b"\n",
    b"  ",
    b"- ",
    b"---\n",
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"65536",
    b"18446744073709551616",
    b"1e999",
    b".nan",
    b"\"",
    b"'",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!binary ",
    b"|\n",
    b"\t",
    b"#",
    b"0s",
    b"99999h",
    b"-5s",
    b"*",
    b"*.example",
    b"/",
    b"/a/../b",
    b"%2f",
    b"(?i)",
    b"{1000}",
    b"\xc3\xa9",
    b"\xff",
    b"kind: RouteRule\n",
    b"kind: Secret\n",
    b"namespace: other\n",
];

/// The golden cases.
fn corpus() -> Vec<Vec<u8>> {
    let list = |folder: &Path| {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let areas = list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("golden"));
    let files = areas.iter().filter(|path| path.is_dir()).flat_map(|area| list(area));
    let is_case = |path: &std::path::PathBuf| !path.to_str().unwrap().ends_with(".out.yaml");
    let corpus: Vec<_> = files.filter(is_case).map(|path| fs::read(path).unwrap()).collect();
    assert!(corpus.len() >= 95, "{} cases", corpus.len());
    corpus
}

#[test]
fn manifests_of_any_bytes_are_read_and_translated() {
    let corpus = corpus();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    repeat("manifests", 60, |numbers| objects::check_file(&file, &numbers.change(&corpus, WORDS)));
}

#[test]
fn objects_with_any_values_are_translated() {
    let documents = objects::documents(&corpus());
    repeat("objects", 60, |numbers| {
        let count = 1 + numbers.below(6);
        let list: Vec<_> = (0..count).map(|_| values::change(numbers, &documents)).collect();
        objects::check_documents(&list);
    });
}

#[test]
fn snapshots_of_any_text_are_read_and_served() {
    let corpus = snapshots::corpus(&objects::documents(&corpus()));
    repeat("snapshots", 300, |numbers| snapshots::check(&numbers.change(&corpus, WORDS)));
}

#[test]
fn annotations_with_any_values_are_translated_and_served() {
    let corpus = Corpus::read();
    let mut stage = Stage::start();
    repeat("annotations", 400, |numbers| annotations::check(&mut stage, &corpus, numbers));
    stage.finish();
}

#[test]
fn forms_agree_with_their_models() {
    let corpus = Corpus::read().into_values();
    corpus.iter().for_each(|value| forms::check(value));
    let pieces = grammar::pieces();
    repeat("forms", 500, |numbers| forms::check(&numbers.change(&corpus, &pieces)));
}
