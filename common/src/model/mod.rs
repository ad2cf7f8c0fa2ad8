//! The model: plain data that says what the proxy shall do, comparable and printable.

mod backend;
mod caller;
mod certificate;
mod duration;
mod endpoint;
mod host;
mod limits;
mod listener;
pub mod matching;
mod problem;
mod retry;
mod route;
mod snapshot;
mod source;

pub use backend::{Backend, BackendProtocol, BackendTls, Balance, Discovery, Health, RetryAllowance};
pub use caller::Caller;
pub use certificate::Certificate;
pub use endpoint::{Endpoint, EndpointState, Endpoints};
pub use host::{HostMatch, VirtualHost};
pub use limits::{Http2Limits, Limits};
pub use listener::{Listener, ListenerProtocol, LoopProtection, ServiceNames, TcpRoute};
pub use matching::{CallerMatch, Conditions, FieldMatch, PathMatch, QueryMatch, ValueMatch};
pub use problem::{Problem, Severity};
pub use retry::{Retry, RetryOn};
pub use route::{BackendRef, BackendTarget, InvalidBackend, Mirror, Route, RulesRef, Timeouts};
pub use snapshot::{RouteSet, Snapshot};
pub use source::Source;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
