//! HTTP messages as every part of the engine sees them, whatever protocol they came over.

pub mod authority;
mod fields;
mod head;
mod known;
pub mod path;
pub mod pattern;
pub(crate) mod scan;
pub(crate) mod token;

pub use fields::{FieldLine, Fields, Span};
pub(crate) use head::Parts;
pub use head::{Method, RequestHead, ResponseHead, Scheme, Version, lists};
pub use known::{Known, KnownSet};
