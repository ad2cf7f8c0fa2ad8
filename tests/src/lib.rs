//! Test harness shared by the test binaries: engines, API servers, origins and clients, all real, on loopback.

pub mod api_server;
pub mod client;
pub mod collector;
pub mod crowd;
pub mod edge;
pub mod follower;
pub mod http2;
pub mod http2_frames;
pub mod in_process;
pub mod load;
pub mod log;
pub mod manifests;
pub mod not_run;
pub mod origin;
pub mod own_network;
pub mod pod;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod real_api_server;
pub mod router;
pub mod shops;
pub mod size;
pub mod tls;
pub mod waiting;
