//! From blocks to fields, strictly: whatever the RFC calls a decoding error is one.

use std::cell::Cell;

use super::{
    DEFAULT_TABLE_BYTES, DecodeError, Field, Name, dynamic_table::DynamicTable, huffman, integer, is_sound,
    static_table,
};

/// How many updates of the table's size a block may begin with: the smallest size there was, and the last one
/// (RFC 7541 §4.2).
const MOST_UPDATES: usize = 2;

thread_local! {
    /// Shared by all connections of a thread, so that each of them has none.
    static TEXTS: Cell<Texts> = const { Cell::new(Texts { name: Vec::new(), value: Vec::new() }) };
}

/// Where strings go that were Huffman coded.
#[derive(Default)]
struct Texts {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// What is known of an entry.
#[derive(Clone, Copy)]
struct Tag {
    kind: Name,
    is_sound: bool,
}

/// Decodes the blocks of one connection, in their order.
pub struct Decoder {
    table: DynamicTable<Tag>,
    /// The largest size that the peer may give to its table.
    most_bytes: usize,
}

impl Decoder {
    /// `table_bytes` is what is announced as `SETTINGS_HEADER_TABLE_SIZE`. The table has the usual 4096 bytes until
    /// the peer says that it uses more, or that it has read that it shall use less. Nothing is allocated yet.
    pub fn new(table_bytes: usize) -> Self {
        Self { table: DynamicTable::new(DEFAULT_TABLE_BYTES), most_bytes: table_bytes }
    }

    /// Decodes a whole block and hands out its fields in their order.
    ///
    /// # Errors
    /// When it is none. The connection is to be closed with `COMPRESSION_ERROR`; fields that stand before what is
    /// wrong may have been handed out.
    pub fn decode(&mut self, block: &[u8], field: impl FnMut(Field<'_>)) -> Result<(), DecodeError> {
        let mut texts = TEXTS.take();
        let result = self.read_block(block, &mut texts, field);
        TEXTS.set(texts);
        result
    }

    fn read_block(
        &mut self,
        block: &[u8],
        texts: &mut Texts,
        mut field: impl FnMut(Field<'_>),
    ) -> Result<(), DecodeError> {
        let mut rest = block;
        self.read_updates(&mut rest)?;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if first & 0x80 != 0 {
                let index = integer::read(&mut rest, *first, 0x7f)?;
                field(self.indexed(index)?);
            } else {
                self.read_literal(*first, &mut rest, texts, &mut field)?;
            }
        }
        Ok(())
    }

    fn read_updates(&mut self, rest: &mut &[u8]) -> Result<(), DecodeError> {
        for _ in 0..MOST_UPDATES {
            let Some((first, after)) = rest.split_first().filter(|(first, _)| *first & 0xe0 == 0x20) else {
                break;
            };
            *rest = after;
            let bytes = integer::read(rest, *first, 0x1f)?;
            if bytes > self.most_bytes {
                return Err(DecodeError::LargeTable);
            }
            self.table.set_limit(bytes);
        }
        Ok(())
    }

    #[inline]
    fn indexed(&self, index: usize) -> Result<Field<'_>, DecodeError> {
        if let Some(age) = index.checked_sub(static_table::LENGTH + 1) {
            let entry = self.table.get(age).ok_or(DecodeError::NoEntry)?;
            let Tag { kind, is_sound } = entry.tag;
            return Ok(Field {
                kind,
                name: entry.name,
                value: entry.value,
                is_sound,
                is_never_indexed: false,
            });
        }
        let entry = static_table::ENTRIES.get(index.wrapping_sub(1));
        entry.copied().ok_or(DecodeError::NoEntry)
    }

    /// Reads a field that is sent with its value.
    fn read_literal(
        &mut self,
        first: u8,
        rest: &mut &[u8],
        texts: &mut Texts,
        field: &mut impl FnMut(Field<'_>),
    ) -> Result<(), DecodeError> {
        let is_kept = first & 0x40 != 0;
        let mask = match first {
            0x40.. => 0x3f,
            0x20.. => return Err(DecodeError::MisplacedUpdate),
            _ => 0x0f,
        };
        let index = integer::read(rest, first, mask)?;
        let own = if index == 0 { Some(read_string(rest, &mut texts.name)?) } else { None };
        let kind = match own {
            Some(name) => Name::of(name),
            None => self.indexed(index)?.kind,
        };
        let value = read_string(rest, &mut texts.value)?;
        let tag = Tag { kind, is_sound: is_sound(value) };
        let name = match own {
            Some(name) => name,
            None => self.indexed(index)?.name,
        };
        field(Field { kind, name, value, is_sound: tag.is_sound, is_never_indexed: first & 0xf0 == 0x10 });
        if is_kept {
            match (own, index.checked_sub(static_table::LENGTH + 1)) {
                (Some(name), _) => self.table.insert(tag, name, value),
                (None, Some(age)) => self.table.insert_named_as(age, tag, value),
                (None, None) => self.table.insert(tag, static_table::ENTRIES[index - 1].name, value),
            }
        }
        Ok(())
    }
}

/// Reads a string, which may be put into a buffer.
fn read_string<'a: 'b, 'b>(rest: &mut &'a [u8], buffer: &'b mut Vec<u8>) -> Result<&'b [u8], DecodeError> {
    let (first, after) = rest.split_first().ok_or(DecodeError::Truncated)?;
    *rest = after;
    let length = integer::read(rest, *first, 0x7f)?;
    let (text, after) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
    *rest = after;
    if first & 0x80 == 0 { Ok(text) } else { huffman::decode(text, buffer) }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::bytes, *};
    use crate::message::Known;

    type Row = (String, String);

    fn rows(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Row>, DecodeError> {
        let mut rows = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        decoder.decode(block, |field| rows.push((text(field.name), text(field.value))))?;
        Ok(rows)
    }

    /// What the table holds, the newest first, and its size.
    fn table(decoder: &Decoder) -> (Vec<Row>, usize) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let entries = (0..).map_while(|age| decoder.table.get(age));
        let rows = entries.map(|entry| (text(entry.name), text(entry.value))).collect();
        (rows, decoder.table.figures()[1])
    }

    fn owned(rows: &[(&str, &str)]) -> Vec<Row> {
        rows.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// A block in both forms, what it says, the table after it, and the size of that.
    type Example<'a> = ([&'a str; 2], &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], usize);

    fn check(limit: usize, examples: &[Example<'_>]) {
        for form in 0..2 {
            let mut decoder = Decoder::new(4096);
            decoder.table.set_limit(limit);
            for (blocks, fields, entries, size) in examples {
                let block = bytes(blocks[form]);
                assert_eq!(rows(&mut decoder, &block), Ok(owned(fields)), "{}", blocks[form]);
                assert_eq!(table(&decoder), (owned(entries), *size), "{}", blocks[form]);
            }
        }
    }

    #[test]
    fn literal_examples_of_the_rfc_are_read() {
        let custom = [("custom-key", "custom-header")];
        let block = "400a637573746f6d2d6b65790d637573746f6d2d686561646572";
        check(4096, &[([block, block], &custom, &custom, 55)]);
        let block = "040c2f73616d706c652f70617468";
        check(4096, &[([block, block], &[(":path", "/sample/path")], &[], 0)]);
        let block = "100870617373776f726406736563726574";
        check(4096, &[([block, block], &[("password", "secret")], &[], 0)]);
        check(4096, &[(["82", "82"], &[(":method", "GET")], &[], 0)]);
    }

    #[test]
    fn request_examples_of_the_rfc_are_read_in_both_forms() {
        let start = |path, scheme| [(":method", "GET"), (":scheme", scheme), (":path", path)];
        let [authority, cache, custom] = [
            (":authority", "www.example.com"),
            ("cache-control", "no-cache"),
            ("custom-key", "custom-value"),
        ];
        let with = |start: [(&'static str, &'static str); 3], more: &[(&'static str, &'static str)]| {
            [&start[..], more].concat()
        };
        check(
            4096,
            &[
                (
                    ["828684410f7777772e6578616d706c652e636f6d", "828684418cf1e3c2e5f23a6ba0ab90f4ff"],
                    &with(start("/", "http"), &[authority]),
                    &[authority],
                    57,
                ),
                (
                    ["828684be58086e6f2d6361636865", "828684be5886a8eb10649cbf"],
                    &with(start("/", "http"), &[authority, cache]),
                    &[cache, authority],
                    110,
                ),
                (
                    [
                        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
                        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
                    ],
                    &with(start("/index.html", "https"), &[authority, custom]),
                    &[custom, cache, authority],
                    164,
                ),
            ],
        );
    }

    #[test]
    fn response_examples_of_the_rfc_are_read_in_both_forms_and_entries_are_evicted() {
        let cookie = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
        let location = ("location", "https://www.example.com");
        let first = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
        let second = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
        let private = ("cache-control", "private");
        let (found, moved, fine) = ((":status", "302"), (":status", "307"), (":status", "200"));
        let gzip = ("content-encoding", "gzip");
        check(
            256,
            &[
                (
                    [
                        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54\
                         6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
                        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f\
                         0b97c8e9ae82ae43d3",
                    ],
                    &[found, private, first, location],
                    &[location, first, private, found],
                    222,
                ),
                (
                    ["4803333037c1c0bf", "4883640effc1c0bf"],
                    &[moved, private, first, location],
                    &[moved, location, first, private],
                    222,
                ),
                (
                    [
                        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f\
                         3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076\
                         657273696f6e3d31",
                        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df\
                         dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                    ],
                    &[fine, private, second, location, gzip, cookie],
                    &[cookie, gzip, second],
                    215,
                ),
            ],
        );
    }

    #[test]
    fn what_is_known_of_a_field_stays_with_it() {
        let mut decoder = Decoder::new(4096);
        let block = [
            &b"\x5f\x03a\0b"[..],
            b"\x40\x03A-b\x01x",
            b"\x40\x02:x\x02\ny",
            b"\x0f\x10\x01z",
            &[0xc0, 0xbf, 0xbe],
        ];
        let mut seen = Vec::new();
        decoder.decode(&block.concat(), |field| seen.push((field.kind, field.is_sound))).unwrap();
        let kept =
            [(Name::Field(Known::ContentType), false), (Name::Malformed, true), (Name::OtherPseudo, false)];
        let passing = [(Name::Field(Known::ContentType), true)];
        assert_eq!(seen, [&kept[..], &passing, &kept].concat());
    }

    #[test]
    fn malformed_blocks_are_refused() {
        use DecodeError::{
            EndOfString, LargeInteger, LargeTable, MisplacedUpdate, NoEntry, Padding, Truncated,
        };
        for (case, block, error) in [
            ("index zero", &[0x80][..], NoEntry),
            ("an index just beyond the tables", &[0xbe], NoEntry),
            ("an index far beyond the tables", &[0xff, 0xff, 0xff, 0xff, 0x7f], NoEntry),
            ("a name beyond the tables", &[0x7e, 1, b'x'], NoEntry),
            ("a name beyond the tables, not indexed", &[0x0f, 0x2f, 1, b'x'], NoEntry),
            ("an index without an end", &[0xff], Truncated),
            ("an index that is too large", &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01], LargeInteger),
            ("an index with zeros behind it", &[0xff, 0x80, 0x80, 0x80, 0x80, 0x00], LargeInteger),
            ("a literal without a name", &[0x40], Truncated),
            ("a literal without a value", &[0x40, 1, b'a'], Truncated),
            ("a name that is cut off", &[0x40, 3, b'a'], Truncated),
            ("a value that is cut off", &[0x44, 3, b'a', b'b'], Truncated),
            ("a length that is cut off", &[0x44, 0x7f, 0x80], Truncated),
            ("a length that is too large", &[0x44, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f], LargeInteger),
            ("padding of zeros", &[0x44, 0x81, 0b0001_1000], Padding),
            ("padding of a whole byte", &[0x44, 0x82, 0b0001_1111, 0xff], Padding),
            ("nothing but padding", &[0x44, 0x81, 0xff], Padding),
            ("EOS in a value", &[0x44, 0x84, 0xff, 0xff, 0xff, 0xff], EndOfString),
            ("EOS in a name", &[0x40, 0x84, 0xff, 0xff, 0xff, 0xfc, 1, b'x'], EndOfString),
            ("a table above what was announced", &[0x3f, 0xe2, 0x1f], LargeTable),
            ("an update without an end", &[0x3f], Truncated),
            ("an update after a field", &[0x82, 0x20], MisplacedUpdate),
            ("three updates", &[0x20, 0x20, 0x20], MisplacedUpdate),
        ] {
            assert_eq!(rows(&mut Decoder::new(4096), block), Err(error), "{case}");
        }
    }

    #[test]
    fn updates_at_the_beginning_are_followed() {
        let mut decoder = Decoder::new(4096);
        rows(&mut decoder, b"\x44\x02/a\x44\x02/b").unwrap();
        assert_eq!(rows(&mut decoder, &[0xbe, 0xbf]), Ok(owned(&[(":path", "/b"), (":path", "/a")])));
        // Of 39 bytes, so that one is left; then the old size again.
        assert_eq!(rows(&mut decoder, &[0x3f, 0x08, 0x3f, 0xe1, 0x1f, 0xbe]), Ok(owned(&[(":path", "/b")])));
        assert_eq!(decoder.table.limit(), 4096);
        assert_eq!(rows(&mut decoder, &[0xbf]), Err(DecodeError::NoEntry));
        assert_eq!(rows(&mut decoder, &[0x20]), Ok(Vec::new()));
        assert_eq!(table(&decoder), (Vec::new(), 0));
    }

    #[test]
    fn a_peer_may_use_what_was_announced_once_it_says_so() {
        let mut decoder = Decoder::new(8192);
        assert_eq!(decoder.table.limit(), 4096);
        assert_eq!(rows(&mut decoder, &[0x3f, 0xe1, 0x3f]), Ok(Vec::new()));
        assert_eq!(decoder.table.limit(), 8192);
        assert_eq!(rows(&mut decoder, &[0x3f, 0xe2, 0x3f]), Err(DecodeError::LargeTable));
        let mut decoder = Decoder::new(100);
        assert_eq!(rows(&mut decoder, &[0x3f, 0x46]), Err(DecodeError::LargeTable));
        assert_eq!(rows(&mut decoder, &[0x3f, 0x45]), Ok(Vec::new()));
    }

    #[test]
    fn a_decoder_can_be_used_while_another_hands_out_a_field() {
        let block = bytes("828684418cf1e3c2e5f23a6ba0ab90f4ff");
        let (mut outer, mut count) = (Decoder::new(4096), 0);
        outer
            .decode(&block, |field| {
                count += rows(&mut Decoder::new(4096), &block).unwrap().len();
                assert!(
                    field.kind != Name::Pseudo(super::super::Pseudo::Authority)
                        || field.value == b"www.example.com"
                );
            })
            .unwrap();
        assert_eq!(count, 16);
    }
}
