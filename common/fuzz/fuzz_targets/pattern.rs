//! Runs the target `pattern` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/pattern.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
