//! The model: plain data that says what the proxy shall do, comparable and printable.

mod backend;
mod certificate;
mod endpoint;
mod host;
mod limits;
mod listener;
mod matching;
mod problem;
mod route;
mod snapshot;

use crate::duration;

pub use backend::{Backend, BackendProtocol, BackendTls, Balance, Discovery, Health, RetryAllowance};
pub use certificate::Certificate;
pub use endpoint::{Endpoint, EndpointState, Endpoints};
pub use host::{HostMatch, VirtualHost};
pub use limits::{Http2Limits, Limits};
pub use listener::{Listener, ListenerProtocol};
pub use matching::PathMatch;
pub use problem::{Problem, Severity};
pub use route::{BackendRef, BackendTarget, InvalidBackend, Retry, Route, Timeouts};
pub use snapshot::{RouteSet, Snapshot};

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
