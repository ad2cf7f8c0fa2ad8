//! Runs the target `frames` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/frames/mod.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
