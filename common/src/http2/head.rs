//! Heads: how a block of fields is written.

use super::hpack::{Encoder, Pseudo};
use crate::message::{Fields, Known, KnownSet};

/// Writes the fields of one block, pseudo-headers first.
pub struct HeadWriter<'a> {
    pub(super) encoder: &'a mut Encoder,
    pub(super) out: &'a mut Vec<u8>,
}

impl HeadWriter<'_> {
    /// The status of an answer.
    pub fn status(&mut self, status: u16) {
        let digit = |value: u16| b'0' + (value % 10) as u8;
        let text = [digit(status / 100), digit(status / 10), digit(status)];
        self.encoder.pseudo(self.out, Pseudo::Status, &text);
    }

    /// The pseudo-headers of a request (RFC 9113 §8.3.1).
    pub fn request(&mut self, method: &[u8], scheme: &str, authority: &[u8], path: &[u8]) {
        for (name, value) in [
            (Pseudo::Method, method),
            (Pseudo::Scheme, scheme.as_bytes()),
            (Pseudo::Authority, authority),
            (Pseudo::Path, path),
        ] {
            self.encoder.pseudo(self.out, name, value);
        }
    }

    /// A field.
    pub fn field(&mut self, known: Known, name: &[u8], value: &[u8]) {
        self.encoder.field(self.out, known, name, value);
    }

    /// The length of the body.
    pub fn length(&mut self, bytes: u64) {
        let known = Known::ContentLength;
        self.field(known, known.name().as_bytes(), itoa::Buffer::new().format(bytes).as_bytes());
    }

    /// All fields but those of these names.
    pub fn fields(&mut self, fields: &Fields, but: KnownSet) {
        for (known, name, value, is_never_indexed) in fields.iter_indexed() {
            if but.contains(known) {
                continue;
            }
            match is_never_indexed {
                true => self.encoder.never_indexed(self.out, known, name, value),
                false => self.field(known, name, value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::{
        block::{Block, BlockKind},
        hpack::Decoder,
    };

    #[test]
    fn what_no_table_may_hold_is_in_none_on_the_next_hop_either() {
        // `x-key: s` that no table may hold, and `x-other: 1` that one may.
        let block = b"\x10\x05x-key\x01s\x40\x07x-other\x011";
        let mut read = Block::default();
        read.clear();
        Decoder::new(4096).decode(block, |field| read.take(BlockKind::Trailers, 1000, field)).unwrap();
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for _ in 0..3 {
            let (mut out, mut seen) = (Vec::new(), Vec::new());
            HeadWriter { encoder: &mut encoder, out: &mut out }.fields(&read.fields, KnownSet::default());
            let told = decoder.decode(&out, |field| seen.push((field.name.to_vec(), field.is_never_indexed)));
            told.unwrap();
            assert_eq!(seen, [(b"x-key".to_vec(), true), (b"x-other".to_vec(), false)]);
            assert_eq!(out[..8], block[..8]);
        }
    }
}
