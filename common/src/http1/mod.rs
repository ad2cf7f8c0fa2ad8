//! HTTP/1.1 on the wire: heads, framing and bodies as bytes, strict and without I/O.
//!
//! Whatever leaves room for two readings of where a message ends is refused (RFC 9112 §11.2), and so is what
//! other readers are known to take differently. Every error means that the connection is closed.

pub mod chunked;
pub mod encode;
mod framing;
pub mod proxy_protocol;
pub mod request;
pub mod response;

pub use chunked::{ChunkError, ChunkedDecoder, ChunkedStep};
pub use encode::Connection;
pub use framing::{BodyFraming, FramingError};
pub use request::{HeadLimits, RequestError, RequestStart, parse_request};
pub use response::{ResponseError, ResponseStart, parse_response};
