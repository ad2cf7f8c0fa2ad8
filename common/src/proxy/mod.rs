//! The proxy: what happens to a connection and to each request on it.

pub mod tls;
