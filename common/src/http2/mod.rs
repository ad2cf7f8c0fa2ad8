//! HTTP/2: what hyper, which speaks it, needs from us on either side.

mod channel;
mod executor;
mod guard;

pub use channel::{BodySender, Breakage, BrokenOff, ChannelBody, channel};
pub use executor::{LocalExecutor, Stream, StreamExecutor};
pub use guard::{Guard, Traffic};
