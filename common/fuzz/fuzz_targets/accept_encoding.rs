//! Runs the target `accept_encoding` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/accept_encoding.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
