//! The proxy on real sockets: a real engine between raw clients and scripted origins.

#![allow(clippy::unwrap_used, reason = "what tests share may fail like the tests themselves")]

mod floods;
mod forwarding;
mod grpc;
mod h2spec;
mod http2;
mod http2_backend;
mod http2_limits;
mod tls;
