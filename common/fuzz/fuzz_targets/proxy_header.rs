//! Runs the target `proxy_header` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/proxy_header.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
