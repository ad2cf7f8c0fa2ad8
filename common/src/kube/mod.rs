//! Kubernetes: the only place that knows its types and its API server.

pub mod endpoints;
pub mod objects;
pub mod reader;
pub mod store;
pub mod translation;
