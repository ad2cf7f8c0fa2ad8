//! Runs the target `rewrite` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/rewrite.rs"]
mod target;
#[path = "../../tests/fuzz/template.rs"]
mod template;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
