//! Runs the target `template` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/template.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
