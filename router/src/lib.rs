//! The router tier: Services become what the engine shall do with the traffic between them.

pub mod app;
pub mod args;
pub mod graph;
pub mod settings;
pub mod translate;
