//! HTTP/2: bodies, fields and tunnels in the form that frames are made from, and what guards a client's connection.

mod fields;
mod guard;
pub mod hpack;
mod incoming;
mod outgoing;
mod tunnel;

pub use fields::header_map;
pub use guard::{Guard, Traffic};
pub use incoming::Http2Incoming;
pub use outgoing::{BrokenOff, Http2Outgoing};
pub use tunnel::Http2Tunnel;
