//! Kubernetes: the only place that knows its types and its API server.

pub mod addresses;
mod backoff;
pub mod callers;
pub mod conditions;
pub mod endpoints;
pub mod events;
mod few;
pub mod host;
pub mod ingress;
mod known;
pub mod lease;
pub mod manifests;
pub mod objects;
pub mod pods;
mod raw;
pub mod reader;
pub mod rules;
mod schema;
pub mod secret;
pub mod service;
pub mod status;
pub mod store;
pub mod switch;
pub mod tokens;
pub mod translation;
pub mod watch;

pub use crate::near;
