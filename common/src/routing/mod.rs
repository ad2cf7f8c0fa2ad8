//! Routing: from a request to the one route that answers; compiled when a snapshot is applied.

mod choices;
mod conditions;
mod host_map;
mod hosts;
mod level;
mod paths;
mod table;

pub use conditions::Asked;
pub use hosts::{HostTable, Passthrough};
pub use table::Table;

#[cfg(test)]
mod tests;
