//! Traffic: what has gone over a connection, for those who judge whether it lives.

use std::cell::Cell;

/// What has gone over a connection.
#[derive(Debug, Default)]
pub struct Traffic {
    read: Cell<u64>,
    written: Cell<u64>,
    flooded: Cell<bool>,
}

impl Traffic {
    /// Bytes that the peer has sent.
    pub fn read(&self) -> u64 {
        self.read.get()
    }

    /// Bytes that were written to the peer.
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// Whether the connection was ended because of its frames.
    pub fn is_flooded(&self) -> bool {
        self.flooded.get()
    }

    pub(super) fn count_read(&self, bytes: usize) {
        self.read.set(self.read() + bytes as u64);
    }

    pub(super) fn count_written(&self, bytes: usize) {
        self.written.set(self.written() + bytes as u64);
    }

    pub(super) fn flood(&self) {
        self.flooded.set(true);
    }
}
