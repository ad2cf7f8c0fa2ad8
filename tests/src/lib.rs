//! Test harness shared by the test binaries: real engines, scripted origins and raw clients on loopback.

pub mod client;
pub mod http2;
pub mod http2_frames;
pub mod origin;
pub mod proxy;
pub mod tls;
