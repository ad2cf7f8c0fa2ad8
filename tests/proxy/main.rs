//! The proxy on real sockets: a real engine between raw clients and scripted origins.

mod floods;
mod forwarding;
mod grpc;
mod h2spec;
mod http2;
mod http2_backend;
mod http2_limits;
mod tls;
