//! HTTP/2: what hyper, which speaks it, needs from us on either side.

mod channel;
mod executor;

pub use channel::{BodySender, BrokenOff, ChannelBody, channel};
pub use executor::LocalExecutor;
