//! Openings: every Rust file says its duty first, and no module lies beside its folder.

use crate::{
    assert_none,
    tree::{self, File},
};

fn check(file: &File) -> Option<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|duty| duty.ends_with('.'));
    (!says).then(|| format!("{}:1: begin with `//!` and one sentence that says the file's duty", file.path))
}

fn check_layout(paths: &[&str]) -> Vec<String> {
    let beside = paths.iter().filter(|path| {
        let folder = path.strip_suffix(".rs").map(|stem| format!("{stem}/"));
        folder.is_some_and(|folder| paths.iter().any(|other| other.starts_with(&folder)))
    });
    beside.map(|path| format!("{path}: move it into its folder as mod.rs")).collect()
}

#[test]
fn every_file_says_its_duty() {
    assert_none(tree::rust().filter_map(check).collect());
}

#[test]
fn modules_lie_in_their_folders() {
    let paths: Vec<_> = tree::rust().map(|file| file.path.as_str()).collect();
    assert_none(check_layout(&paths));
}

#[test]
fn a_file_without_a_duty_is_found() {
    for text in ["", "use std::fmt;\n//! Late.", "//! No end", "//!\n"] {
        assert!(check(&File::sample("common/src/a.rs", text)).is_some(), "{text}");
    }
    assert!(check(&File::sample("common/src/a.rs", "//! Does it.\n")).is_none());
}

#[test]
fn a_module_beside_its_folder_is_found() {
    assert_eq!(check_layout(&["a/b.rs", "a/b/c.rs"]).len(), 1);
    assert_eq!(check_layout(&["a/b/mod.rs", "a/b/c.rs", "a/bc.rs"]).len(), 0);
}
