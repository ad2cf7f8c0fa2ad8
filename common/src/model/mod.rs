//! The model: plain data that says what the proxy shall do, comparable and printable.

mod backend;
mod backend_limits;
mod backend_tls;
mod balance;
mod caller;
mod certificate;
mod check;
mod client_verification;
mod endpoint;
mod error_pages;
mod host;
mod limits;
mod listener;
pub mod matching;
mod pass_through;
mod priority;
mod problem;
mod rare;
mod retry;
mod route;
mod shared;
mod shared_map;
mod snapshot;
mod source;
mod tls_passthrough;
mod traces;

use crate::duration;

pub use backend::{Backend, BackendProtocol, Discovery, FailingStatuses, Health, RetryAllowance};
pub use backend_limits::{BackendLimits, Fairness};
pub use backend_tls::{BackendTls, ProxyProtocolVersion, Trust};
pub use balance::{Affinity, Balance, HashKey, SameSite, SecureCookie};
pub use caller::Caller;
pub use certificate::Certificate;
pub use check::{HealthCheck, HealthCheckKind};
pub use client_verification::ClientVerification;
pub use endpoint::{Endpoint, EndpointState, Endpoints};
pub use error_pages::ErrorPages;
pub use host::{HostMatch, VirtualHost};
pub use limits::{Http2Limits, Limits};
pub use listener::{Listener, ListenerProtocol, LoopProtection, ServiceNames, TcpRoute};
pub use matching::{CallerMatch, Conditions, FieldMatch, PathMatch, QueryMatch, ValueMatch};
pub use pass_through::PassThrough;
pub use priority::Priority;
pub use problem::{Problem, Severity};
pub use rare::{Rare, Usual};
pub use retry::{Retry, RetryOn};
pub use route::{BackendRef, BackendTarget, ClientFields, InvalidBackend, Mirror, Route, RulesRef, Timeouts};
pub use shared::Shared;
pub use shared_map::{Difference, SharedMap};
pub use snapshot::{RouteSet, Snapshot};
pub use source::Source;
pub use tls_passthrough::TlsPassthrough;
pub use traces::{Collector, OtlpProtocol, RouteTracing, Sampler, Tracing};

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
