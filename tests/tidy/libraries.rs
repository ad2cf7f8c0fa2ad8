//! Libraries: each one that the workspace names has its reason in ARCHITECTURE.md, and no other one has.

use crate::{assert_none, tree};

/// Names in the section `[workspace.dependencies]` that are not ours.
fn named(manifest: &str) -> Vec<&str> {
    let section = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| Some(line.split_once(" = ")?.0));
    names.filter(|name| !name.starts_with("selvedge-")).collect()
}

/// Names in the table of the section "Libraries".
fn explained(text: &str) -> Vec<&str> {
    let section = text.lines().skip_while(|line| *line != "## Libraries").skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    first.flat_map(|names| names.split(',')).map(|name| name.trim().trim_matches('`')).collect()
}

fn check(manifest: &str, text: &str) -> Vec<String> {
    let (named, explained) = (named(manifest), explained(text));
    let unexplained = named.iter().filter(|name| !explained.contains(name));
    let stale = explained.iter().filter(|name| !named.contains(name));
    unexplained
        .map(|name| format!("{name}: say in ARCHITECTURE.md, section Libraries, what it is for"))
        .chain(stale.map(|name| format!("{name}: ARCHITECTURE.md explains it, and no manifest names it")))
        .collect()
}

#[test]
fn every_library_has_its_reason() {
    let text = |path: &str| &tree::files().iter().find(|file| file.path == path).expect("it is there").text;
    assert_none(check(text("Cargo.toml"), text("ARCHITECTURE.md")));
}

#[test]
fn a_library_without_reason_and_a_reason_without_library_are_found() {
    let manifest =
        "[workspace.dependencies]\nselvedge-crds = { path = \"crds\" }\na = \"1\"\nb = \"2\"\n[other]\nc = 1";
    let text = "## Libraries\n\n| library | for |\n|---|---|\n| `a`, `d` | x |\n## Next\n| `e` | y |";
    assert_eq!(check(manifest, text).len(), 2);
    assert_none(check("[workspace.dependencies]\na = \"1\"", "## Libraries\n| `a` | x |"));
}
