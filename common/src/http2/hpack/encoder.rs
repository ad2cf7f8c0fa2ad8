//! From fields to blocks: what was sent just before is one byte.
//!
//! A value is taken into the table when it is sent for the second time in a row for its name. That is one rule for all
//! names, it keeps out whatever is another one each time (paths, dates between two seconds, lengths), and the one
//! literal that it costs is sent once on a connection.
//!
//! Strings are written as they are: Huffman coding takes several instructions a byte on both sides, to save a quarter
//! of what is a small part of a message. Only values that are taken into the table are coded, where that is shorter,
//! since that is done once for all the messages that follow.

use super::{
    DEFAULT_TABLE_BYTES, Pseudo,
    dynamic_table::{self, DynamicTable},
    huffman, integer, places, static_table,
};
use crate::message::Known;

/// Longest name that is taken into the table.
const MOST_NAME_BYTES: usize = 64;
/// Longest value that is taken into the table.
const MOST_VALUE_BYTES: usize = 128;

/// What was sent last with a name of this place.
#[derive(Clone, Copy, Default)]
struct Last {
    /// How many entries there had been before the one that was made last. Only a hint: it may have gone, or numbers may
    /// have come round.
    number: u16,
    /// The fingerprint of the last value that was not in the table.
    value: u16,
}

/// A field that is in neither table.
struct Literal<'a> {
    place: usize,
    /// In any case.
    name: &'a [u8],
    value: &'a [u8],
    /// The age of an entry that has the same name.
    named_as: Option<usize>,
    /// Whether no hop may take it into a table.
    is_never_indexed: bool,
}

/// Encodes the blocks of one connection, in their order.
pub struct Encoder {
    /// Tagged with the places of the names.
    table: DynamicTable<u8>,
    /// How many entries there have been, modulo 2^16.
    inserted: u16,
    /// The smallest and the last size that the peer has allowed since the last block.
    due: Option<(usize, usize)>,
    last: [Last; places::PLACES],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder whose table has the usual 4096 bytes, which it never exceeds. Nothing is allocated yet.
    pub fn new() -> Self {
        let last = [Last::default(); places::PLACES];
        Self { table: DynamicTable::new(DEFAULT_TABLE_BYTES), inserted: 0, due: None, last }
    }

    /// Takes over the peer's `SETTINGS_HEADER_TABLE_SIZE`, of which the next block begins to tell.
    pub fn limit_table(&mut self, bytes: usize) {
        let bytes = bytes.min(DEFAULT_TABLE_BYTES);
        let smallest = self.due.map_or(bytes, |(smallest, _)| smallest.min(bytes));
        self.due = Some((smallest, bytes));
    }

    /// Begins a block: says how large the table is, if that changes (RFC 7541 §4.2).
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((smallest, last)) = self.due.take() {
            for bytes in [smallest, last] {
                if bytes < self.table.limit() || bytes == last && bytes != self.table.limit() {
                    integer::write(out, 0x20, 0x1f, bytes);
                    self.table.set_limit(bytes);
                }
            }
        }
    }

    /// Writes a pseudo-header.
    pub fn pseudo(&mut self, out: &mut Vec<u8>, name: Pseudo, value: &[u8]) {
        let index = match (name, value) {
            (Pseudo::Method, b"GET") => 2,
            (Pseudo::Method, b"POST") => 3,
            (Pseudo::Path, b"/") => 4,
            (Pseudo::Path, b"/index.html") => 5,
            (Pseudo::Scheme, b"http") => 6,
            (Pseudo::Scheme, b"https") => 7,
            (Pseudo::Status, b"200") => 8,
            (Pseudo::Status, b"204") => 9,
            (Pseudo::Status, b"206") => 10,
            (Pseudo::Status, b"304") => 11,
            (Pseudo::Status, b"400") => 12,
            (Pseudo::Status, b"404") => 13,
            (Pseudo::Status, b"500") => 14,
            _ => return self.write(out, name as usize, name.name().as_bytes(), value),
        };
        out.push(0x80 | index);
    }

    /// Writes a field. Its name may be in any case and is written in lower case; `known` is what [`Known::of`] says
    /// of it.
    pub fn field(&mut self, out: &mut Vec<u8>, known: Known, name: &[u8], value: &[u8]) {
        self.write(out, places::of(known, name), name, value);
    }

    /// The same for a field that no hop may take into a table, by the word of whoever sent it (RFC 7541 §6.2.3).
    pub fn never_indexed(&mut self, out: &mut Vec<u8>, known: Known, name: &[u8], value: &[u8]) {
        let place = places::of(known, name);
        self.write_literal(out, &Literal { place, name, value, named_as: None, is_never_indexed: true });
    }

    #[inline]
    fn write(&mut self, out: &mut Vec<u8>, place: usize, name: &[u8], value: &[u8]) {
        let age = usize::from(self.inserted.wrapping_sub(self.last[place].number).wrapping_sub(1));
        let is_named_so = |name_there: &[u8]| places::is_of_one(place) || places::is_same(name_there, name);
        let entry =
            self.table.get(age).filter(|entry| usize::from(entry.tag) == place && is_named_so(entry.name));
        match entry {
            Some(entry) if entry.value == value => {
                integer::write(out, 0x80, 0x7f, static_table::LENGTH + 1 + age);
            }
            entry => {
                let named_as = entry.map(|_| age);
                let is_never_indexed = places::is_never_indexed(place, name);
                self.write_literal(out, &Literal { place, name, value, named_as, is_never_indexed });
            }
        }
    }

    #[inline(never)]
    fn write_literal(&mut self, out: &mut Vec<u8>, field: &Literal<'_>) {
        let known_index = places::static_index(field.place, field.name);
        let known = known_index.map(|index| static_table::ENTRIES[index - 1]);
        if let (Some(index), Some(entry)) = (known_index, known)
            && entry.value == field.value
        {
            return integer::write(out, 0x80, 0x7f, index);
        }
        let is_kept = !field.is_never_indexed && self.is_worth_keeping(field);
        let (flags, mask) = match (is_kept, field.is_never_indexed) {
            (true, _) => (0x40, 0x3f),
            (false, false) => (0, 0x0f),
            (false, true) => (0x10, 0x0f),
        };
        let index = known_index.or(field.named_as.map(|age| static_table::LENGTH + 1 + age));
        integer::write(out, flags, mask, index.unwrap_or(0));
        if index.is_none() {
            integer::write(out, 0, 0x7f, field.name.len());
            out.extend(field.name.iter().map(u8::to_ascii_lowercase));
        }
        if is_kept {
            // A name that is in no table was written last.
            let name = known.map_or(&out[out.len().saturating_sub(field.name.len())..], |entry| entry.name);
            self.keep(field, name);
            write_shorter(out, field.value);
        } else {
            write_plain(out, field.value);
        }
    }

    fn keep(&mut self, field: &Literal<'_>, name: &[u8]) {
        let tag = field.place as u8;
        match field.named_as {
            Some(age) => self.table.insert_named_as(age, tag, field.value),
            None => self.table.insert(tag, name, field.value),
        }
        self.last[field.place].number = self.inserted;
        self.inserted = self.inserted.wrapping_add(1);
    }

    /// Whether the value came just before and has room; remembers that it came.
    fn is_worth_keeping(&mut self, field: &Literal<'_>) -> bool {
        let value = places::fingerprint(field.value);
        let before = std::mem::replace(&mut self.last[field.place].value, value);
        value == before
            && field.name.len() <= MOST_NAME_BYTES
            && field.value.len() <= MOST_VALUE_BYTES
            && dynamic_table::entry_size(field.name.len(), field.value.len()) <= self.table.limit()
    }
}

fn write_plain(out: &mut Vec<u8>, text: &[u8]) {
    integer::write(out, 0, 0x7f, text.len());
    out.extend_from_slice(text);
}

fn write_shorter(out: &mut Vec<u8>, text: &[u8]) {
    let length = huffman::encoded_length(text);
    if length < text.len() {
        integer::write(out, 0x80, 0x7f, length);
        huffman::encode(text, out);
    } else {
        write_plain(out, text);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Decoder, Name, tests::Numbers},
        *,
    };

    fn block(encoder: &mut Encoder, rows: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for (name, value) in rows {
            write(encoder, &mut out, name, value);
        }
        out
    }

    fn write(encoder: &mut Encoder, out: &mut Vec<u8>, name: &str, value: &str) {
        match Pseudo::ALL.into_iter().find(|pseudo| pseudo.name() == name) {
            Some(pseudo) => encoder.pseudo(out, pseudo, value.as_bytes()),
            None => encoder.field(out, Known::of(name.as_bytes()), name.as_bytes(), value.as_bytes()),
        }
    }

    fn read(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        decoder.decode(block, |field| rows.push((text(field.name), text(field.value)))).unwrap();
        rows
    }

    /// The values that the table holds, the newest first.
    fn kept(encoder: &Encoder) -> Vec<String> {
        let entries = (0..).map_while(|age| encoder.table.get(age));
        entries.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap()).collect()
    }

    #[test]
    fn pseudo_headers_of_the_static_table_are_one_byte() {
        for index in 2..15 {
            let entry = static_table::ENTRIES[index - 1];
            let text = |bytes: &'static [u8]| std::str::from_utf8(bytes).unwrap();
            let out = block(&mut Encoder::new(), &[(text(entry.name), text(entry.value))]);
            assert_eq!(out, [0x80 | index as u8]);
        }
        let rows = [("accept-encoding", "gzip, deflate"), ("Accept-Language", ""), (":authority", "")];
        assert_eq!(block(&mut Encoder::new(), &rows), [0x90, 0x91, 0x81]);
    }

    #[test]
    fn a_value_is_taken_in_the_second_time_and_one_byte_from_the_third_on() {
        let mut encoder = Encoder::new();
        let rows =
            [(":path", "/a"), ("X-A", "1"), ("content-type", "text/html"), ("x-forwarded-proto", "http")];
        let first = b"\x04\x02/a\x00\x03x-a\x011\x0f\x10\x09text/html\x00\x11x-forwarded-proto\x04http";
        assert_eq!(block(&mut encoder, &rows), first);
        assert!(kept(&encoder).is_empty());
        let second = block(&mut encoder, &rows);
        assert_eq!(second[..13], b"\x44\x02/a\x40\x03x-a\x011\x5f\x87"[..]);
        assert_eq!(kept(&encoder), ["http", "text/html", "1", "/a"]);
        for _ in 0..3 {
            assert_eq!(block(&mut encoder, &rows), [0xc1, 0xc0, 0xbf, 0xbe]);
        }
        // Another value, under the name that is there; the old one again is still in the table.
        assert_eq!(block(&mut encoder, &[("x-A", "2")]), b"\x0f\x31\x012");
        assert_eq!(block(&mut encoder, &[("x-a", "1")]), [0xc0]);
        assert_eq!(block(&mut encoder, &[("x-a", "2")]), b"\x7f\x01\x012");
        assert_eq!(block(&mut encoder, &[("x-a", "2")]), [0xbe]);
    }

    #[test]
    fn secrets_are_never_in_the_table_and_nobody_shall_index_them() {
        let names = [
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-selvedge-token",
            "x-request-id",
            "traceparent",
            "x-forwarded-for",
            "x-real-ip",
            "forwarded",
            "grpc-timeout",
        ];
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for name in names.iter().cycle().take(50) {
            let out = block(&mut encoder, &[(name, "secret"), (name, "secret")]);
            assert_eq!(out[0] & 0xf0, 0x10, "{name}: {out:x?}");
            assert_eq!(out.windows(6).filter(|piece| piece == b"secret").count(), 2);
            assert_eq!(read(&mut decoder, &out), vec![((*name).to_owned(), "secret".to_owned()); 2]);
            assert!(kept(&encoder).is_empty(), "{name}");
        }
    }

    #[test]
    fn what_changes_or_is_long_is_not_taken_in() {
        let mut encoder = Encoder::new();
        let (fits, long) = ("v".repeat(MOST_VALUE_BYTES), "v".repeat(MOST_VALUE_BYTES + 1));
        let long_name = "n".repeat(MOST_NAME_BYTES + 1);
        for round in 0..4 {
            let number = round.to_string();
            block(
                &mut encoder,
                &[("x-a", &number), (":path", &number), ("date", &number), ("x-long", &long)],
            );
            block(&mut encoder, &[(&long_name, "value")]);
        }
        assert!(kept(&encoder).is_empty());
        block(&mut encoder, &[("x-a", &fits), ("x-a", &fits)]);
        assert_eq!(kept(&encoder), [fits]);
    }

    #[test]
    fn a_block_begins_with_the_sizes_that_are_due() {
        let mut encoder = Encoder::new();
        let mut after = |sizes: &[usize]| {
            sizes.iter().for_each(|size| encoder.limit_table(*size));
            block(&mut encoder, &[])
        };
        for (sizes, wanted) in [
            (&[][..], &[][..]),
            (&[4096], &[]),
            (&[65_536], &[]),
            (&[100], &[0x3f, 0x45]),
            (&[], &[]),
            (&[100], &[]),
            (&[0, 100], &[0x20, 0x3f, 0x45]),
            (&[50, 10, 20, 65_536], &[0x2a, 0x3f, 0xe1, 0x1f]),
            (&[10, 0], &[0x20]),
            (&[20, 30], &[0x3e]),
        ] {
            assert_eq!(after(sizes), wanted, "{sizes:?}");
        }
    }

    #[test]
    fn a_peer_without_a_table_is_sent_no_entries() {
        let mut encoder = Encoder::new();
        let rows = [("x-a", "1"), (":path", "/a")];
        (0..3).for_each(|_| drop(block(&mut encoder, &rows)));
        assert_eq!(kept(&encoder), ["/a", "1"]);
        encoder.limit_table(0);
        assert_eq!(block(&mut encoder, &rows), b"\x20\x00\x03x-a\x011\x04\x02/a");
        assert!(kept(&encoder).is_empty());
        assert_eq!(block(&mut encoder, &rows), b"\x00\x03x-a\x011\x04\x02/a");
    }

    #[test]
    fn entry_numbers_that_come_round_do_no_harm() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        let send = |encoder: &mut Encoder, decoder: &mut Decoder, name: &str, value: &str| {
            let out = block(encoder, &[(name, value)]);
            assert_eq!(read(decoder, &out), [(name.to_owned(), value.to_owned())]);
        };
        (0..2).for_each(|_| send(&mut encoder, &mut decoder, "x-a", "1"));
        for round in 1..(1 << 16) + 300 {
            let value = format!("v{round}");
            (0..2).for_each(|_| send(&mut encoder, &mut decoder, "server", &value));
            if !(100..=1 << 16).contains(&round) {
                send(&mut encoder, &mut decoder, "x-a", "1");
            }
        }
    }

    fn random_rows(numbers: &mut Numbers) -> Vec<(String, String)> {
        let names = [
            ":path",
            ":authority",
            ":status",
            ":method",
            "accept",
            "content-type",
            "cookie",
            "date",
            "x-a",
            "x-b",
            "x-c",
            "server",
            "vary",
            "x-some-name-of-a-kind",
            "traceparent",
            "",
            "content-length",
        ];
        let mut row = |_| {
            let name = match numbers.below(8) {
                0 => format!("x-{}", numbers.below(200)),
                _ => names[numbers.below(names.len())].to_owned(),
            };
            let value = match numbers.below(10) {
                0 => String::new(),
                1 => (0..numbers.below(300)).map(|_| numbers.below(128) as u8 as char).collect(),
                2..6 => format!("value {}", numbers.below(3)),
                _ => ["GET", "200", "text/html; charset=utf-8", "1"][numbers.below(4)].to_owned(),
            };
            (name, value)
        };
        let count = 1 + row(0).1.len() % 20;
        (0..count).map(row).collect()
    }

    #[test]
    fn random_lists_come_back_through_changing_table_sizes() {
        let mut numbers = Numbers(3);
        for _ in 0..40 {
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
            let mut rows = random_rows(&mut numbers);
            for round in 0..150 {
                if numbers.below(20) == 0 {
                    (0..1 + numbers.below(3)).for_each(|_| encoder.limit_table(numbers.below(5000)));
                }
                match numbers.below(3) {
                    0 => rows = random_rows(&mut numbers),
                    1 => rows.extend(random_rows(&mut numbers).pop()),
                    _ => {}
                }
                let texts: Vec<_> = rows.iter().map(|(name, value)| (&name[..], &value[..])).collect();
                assert_eq!(read(&mut decoder, &block(&mut encoder, &texts)), rows, "{round}");
            }
        }
    }

    #[test]
    fn kinds_that_are_decoded_are_those_that_were_encoded() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for _ in 0..3 {
            let out = block(
                &mut encoder,
                &[(":path", "/a"), ("Content-Type", "b"), ("X-A", "c"), (":protocol", "d")],
            );
            let mut kinds = Vec::new();
            decoder.decode(&out, |field| kinds.push((field.kind, field.is_sound))).unwrap();
            let wanted = [
                Name::Pseudo(Pseudo::Path),
                Name::Field(Known::ContentType),
                Name::Field(Known::Other),
                Name::Pseudo(Pseudo::Protocol),
            ];
            assert_eq!(kinds, wanted.map(|kind| (kind, true)));
        }
    }

    #[test]
    fn nothing_is_allocated_before_the_first_entry() {
        let mut encoder = Encoder::new();
        block(&mut encoder, &[(":status", "200"), ("x-a", "1")]);
        assert_eq!(encoder.table.figures(), [0; 4]);
    }
}
