//! Frames: their heads, and how those that carry little are written (RFC 9113 §4, §6).

use super::{reason::Fault, reason::Reason};

/// Bytes in front of each frame's payload (RFC 9113 §4.1).
pub(super) const HEAD_BYTES: usize = 9;
/// Largest payload that is taken, and that is sent to who has not allowed more (RFC 9113 §4.2).
pub(super) const MOST_PAYLOAD: usize = 16 << 10;
/// Largest number of a stream and largest window; the bit above means nothing (RFC 9113 §5.1.1, §6.9.1).
pub(super) const MOST: u32 = (1 << 31) - 1;

/// Types of frames (RFC 9113 §6).
pub(super) mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113 §6).
pub(super) mod flag {
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

/// What stands in front of each frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl FrameHead {
    /// Reads it.
    pub fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Self { length, kind, flags, stream: u32::from_be_bytes(stream) & MOST }
    }

    /// As bytes.
    pub fn bytes(self) -> [u8; HEAD_BYTES] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    /// Whether a flag is set.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// How many bytes of the payload are there for padding alone: in front, behind (RFC 9113 §6.1).
    pub fn padding(self, payload: &[u8]) -> Result<(usize, usize), Fault> {
        if !self.has(flag::PADDED) {
            return Ok((0, 0));
        }
        let padding = payload.first().map(|length| usize::from(*length));
        match padding.filter(|padding| *padding < payload.len()) {
            Some(padding) => Ok((1, padding)),
            None => Err(Fault::Connection(Reason::PROTOCOL_ERROR)),
        }
    }
}

/// The head of a DATA frame.
pub(super) fn data_head(stream: u32, length: usize, is_last: bool) -> FrameHead {
    FrameHead { length, kind: kind::DATA, flags: if is_last { flag::END_STREAM } else { 0 }, stream }
}

/// Writes a frame whose payload is there.
pub(super) fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&FrameHead { length: payload.len(), kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

/// Writes the end of a stream with its reason.
pub(super) fn put_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    put(out, kind::RST_STREAM, 0, stream, &reason.0.to_be_bytes());
}

/// Writes that a window is larger by so much.
pub(super) fn put_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    put(out, kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

/// Writes that no stream behind the last one is looked at, and why.
pub(super) fn put_goaway(out: &mut Vec<u8>, last: u32, reason: Reason) {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&last.to_be_bytes());
    payload[4..].copy_from_slice(&reason.0.to_be_bytes());
    put(out, kind::GOAWAY, 0, 0, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_written() {
        let head = FrameHead { length: 0x01_02_03, kind: 9, flags: 4, stream: 0x7fff_fffe };
        let mut bytes = head.bytes();
        assert_eq!(FrameHead::read(&bytes), head);
        bytes[5] |= 0x80;
        assert_eq!(FrameHead::read(&bytes), head, "the reserved bit means nothing");
    }

    #[test]
    fn padding_has_to_fit() {
        let head = |flags| FrameHead { length: 0, kind: 0, flags, stream: 1 };
        assert_eq!(head(0).padding(&[9, 1]), Ok((0, 0)));
        for (payload, wanted) in
            [(&[0][..], Some((1, 0))), (&[1, 0], Some((1, 1))), (&[2, 0], None), (&[], None)]
        {
            assert_eq!(head(flag::PADDED).padding(payload).ok(), wanted, "{payload:?}");
        }
    }
}
