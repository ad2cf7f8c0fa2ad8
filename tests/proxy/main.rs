//! The proxy on real sockets: a real engine between raw clients and scripted origins.

#![allow(clippy::unwrap_used, reason = "a test fails by its panics, in whatever function")]

mod affinity;
mod answers;
mod auth_request;
mod balance;
mod basic_auth;
mod breaking;
mod buffering;
mod callers;
mod client_certificates;
mod compression;
mod connect;
mod deadlines;
mod drain;
mod edge_rules;
mod edge_traces;
mod endpoints;
mod error_pages;
mod expect;
mod fairness;
mod fields;
mod filters;
mod floods;
mod forwarding;
mod framing;
mod grpc;
mod h2spec;
mod health_checks;
mod hostile;
mod http2;
mod http2_backend;
mod http2_hostile;
mod http2_interim;
mod http2_limits;
mod limits;
mod listeners;
mod loops;
mod mirror;
mod panics;
mod passing;
mod proxy_protocol;
mod records;
mod retries;
mod retry_status;
mod service_names;
mod service_rules;
mod shedding;
mod spreading;
mod streaming;
mod strictness;
mod tcp;
mod timing;
mod tls;
mod tls_passthrough;
mod tls_table;
mod traces;
mod upgrades;
mod vanished;
mod web_filters;
mod zones;

use selvedge_tests::proxy::{Proxy, Setup};

/// An engine without routes whose settings differ from the usual ones.
fn proxy_with(change: impl FnOnce(&mut Setup)) -> Proxy {
    let mut setup = Setup::default();
    change(&mut setup);
    Proxy::start(setup)
}
