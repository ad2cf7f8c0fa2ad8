//! Words: no text of the checkout names a machine's paths, a package mirror, or something left to do.

use crate::{
    assert_none,
    tree::{self, File},
};

/// Paths of one machine. Each is in two halves, so that this file does not find itself.
const PATHS: [(&str, &str); 6] =
    [("/ro", "ot/"), ("/ho", "me/"), ("/tmp/", "wt"), ("/wo", "rk/"), ("/Us", "ers/"), ("C:", "\\")];

/// Hosts of package registries and their mirrors: which one is asked is a matter of each machine.
const HOSTS: [(&str, &str); 6] = [
    ("index.cra", "tes.io"),
    ("static.cra", "tes.io"),
    ("proxy.gol", "ang.org"),
    ("registry.np", "mjs"),
    ("files.python", "hosted"),
    ("deb.deb", "ian.org"),
];

/// Marks of unfinished work.
const MARKS: [(&str, &str); 3] = [("TO", "DO"), ("FIX", "ME"), ("XX", "X:")];

/// The only source of packages that the lock file may name.
const SOURCE: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

fn check(file: &File) -> Vec<String> {
    let mut violations = Vec::new();
    let mut find = |needles: &[(&str, &str)], why: &str| {
        for needle in needles.iter().map(|(one, other)| format!("{one}{other}")) {
            let lines = file.text.lines().enumerate().filter(|(_, line)| holds(line, &needle));
            violations
                .extend(lines.map(|(number, _)| format!("{}:{}: {needle} {why}", file.path, number + 1)));
        }
    };
    find(&PATHS, "is a path of one machine");
    find(&HOSTS, "is the host of a registry");
    let is_code = [".rs", ".toml", ".sh", ".yaml"].iter().any(|end| file.path.ends_with(end));
    if is_code || file.path.starts_with(".ci/") {
        find(&MARKS, "says that something is not done; do it or leave it out");
    }
    if file.path.ends_with("Cargo.lock") {
        let foreign = file.text.lines().filter(|line| line.starts_with("source = ") && *line != SOURCE);
        violations.extend(foreign.map(|line| format!("{}: {line} is not the usual registry", file.path)));
    }
    violations
}

/// Whether the line holds the needle as the begin of a path or a word, not inside of a longer one
/// (`example/home/` is a path of a URL).
fn holds(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}'))
    })
}

#[test]
fn no_text_names_a_machine_a_mirror_or_work_left_over() {
    assert_none(tree::files().iter().flat_map(check).collect());
}

#[test]
fn forbidden_words_are_found() {
    for (one, other) in PATHS.iter().chain(&HOSTS).chain(&MARKS) {
        let text = format!("// see {one}{other}x");
        assert_eq!(check(&File::sample("common/src/a.rs", &text)).len(), 1, "{text}");
    }
    let lock = "source = \"registry+https://mirror.example/index\"";
    assert_eq!(check(&File::sample("Cargo.lock", lock)).len(), 1);
}

#[test]
fn paths_of_urls_and_longer_words_pass() {
    let path = format!("https://shop.example{}{}x", PATHS[1].0, PATHS[1].1);
    assert_none(check(&File::sample("README.md", &path)));
    let mark = format!("{}{} lists belong into an issue", MARKS[0].0, MARKS[0].1);
    assert_none(check(&File::sample("README.md", &mark)));
    assert_none(check(&File::sample("Cargo.lock", SOURCE)));
}
