//! What a connection has written: a reader of frames that forgives nothing.

use std::collections::HashMap;

use selvedge_common::http2::{Settings, hpack::Decoder};

use super::sent::{Frame, HEAD, PREFACE, Sent, frame, number, settings};

/// The window that streams and connections begin with.
const FIRST_WINDOW: i64 = 65_535;
/// What a table of fields begins with.
const FIRST_TABLE: u32 = 4096;

/// Everything that a connection has written.
pub struct Seen {
    is_server: bool,
    bytes: Vec<u8>,
    preface: &'static [u8],
    has_settings: bool,
    decoder: Decoder,
    block: Option<(u32, bool, Vec<u8>)>,
    /// What the peer has said and we have acknowledged: the largest payload, the window of streams, the table.
    most_payload: usize,
    window: i64,
    most_table: u32,
    /// The table as it is.
    table: u32,
    /// The smallest table that was asked for since the last block.
    due: Option<u32>,
    streams: HashMap<u32, SeenStream>,
    /// Payload of all DATA.
    data: i64,
    /// What was said of windows: that of the connection, and by how much it may exceed what has come.
    updates: u64,
    more: u64,
    goaway: Option<u32>,
    is_over: bool,
    next: u32,
}

#[derive(Default)]
struct SeenStream {
    heads: usize,
    data: i64,
    updates: u64,
    is_ended: bool,
    is_reset: bool,
}

/// The byte that stands at this place of a body that we send on a stream.
pub fn byte(stream: u32, at: usize) -> u8 {
    (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ stream as u8
}

impl Seen {
    /// Nothing yet.
    pub fn new(is_server: bool, settings: &Settings) -> Self {
        Self {
            is_server,
            bytes: Vec::new(),
            preface: if is_server { b"" } else { PREFACE },
            has_settings: false,
            decoder: Decoder::new(FIRST_TABLE as usize),
            block: None,
            most_payload: 16_384,
            window: FIRST_WINDOW,
            most_table: FIRST_TABLE,
            table: FIRST_TABLE,
            due: None,
            streams: HashMap::new(),
            data: 0,
            updates: 0,
            more: u64::from(settings.connection_window_bytes).saturating_sub(FIRST_WINDOW as u64),
            goaway: None,
            is_over: false,
            next: 1,
        }
    }

    /// Whether it was said that no further stream is looked at. What comes then may be dropped and never told of.
    pub fn is_leaving(&self) -> bool {
        self.goaway.is_some_and(|last| last < (1 << 31) - 1)
    }

    /// What of its body may still be sent on a stream, and on all of them.
    pub fn windows(&self, id: u32, sent: &Sent) -> (i64, i64) {
        let given = sent.streams.get(&id).map_or(0, |stream| stream.window);
        let used = self.streams.get(&id).map_or(0, |stream| stream.data);
        (self.window + given - used, FIRST_WINDOW + sent.window - self.data)
    }

    /// Payload that has come and of which the peer was not told that it was taken.
    pub fn unread(&self, sent: &Sent) -> u64 {
        (sent.payload + self.more).saturating_sub(self.updates)
    }

    /// The connection writes bytes.
    pub fn take(&mut self, bytes: &[u8], sent: &mut Sent) {
        self.bytes.extend_from_slice(bytes);
        let count = self.preface.len().min(self.bytes.len());
        assert_eq!(self.bytes[..count], self.preface[..count], "the preface is sent");
        self.preface = &self.preface[count..];
        self.bytes.drain(..count);
        let bytes = std::mem::take(&mut self.bytes);
        let mut at = 0;
        while let Some((frame, length)) = frame(&bytes[at..]) {
            assert!(length - HEAD <= self.most_payload, "a frame of {length} bytes is too large");
            self.frame(&frame, sent);
            at += length;
        }
        self.bytes = bytes[at..].to_vec();
    }

    fn frame(&mut self, frame: &Frame<'_>, sent: &mut Sent) {
        let &Frame { kind, flags, stream: id, payload } = frame;
        assert!(!self.is_over, "nothing follows the last GOAWAY");
        let is_settings = kind == 4 && flags == 0;
        assert_eq!(
            !std::mem::replace(&mut self.has_settings, true),
            is_settings,
            "SETTINGS come first, and once"
        );
        if let Some((open, ..)) = &self.block {
            assert_eq!((kind, id), (9, *open), "nothing comes between the frames of a block");
        }
        assert_eq!(id == 0, matches!(kind, 4 | 6 | 7) || kind == 8 && id == 0, "kind {kind} on stream {id}");
        match kind {
            0 => self.data(id, flags, payload, sent),
            1 | 9 => self.block(id, (kind, flags), payload, sent),
            3 => {
                assert_eq!(payload.len(), 4);
                assert!(self.is_known(id, sent), "RST_STREAM on the idle stream {id}");
                self.streams.entry(id).or_default().is_reset = true;
            }
            4 => self.settings(flags, payload, sent),
            6 => {
                assert_eq!(payload.len(), 8);
                if flags != 0 {
                    assert_eq!(sent.pings.pop_front().as_deref(), Some(payload), "a PING is answered once");
                }
            }
            7 => self.goaway(payload),
            8 => self.window_update(id, payload, sent),
            _ => panic!("a frame of kind {kind} is never sent"),
        }
    }

    /// Whether a stream is not idle.
    fn is_known(&self, id: u32, sent: &Sent) -> bool {
        match self.is_server {
            true => id % 2 == 1 && sent.streams.get(&id).is_some_and(|stream| stream.has_head),
            false => self.streams.contains_key(&id),
        }
    }

    fn data(&mut self, id: u32, flags: u8, payload: &[u8], sent: &Sent) {
        assert_eq!(flags & !1, 0);
        let stream = self.streams.get_mut(&id).expect("DATA come behind HEADERS");
        assert!(stream.heads == 1 && !stream.is_ended && !stream.is_reset, "DATA on the ended stream {id}");
        let start = stream.data as usize;
        for (at, seen) in payload.iter().enumerate() {
            assert_eq!(*seen, byte(id, start + at), "stream {id} at {at}");
        }
        stream.data += payload.len() as i64;
        stream.is_ended = flags & 1 != 0;
        self.data += payload.len() as i64;
        let (own, all) = self.windows(id, sent);
        assert!(payload.is_empty() || own >= 0 && all >= 0, "DATA beyond the window of {id}: {own} {all}");
    }

    fn block(&mut self, id: u32, (kind, flags): (u8, u8), payload: &[u8], sent: &Sent) {
        assert_eq!(flags & !5, 0);
        let (_, is_last, mut bytes) = match self.block.take() {
            Some(open) => open,
            None => {
                assert_eq!(kind, 1, "CONTINUATION follows HEADERS");
                (id, flags & 1 != 0, Vec::new())
            }
        };
        bytes.extend_from_slice(payload);
        if flags & 4 == 0 {
            self.block = Some((id, is_last, bytes));
            return;
        }
        self.check_table(&bytes);
        let mut names = Vec::new();
        let decoded = self.decoder.decode(&bytes, |field| names.push(field.name.to_vec()));
        assert_eq!(decoded, Ok(()), "{}", bytes.escape_ascii());
        if !self.is_server && id == self.next {
            self.next += 2;
        } else {
            assert!(self.is_known(id, sent), "HEADERS on the idle stream {id}");
        }
        let stream = self.streams.entry(id).or_default();
        assert!(!stream.is_ended && !stream.is_reset, "HEADERS on the ended stream {id}");
        let first = if self.is_server { &b":status"[..] } else { &b":method"[..] };
        match stream.heads {
            0 => assert_eq!(names[0], first),
            heads => assert!(heads == 1 && is_last && names.iter().all(|name| name[0] != b':'), "trailers"),
        }
        stream.heads += 1;
        stream.is_ended = is_last;
    }

    /// A table that has to be smaller is said to be at the front of the next block.
    fn check_table(&mut self, mut block: &[u8]) {
        let (before, mut smallest) = (self.table, self.table);
        while let Some((first, mut rest)) = block.split_first().filter(|(first, _)| *first & 0xe0 == 0x20) {
            let mut size = u32::from(first & 0x1f);
            for bits in [0, 7, 14].into_iter().take(if size == 31 { 3 } else { 0 }) {
                let (more, after) = rest.split_first().expect("the number is whole");
                rest = after;
                size += u32::from(more & 127) << bits;
                if *more < 128 {
                    break;
                }
            }
            (self.table, smallest, block) = (size, smallest.min(size), rest);
        }
        let due = self.due.take().unwrap_or(FIRST_TABLE);
        assert!(due >= before || smallest <= due, "the table of {before} was to be {due}");
        assert!(self.table <= self.most_table, "a table of {} bytes", self.table);
    }

    fn settings(&mut self, flags: u8, payload: &[u8], sent: &mut Sent) {
        if flags == 0 {
            assert!(!settings(payload).is_empty() && payload.len().is_multiple_of(6));
            return;
        }
        assert!(payload.is_empty());
        for (id, value) in sent.settings.pop_front().expect("SETTINGS are acknowledged once") {
            match id {
                1 => self.most_table = value.min(FIRST_TABLE),
                4 => self.window = i64::from(value),
                5 => self.most_payload = value as usize,
                _ => {}
            }
        }
        self.due = Some(self.most_table.min(self.due.unwrap_or(FIRST_TABLE)));
    }

    fn goaway(&mut self, payload: &[u8]) {
        assert!(payload.len() >= 8);
        let last = number(payload);
        assert!(self.goaway.is_none_or(|before| last <= before), "GOAWAY with a later stream than before");
        self.goaway = Some(last);
        self.is_over = number(&payload[4..]) != 0;
    }

    fn window_update(&mut self, id: u32, payload: &[u8], sent: &Sent) {
        assert!(payload.len() == 4 && number(payload) > 0);
        let bytes = u64::from(number(payload));
        if id == 0 {
            self.updates += bytes;
            assert!(self.updates <= sent.payload + self.more, "no more is taken than came");
            return;
        }
        assert!(self.is_known(id, sent), "WINDOW_UPDATE on the idle stream {id}");
        let stream = self.streams.entry(id).or_default();
        assert!(!stream.is_reset);
        stream.updates += bytes;
        let came = sent.streams.get(&id).map_or(0, |stream| stream.payload);
        assert!(stream.updates <= came, "no more is taken than came on stream {id}");
    }
}
