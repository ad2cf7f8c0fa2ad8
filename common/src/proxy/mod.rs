//! The proxy: what happens to a connection and to each request on it.
//!
//! The way of a request: `accept` → `detect` → `tls` → `http1` or `http2` → `http` (route, filters) → `forward`
//! (pick, send, try again) → `body`; `exchange` records it however it ends. Where TLS does not end here, or no HTTP is
//! spoken, `tcp` carries the bytes.

mod accept;
mod address;
mod again;
mod asking;
mod attempt;
mod auth_request;
mod body;
mod bound;
mod buffering;
mod carry;
mod certificate_text;
mod client_tls;
mod compressed;
mod connect;
mod counting;
mod detect;
mod entry;
mod error_pages;
mod exchange;
mod forward;
mod grpc;
mod grpc_timeout;
mod handshake;
mod headers;
mod hello;
mod http;
mod http1;
mod http2;
mod identity;
mod ingress_nginx;
mod ip_text;
mod limited;
mod live;
mod loops;
mod mirror;
mod passing;
mod passwords;
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
mod shaped;
mod shared;
mod shedding;
mod spanning;
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
