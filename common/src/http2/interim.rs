//! Interim: the answers that a backend gives before the final one (RFC 9110 §15.2).

use std::collections::VecDeque;

use super::block::Block;
use crate::message::{ResponseHead, Version};

/// Interim answers on one stream. Whoever reads may be slow, so they have to be few and small: all of them together are
/// no larger than one head may be.
#[derive(Default)]
pub(super) struct Interim {
    heads: VecDeque<Box<ResponseHead>>,
    count: usize,
    bytes: usize,
}

impl Interim {
    /// One arrives; false if those that have come are too many.
    pub fn arrive(&mut self, block: &Block, most_bytes: usize) -> bool {
        self.count += 1;
        self.bytes += block.bytes;
        if self.count > ResponseHead::MOST_INTERIM || self.bytes > most_bytes {
            return false;
        }
        // 100 is about a body that waits, and nobody asks us for it.
        if block.status != 100 {
            let mut head = Box::<ResponseHead>::default();
            head.status = block.status;
            head.version = Version::Http2;
            // Those of the block have room for many.
            head.fields = block.fields.clone();
            self.heads.push_back(head);
        }
        true
    }

    /// Takes the first one that is to be passed on.
    pub fn take(&mut self) -> Option<Box<ResponseHead>> {
        self.heads.pop_front()
    }
}
