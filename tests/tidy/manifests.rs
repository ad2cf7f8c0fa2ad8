//! Manifests: every crate takes the workspace's lints, and the changelog has its open section.

use crate::{
    assert_none,
    tree::{self, File},
};

/// Lines that the manifest of each crate holds.
const WANTED: [&str; 5] = [
    "[lints]\nworkspace = true",
    "edition.workspace = true",
    "license.workspace = true",
    "rust-version.workspace = true",
    "publish = false",
];

fn check(file: &File) -> Vec<String> {
    // A workspace of its own stands outside, as a fuzzer's crate does.
    if file.text.lines().any(|line| line == "[workspace]") {
        return vec![];
    }
    let missing = WANTED.iter().filter(|wanted| !file.text.contains(*wanted));
    missing.map(|wanted| format!("{}: no line {wanted:?}", file.path)).collect()
}

fn check_changelog(text: &str) -> Option<String> {
    let first = text.lines().find(|line| line.starts_with("## "));
    (first != Some("## Unreleased")).then(|| "CHANGELOG.md: the first section is Unreleased".into())
}

#[test]
fn crates_follow_the_workspace() {
    let manifests = tree::files().iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    assert_none(manifests.flat_map(check).collect());
}

#[test]
fn the_changelog_has_its_open_section() {
    let changelog = tree::files().iter().find(|file| file.path == "CHANGELOG.md");
    let text = changelog.map_or("", |file| &file.text);
    assert_none(check_changelog(text).into_iter().collect());
}

#[test]
fn a_crate_of_its_own_mind_is_found() {
    let good = WANTED.join("\n");
    assert_none(check(&File::sample("a/Cargo.toml", &good)));
    assert_none(check(&File::sample("a/fuzz/Cargo.toml", "[workspace]\n")));
    assert_eq!(check(&File::sample("a/Cargo.toml", &good.replace("publish = false", ""))).len(), 1);
}

#[test]
fn a_changelog_without_an_open_section_is_found() {
    assert!(check_changelog("# Changelog\n\n## 0.1.0\n\n## Unreleased\n").is_some());
    assert!(check_changelog("# Changelog\n\n## Unreleased\n\n## 0.1.0\n").is_none());
}
