//! Sizes of tests: small in every run, and as large as RELIABILITY.md says where that is asked for.

use std::{env, path::PathBuf};

/// Whether tests shall be as large as RELIABILITY.md says; they are then run one at a time.
pub fn is_full() -> bool {
    env::var_os("SELVEDGE_FULL").is_some()
}

/// The one size or the other.
pub fn size<T>(usual: T, full: T) -> T {
    if is_full() { full } else { usual }
}

/// A program that shall be tested in the place of the one that was built with the tests, for example an optimised one.
pub fn program() -> Option<PathBuf> {
    env::var_os("SELVEDGE_PROGRAM").map(PathBuf::from)
}

/// Says a figure past the capture of output by the test runner, if tests are full.
pub fn figure(text: &str) {
    use std::io::Write;
    if is_full() {
        // A closed standard error is no reason to fail.
        let _ = writeln!(std::io::stderr(), "figure: {text}");
    }
}
