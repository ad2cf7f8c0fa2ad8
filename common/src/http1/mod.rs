//! HTTP/1.1 on the wire: heads, framing, bodies and connections; strict, without policy.
//!
//! Whatever leaves room for two readings of where a message ends is refused (RFC 9112 §11.2), and so is what
//! other readers are known to take differently. Every error means that the connection is closed.

mod body;
mod buffer;
pub mod chunked;
mod connection;
pub mod encode;
mod framing;
mod lines;
pub mod proxy_protocol;
pub mod request;
pub mod response;
mod stream;

pub use body::{BodyState, BodyWriter};
pub use buffer::{Appetite, Buffer, Buffers};
pub use chunked::{ChunkError, ChunkedDecoder, ChunkedStep};
pub use connection::{BodyError, BodyReader, Connection, Writer};
pub use encode::{Persistence, chunk_prefix, encode_request, encode_response, last_chunk};
pub(crate) use framing::parse_length;
pub use framing::{BodyFraming, FramingError};
pub use request::{HeadLimits, RequestError, RequestStart, parse_request};
pub use response::{ResponseError, ResponseStart, parse_response};
pub use stream::{Socket, Stream};
