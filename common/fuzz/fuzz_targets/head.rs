//! Runs the target `head` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/head.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
