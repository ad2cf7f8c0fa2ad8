//! Runs the target `chunked` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/chunked.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
