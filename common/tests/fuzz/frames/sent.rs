//! What a peer has sent, as far as anything depends on it: a reader of frames that forgives everything.

use std::collections::{HashMap, VecDeque};

/// Bytes of a preface.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes in front of each payload.
pub const HEAD: usize = 9;

/// A frame.
pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'a [u8],
}

/// The frame that begins a text, and its length with its head; `None` if some of it is missing.
pub fn frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD>()?;
    let length = HEAD + u32::from_be_bytes([0, a, b, c]) as usize;
    let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
    Some((Frame { kind, flags, stream, payload: bytes.get(HEAD..length)? }, length))
}

/// The settings of a payload.
pub fn settings(payload: &[u8]) -> Vec<(u16, u32)> {
    let all = payload.as_chunks::<6>().0.iter();
    all.map(|[a, b, value @ ..]| (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value))).collect()
}

/// A number of four bytes at the front; 0 if they are not there.
pub fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Everything that a connection has read.
#[derive(Default)]
pub struct Sent {
    bytes: Vec<u8>,
    preface: usize,
    /// Settings that were not acknowledged.
    pub settings: VecDeque<Vec<(u16, u32)>>,
    /// Payloads of PINGs that were not answered.
    pub pings: VecDeque<Vec<u8>>,
    /// Streams of which anything came.
    pub streams: HashMap<u32, SentStream>,
    /// By how much the window of the connection was made larger.
    pub window: i64,
    /// Payload of all DATA, padding included.
    pub payload: u64,
    /// The stream whose block is not whole, and whether it ends with that.
    block: Option<(u32, bool)>,
}

/// What came of a stream.
#[derive(Default)]
pub struct SentStream {
    /// A whole block.
    pub has_head: bool,
    pub window: i64,
    pub payload: u64,
    pub data: Vec<u8>,
    pub is_ended: bool,
    pub is_reset: bool,
}

impl Sent {
    /// Nothing, but maybe a preface to come.
    pub fn new(has_preface: bool) -> Self {
        Self { preface: if has_preface { PREFACE.len() } else { 0 }, ..Self::default() }
    }

    /// The connection reads bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let preface = self.preface.min(self.bytes.len());
        self.preface -= preface;
        self.bytes.drain(..preface);
        let bytes = std::mem::take(&mut self.bytes);
        let mut at = 0;
        while let Some((frame, length)) = frame(&bytes[at..]) {
            self.frame(&frame);
            at += length;
        }
        self.bytes = bytes[at..].to_vec();
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        let &Frame { kind, flags, stream: id, payload } = frame;
        let stream = self.streams.entry(id).or_default();
        match kind {
            0 => {
                self.payload += payload.len() as u64;
                stream.payload += payload.len() as u64;
                let padding =
                    if flags & 8 == 0 { 0 } else { usize::from(*payload.first().unwrap_or(&0)) + 1 };
                let front = padding.min(1);
                if let Some(end) = (payload.len() + front).checked_sub(padding)
                    && !stream.is_ended
                {
                    stream.data.extend_from_slice(payload.get(front..end).unwrap_or_default());
                    stream.is_ended = flags & 1 != 0;
                }
            }
            1 => self.block = Some((id, flags & 1 != 0)),
            3 => stream.is_reset = true,
            4 if flags & 1 == 0 => self.settings.push_back(settings(payload)),
            6 if flags & 1 == 0 => self.pings.push_back(payload.to_vec()),
            8 if id == 0 => self.window += i64::from(number(payload) & 0x7fff_ffff),
            8 => stream.window += i64::from(number(payload) & 0x7fff_ffff),
            _ => {}
        }
        if matches!(kind, 1 | 9)
            && flags & 4 != 0
            && let Some((id, is_last)) = self.block.take()
        {
            let stream = self.streams.entry(id).or_default();
            stream.has_head = true;
            stream.is_ended |= is_last;
        }
    }
}
