//! Sizes: a file is at most 600 lines of production code; above 400 it is named as a warning (rule R11).

use crate::{
    assert_none, code,
    tree::{self, File},
};

const AIM: usize = 400;
const MOST: usize = 600;

fn lines(file: &File) -> usize {
    match file.path.ends_with("/tests.rs") {
        true => 0,
        false => code::production(&file.text).lines().count(),
    }
}

fn check(file: &File) -> Option<String> {
    let lines = lines(file);
    (lines > MOST)
        .then(|| format!("{}: {lines} lines; {MOST} are the most, {AIM} the aim: split it", file.path))
}

#[test]
fn no_file_is_too_long() {
    for file in tree::rust().filter(|file| lines(file) > AIM) {
        eprintln!("warning: {} has {} lines; aim at {AIM}", file.path, lines(file));
    }
    assert_none(tree::rust().filter_map(check).collect());
}

#[test]
fn a_long_file_is_found_and_tests_do_not_count() {
    let long = "\n".repeat(601);
    assert!(check(&File::sample("common/src/a.rs", &long)).is_some());
    assert!(check(&File::sample("common/src/a.rs", &long[..600])).is_none());
    assert!(
        check(&File::sample("common/src/a.rs", &format!("#[cfg(test)]\nmod tests {{{long}}}"))).is_none()
    );
}
