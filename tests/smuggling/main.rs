//! Smuggling: raw requests and raw answers whose end could be seen in two ways, through a real proxy.

#![allow(clippy::unwrap_used, reason = "a test fails by its panics, in whatever function")]

mod answers;
mod changed;
mod corpus;
mod habits;
mod http2;
mod message;
#[path = "../../common/tests/fuzz/numbers.rs"]
mod numbers;
mod origin;
mod requests;
mod responses;
