//! Selvedge's edge: Ingress objects become what the engine shall do.

pub mod annotations;
pub mod app;
pub mod args;
pub mod class;
pub mod globals;
pub mod migrate;
pub mod settings;
pub mod translate;
