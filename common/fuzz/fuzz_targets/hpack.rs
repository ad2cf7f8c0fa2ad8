//! Runs the target `hpack` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/hpack.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
