//! Test harness shared by the test binaries: real engines, scripted origins and raw clients on loopback.

pub mod client;
pub mod log;
pub mod origin;
pub mod proxy;
