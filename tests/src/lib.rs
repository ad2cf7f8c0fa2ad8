//! Test harness shared by the test binaries.
