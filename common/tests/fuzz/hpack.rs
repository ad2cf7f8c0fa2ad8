//! HPACK blocks against a model that reads strings bit by bit, and what they say, encoded again.

use std::{collections::HashMap, sync::LazyLock};

use selvedge_common::{
    http2::hpack::{Decoder, Encoder, Field, Name, Pseudo},
    message::Known,
};

/// A name and a value.
type Row = (Vec<u8>, Vec<u8>);

/// Sizes that may be announced; the first byte of the input tells which one is.
const SIZES: [usize; 4] = [4096, 0, 100, 65_536];

/// The static table, a line each: the name, and its value after an equals sign.
const STATIC: &str = ":authority=
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset=
accept-encoding=gzip, deflate
accept-language=
accept-ranges=
accept=
access-control-allow-origin=
age=
allow=
authorization=
cache-control=
content-disposition=
content-encoding=
content-language=
content-length=
content-location=
content-range=
content-type=
cookie=
date=
etag=
expect=
expires=
from=
host=
if-match=
if-modified-since=
if-none-match=
if-range=
if-unmodified-since=
last-modified=
link=
location=
max-forwards=
proxy-authenticate=
proxy-authorization=
range=
referer=
refresh=
retry-after=
server=
set-cookie=
strict-transport-security=
transfer-encoding=
user-agent=
vary=
via=
www-authenticate=";

/// The symbols whose codes have so many bits, in the order of their codes; EOS is the last one of all.
const SYMBOLS: &[(u32, &[u8])] = &[
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (
        22,
        b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\
         \xe8\xe9",
    ),
    (
        23,
        b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\
         \xbc\xbf\xc5\xe7\xef",
    ),
    (24, b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (
        28,
        b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\
         \x1e\x1f\x7f\xdc\xf9",
    ),
    (30, b"\x0a\x0d\x16"),
];

/// Symbols by the bits of their codes, as text.
static CODES: LazyLock<HashMap<String, usize>> = LazyLock::new(|| {
    let (mut codes, mut code, mut before) = (HashMap::new(), 0u64, 0);
    let symbols =
        SYMBOLS.iter().flat_map(|(bits, symbols)| symbols.iter().map(|symbol| (*bits, usize::from(*symbol))));
    for (bits, symbol) in symbols.chain([(30, 256)]) {
        code <<= bits - before;
        codes.insert(format!("{code:00$b}", bits as usize), symbol);
        (code, before) = (code + 1, bits);
    }
    assert_eq!(code, 1 << 30, "every text of bits is one of symbols");
    codes
});

/// Names that are in no table, whatever is sent.
const SECRETS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-selvedge-token"];

/// Compares what blocks say, each behind a byte that is its length, with the model; and encodes it again.
pub fn check(input: &[u8]) {
    let (which, mut rest) = input.split_first().unwrap_or((&0, &[]));
    let size = SIZES[usize::from(*which) % SIZES.len()];
    let (mut decoder, mut model) = (Decoder::new(size), Model::new(size));
    let mut again = Again { encoder: Encoder::new(), decoder: Decoder::new(4096), model: Model::new(4096) };
    while let Some((length, after)) = rest.split_first() {
        let (block, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let read = read(&mut decoder, block);
        assert_eq!(read, model.block(block), "{}: {}", input.escape_ascii(), block.escape_ascii());
        let Some(rows) = read else { return };
        // A field that comes more than once is in the table then.
        for rows in [&rows, &rows, &rows] {
            again.check(rows);
        }
        again.encoder.limit_table(usize::from(*length) * 40);
    }
}

/// What a block says; what is told of a field beside its name and its value is checked.
fn read(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    let result = decoder.decode(block, |field| {
        check_kind(&field);
        rows.push((field.name.to_vec(), field.value.to_vec()));
    });
    result.ok().map(|()| rows)
}

fn check_kind(field: &Field<'_>) {
    let (name, value) = (field.name, field.value);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let kind = match String::from_utf8_lossy(name).as_ref() {
        text if text.starts_with(':') => pseudo(name).map_or(Name::OtherPseudo, Name::Pseudo),
        text if text.is_empty() || !name.iter().all(is_token) || text != text.to_lowercase() => {
            Name::Malformed
        }
        _ => Name::Field(Known::of(name)),
    };
    let is_sound = value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    assert_eq!((field.kind, field.is_sound), (kind, is_sound), "{field:?}");
}

/// The way of fields that were read to another peer.
struct Again {
    encoder: Encoder,
    decoder: Decoder,
    model: Model,
}

impl Again {
    fn check(&mut self, rows: &[Row]) {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        for (name, value) in rows {
            match pseudo(name) {
                Some(pseudo) => self.encoder.pseudo(&mut block, pseudo, value),
                None => self.encoder.field(&mut block, Known::of(name), name, value),
            }
        }
        let lower: Vec<Row> =
            rows.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        assert_eq!(read(&mut self.decoder, &block).as_ref(), Some(&lower), "{}", block.escape_ascii());
        assert_eq!(self.model.block(&block).as_ref(), Some(&lower), "{}", block.escape_ascii());
        let is_secret = |(name, _): &Row| SECRETS.iter().any(|secret| secret.as_bytes() == name);
        assert!(!self.model.table.iter().any(is_secret), "{:?}", self.model.table);
    }
}

fn pseudo(name: &[u8]) -> Option<Pseudo> {
    match name {
        b":method" => Some(Pseudo::Method),
        b":scheme" => Some(Pseudo::Scheme),
        b":authority" => Some(Pseudo::Authority),
        b":path" => Some(Pseudo::Path),
        b":status" => Some(Pseudo::Status),
        b":protocol" => Some(Pseudo::Protocol),
        _ => None,
    }
}

/// A decoder that is easy to see through.
struct Model {
    /// The newest entry first.
    table: Vec<Row>,
    limit: usize,
    announced: usize,
}

impl Model {
    fn new(announced: usize) -> Self {
        Self { table: Vec::new(), limit: 4096, announced }
    }

    fn block(&mut self, block: &[u8]) -> Option<Vec<Row>> {
        let (mut rest, mut rows, mut updates) = (block, Vec::new(), 0);
        while let Some(first) = rest.first() {
            match first.leading_zeros() {
                0 => rows.push(self.entry(integer(&mut rest, 7)?)?),
                1 => {
                    let row = self.literal(&mut rest, 6)?;
                    rows.push(row.clone());
                    self.table.insert(0, row);
                    self.evict();
                }
                2 => {
                    updates += 1;
                    self.limit = integer(&mut rest, 5)?;
                    if updates > 2 || !rows.is_empty() || self.limit > self.announced {
                        return None;
                    }
                    self.evict();
                }
                _ => rows.push(self.literal(&mut rest, 4)?),
            }
        }
        Some(rows)
    }

    fn literal(&self, rest: &mut &[u8], bits: u32) -> Option<Row> {
        let name = match integer(rest, bits)? {
            0 => string(rest)?,
            index => self.entry(index)?.0,
        };
        Some((name, string(rest)?))
    }

    fn entry(&self, index: usize) -> Option<Row> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let fixed = STATIC.lines().map(|line| line.split_once('=').expect("each line has one"));
        let fixed = fixed.map(|(name, value)| (bytes(name), bytes(value)));
        fixed.chain(self.table.iter().cloned()).nth(index.checked_sub(1)?)
    }

    fn evict(&mut self) {
        let size =
            |table: &[Row]| table.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>();
        while size(&self.table) > self.limit {
            self.table.pop();
        }
    }
}

fn integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1 << bits) - 1;
    let mut value = usize::from(take(rest)?) & most;
    if value == most {
        for part in 0..5 {
            let byte = usize::from(take(rest)?);
            value += (byte % 128) << (7 * part);
            if byte < 128 {
                return (part < 4).then_some(value);
            }
        }
        return None;
    }
    Some(value)
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

fn string(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let is_coded = rest.first()? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    if !is_coded {
        return Some(text.to_vec());
    }
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut text, mut code) = (Vec::new(), String::new());
    for bit in bits.chars() {
        code.push(bit);
        if let Some(symbol) = CODES.get(&code) {
            text.push(u8::try_from(*symbol).ok()?);
            code.clear();
        }
    }
    (code.len() < 8 && !code.contains('0')).then_some(text)
}
