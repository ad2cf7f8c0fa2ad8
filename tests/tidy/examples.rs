//! Examples: every file in `examples/` is executed by a test, so it is named in one, or its folder is.

use crate::{
    assert_none,
    tree::{self, File},
};

/// Examples that none of these texts names.
fn check(examples: &[&str], texts: &[&File]) -> Vec<String> {
    let is_named = |example: &str| {
        // A test may take a whole folder, so each folder below `examples` will do as well.
        let mut path = example;
        while path != "examples" {
            if texts.iter().any(|file| file.text.contains(path)) {
                return true;
            }
            path = path.rsplit_once('/').map_or("examples", |(folder, _)| folder);
        }
        false
    };
    let missing = examples.iter().filter(|example| !is_named(example));
    missing.map(|example| format!("{example}: no test names it; add it to the table of examples")).collect()
}

#[test]
fn every_example_is_executed() {
    let files = tree::files();
    let examples = files.iter().map(|file| file.path.as_str()).filter(|path| path.starts_with("examples/"));
    // The quickstart's code lies there, too.
    let is_code = |path: &&str| [".md", ".rs", ".toml"].iter().any(|end| path.ends_with(end));
    let examples: Vec<_> = examples.filter(|path| !is_code(path)).collect();
    let is_test = |file: &&File| {
        file.is_rust() && file.path.starts_with("tests/") && !file.path.starts_with("tests/tidy/")
    };
    assert_none(check(&examples, &files.iter().filter(is_test).collect::<Vec<_>>()));
}

#[test]
fn an_example_that_no_test_names_is_found() {
    let test = File::sample(
        "tests/proxy/examples.rs",
        "run(\"examples/tls.yaml\"); run_all(\"examples/quickstart\")",
    );
    let missing =
        check(&["examples/tls.yaml", "examples/quickstart/a.yaml", "examples/forgotten.yaml"], &[&test]);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].starts_with("examples/forgotten.yaml: "), "{missing:?}");
}
