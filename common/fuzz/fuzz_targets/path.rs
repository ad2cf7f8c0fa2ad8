//! Runs the target `path` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/path.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
