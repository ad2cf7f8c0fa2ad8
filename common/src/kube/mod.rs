//! Kubernetes: the only place that knows its types and its API server.

pub mod objects;
