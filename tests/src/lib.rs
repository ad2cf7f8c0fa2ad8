//! Test harness shared by the test binaries: real engines, scripted origins and raw clients on loopback.

pub mod api_server;
pub mod client;
pub mod load;
pub mod manifests;
pub mod origin;
pub mod own_network;
pub mod pod;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod real_api_server;
pub mod waiting;
