//! Routing: from host and path to the one route that answers; compiled when a snapshot is applied.

mod hosts;
mod paths;
mod table;

pub use hosts::HostTable;
pub use table::Table;

#[cfg(test)]
mod tests;
