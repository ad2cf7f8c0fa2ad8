//! Filter: bounds how fast the body of an answer is sent.

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow};
use crate::message::{RequestHead, ResponseHead};

/// How fast the body of a backend's answer is sent to the client. The proxy does it; nothing is decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseRate {
    /// Bytes in each second; 0 is no limit.
    pub bytes_per_second: u64,
    /// Bytes of each answer that do not count.
    #[serde(default, skip_serializing_if = "is_none")]
    pub after_bytes: u64,
}

impl ResponseRate {
    pub(super) fn request(&self, _: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        Flow::Next
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

fn is_none(bytes: &u64) -> bool {
    *bytes == 0
}
