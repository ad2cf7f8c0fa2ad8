//! What is read from and written to an API server: the small one of the tests, and a real one where it is found.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod callers;
mod definitions;
mod edge;
mod events;
mod lease;
mod migrate;
mod owners;
mod parameters;
mod pods;
mod rule_status;
mod servers;
mod status;
mod switch;
mod watch;
