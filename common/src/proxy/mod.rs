//! The proxy: what happens to a connection and to each request on it.
//!
//! The way of a request: `accept` → `detect` → `tls` → `http1` or `http2` → `http` (route, filters) → `forward`
//! (pick, send, try again) → `body`; `exchange` records it however it ends.

mod accept;
mod body;
mod detect;
mod exchange;
mod forward;
mod grpc;
mod headers;
mod http;
mod http1;
mod http2;
mod identity;
mod live;
mod picking;
mod replay;
mod respond;
mod responder;
mod send_http1;
mod send_http2;
mod sending;
mod shared;
pub mod tls;
mod turn;
mod upgrade;
mod worker;

pub use accept::{Handover, accept, serve_connection};
pub use http1::DRAIN_IDLE;
pub use identity::{Identity, WorkerTokens};
pub use live::{Live, LiveListener, LiveRoute, Parts, Target};
pub use shared::{ProxySettings, Shared};
pub use worker::Worker;
