//! Runs the target `host` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/host.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
