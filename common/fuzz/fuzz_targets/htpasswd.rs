//! Runs the target `htpasswd` under a fuzzer.
#![no_main]

#[path = "../../tests/fuzz/htpasswd.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|input: &[u8]| target::check(input));
