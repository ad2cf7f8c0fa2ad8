//! The quickstart: the edge before a few small services, all in one process.

pub mod demo;
pub mod services;
pub mod smoke;
pub mod tries;
