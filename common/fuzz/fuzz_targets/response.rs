//! Runs the target `response` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/response.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
