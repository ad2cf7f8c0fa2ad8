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
        for (known, name, value) in fields.iter_known().filter(|(known, ..)| !but.contains(*known)) {
            self.field(known, name, value);
        }
    }
}
