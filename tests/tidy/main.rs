//! The house in order: rules about the source tree that no compiler holds.
//!
//! Each module is one rule: a function that reads files and returns what is wrong, a test on the tree, and a
//! test that the rule can fail.

mod clocks;
mod code;
mod examples;
mod generated;
mod habits;
mod layers;
mod libraries;
mod manifests;
mod openings;
mod purity;
mod sizes;
mod tree;
mod words;

/// Fails with every violation, one in a line.
#[track_caller]
fn assert_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
