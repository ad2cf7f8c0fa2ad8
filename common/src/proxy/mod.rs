//! The proxy: what happens to a connection and to each request on it.
//!
//! The way of a request: `accept` → `detect` → `tls` → `http1` or `http2` → `http` (route, filters) → `forward`
//! (pick, send, try again) → `body`; `exchange` records it however it ends.

mod accept;
mod address;
mod again;
mod attempt;
mod body;
mod bound;
mod carry;
mod connect;
mod detect;
mod entry;
mod exchange;
mod forward;
mod grpc;
mod grpc_timeout;
mod headers;
mod http;
mod http1;
mod http2;
mod identity;
mod ingress_nginx;
mod ip_text;
mod live;
mod loops;
mod mirror;
mod passing;
mod picking;
mod rate_limits;
mod reach;
mod reasons;
mod replay;
mod respond;
mod responder;
mod rules;
mod send_http1;
mod send_http2;
mod sending;
mod shared;
mod shedding;
mod spreading;
mod tcp;
mod timing;
pub mod tls;
mod turn;
mod until;
mod upgrade;
mod worker;

pub use accept::{Handover, Message, accept, serve_connection};
pub use bound::{Bound, Opening};
pub use http1::DRAIN_IDLE;
pub use identity::{Identity, WorkerEdges, WorkerTokens};
pub use live::{Live, LiveListener, LiveRoute, Parts, Place, Target};
pub use reasons::REASONS;
pub use shared::{ProxySettings, Shared};
pub use worker::Worker;
