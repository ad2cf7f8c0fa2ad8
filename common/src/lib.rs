//! Selvedge's engine and model, shared by every stage: what a proxy shall do, and the proxy that does it.

mod duration;
pub mod filter;
pub mod http1;
pub mod http2;
pub mod id;
#[cfg(feature = "kube")]
pub mod kube;
pub mod message;
pub mod model;
pub mod near;
#[cfg(feature = "program")]
pub mod program;
mod protobuf;
pub mod proxy;
pub mod quote;
pub mod routing;
pub mod runtime;
pub mod source;
pub mod spans;
pub mod upstream;
