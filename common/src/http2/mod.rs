//! HTTP/2 (RFC 9113): frames, fields and streams of a connection, bodies and tunnels on its streams.

mod block;
mod budget;
mod client;
mod connection;
mod frame;
mod head;
pub mod hpack;
mod incoming;
mod interim;
mod outbox;
mod outgoing;
mod reason;
mod receive;
mod settings;
mod shared;
mod stream;
mod traffic;
mod tunnel;
mod window;

pub use block::Block;
pub use client::Client;
pub use connection::{Connection, ConnectionError, PREFACE, Watch};
pub use head::HeadWriter;
pub use incoming::Http2Incoming;
pub use outgoing::{BrokenOff, Http2Outgoing};
pub use reason::{Broken, Reason};
pub use settings::Settings;
pub use stream::Handle;
pub use traffic::Traffic;
pub use tunnel::Http2Tunnel;
