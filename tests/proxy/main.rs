//! The proxy on real sockets: a real engine between raw clients and scripted origins.

mod forwarding;
mod h2spec;
mod tls;
