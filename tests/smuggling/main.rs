//! Smuggling: raw requests and raw answers whose end could be seen in two ways, through a real proxy.

#![allow(clippy::unwrap_used, reason = "a test fails by its panics, in whatever function")]

mod answers;
mod corpus;
mod habits;
mod message;
mod origin;
mod requests;
mod responses;
