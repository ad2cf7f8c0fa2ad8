//! Reasons: why a stream or a connection ends before its time (RFC 9113 §7).

use std::fmt;

/// An error code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reason(pub u32);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl Reason {
            $($(#[$doc])* pub const $name: Reason = Reason($code);)*

            /// The name in the specification, if it has one.
            fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// Nothing went wrong.
    NO_ERROR = 0;
    /// A rule of the protocol was broken.
    PROTOCOL_ERROR = 1;
    /// Something went wrong within.
    INTERNAL_ERROR = 2;
    /// More was sent than the window allowed.
    FLOW_CONTROL_ERROR = 3;
    /// A frame came for half a stream that had ended.
    STREAM_CLOSED = 5;
    /// A frame had an impossible size.
    FRAME_SIZE_ERROR = 6;
    /// The stream was not looked at.
    REFUSED_STREAM = 7;
    /// Nobody needs the stream any more.
    CANCEL = 8;
    /// The state of the field compression is lost.
    COMPRESSION_ERROR = 9;
    /// The peer keeps us busy for nothing.
    ENHANCE_YOUR_CALM = 11;
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {}", self.0),
        }
    }
}

/// Why a stream does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The peer has reset it.
    #[error("the peer reset the stream: {0}")]
    Reset(Reason),
    /// We have reset it, mostly because the peer broke a rule on it.
    #[error("the stream was reset: {0}")]
    Own(Reason),
    /// The peer goes away and has not looked at it (RFC 9113 §6.8).
    #[error("the peer goes away and did not look at the stream")]
    Unseen,
    /// The connection has ended, or takes no further streams.
    #[error("the connection has ended")]
    Closed,
    /// The connection takes no further stream at the moment.
    #[error("the connection has no room for a stream")]
    Full,
}

/// What a frame that breaks a rule ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its stream.
    Stream(u32, Reason),
    /// The connection.
    Connection(Reason),
}
