//! The Huffman code of strings (RFC 7541 §5.2 and Appendix B), up to two symbols at a time.

use super::DecodeError;

/// Number of symbols: every byte, and EOS, which no string holds.
const SYMBOLS: usize = 257;
/// Bits of the longest code.
const LONGEST: usize = 30;
/// Bits that are looked up at once: those of two letters or digits.
const LOOKED_UP: usize = 12;

/// How many bits the code of each symbol has (RFC 7541 Appendix B). That tells the codes too: shorter ones are
/// smaller, and among those of one length they count up in the order of the symbols.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

/// The symbols in the order of their codes, and what belongs to each length of codes.
struct Order {
    symbols: [u16; SYMBOLS],
    /// How many symbols have shorter codes.
    before: [u16; LONGEST + 1],
    /// What is above every code of this length, if zeros follow it up to the longest.
    above: [u32; LONGEST + 1],
}

const ORDER: Order = {
    let mut order = Order { symbols: [0; SYMBOLS], before: [0; LONGEST + 1], above: [0; LONGEST + 1] };
    let (mut length, mut rank) = (1, 0);
    while length <= LONGEST {
        order.before[length] = rank as u16;
        order.above[length] = order.above[length - 1];
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                order.symbols[rank] = symbol as u16;
                order.above[length] += 1 << (LONGEST - length);
                rank += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    assert!(rank == SYMBOLS && order.above[LONGEST] == 1 << LONGEST, "every text of bits is one of symbols");
    order
};
static ORDERED: Order = ORDER;

/// The code of each symbol.
static CODES: [u32; SYMBOLS] = CODE;
const CODE: [u32; SYMBOLS] = {
    let mut codes = [0; SYMBOLS];
    let mut rank = 0;
    while rank < SYMBOLS {
        let symbol = ORDER.symbols[rank] as usize;
        let length = LENGTHS[symbol] as usize;
        let first = ORDER.above[length - 1] >> (LONGEST - length);
        codes[symbol] = first + rank as u32 - ORDER.before[length] as u32;
        rank += 1;
    }
    codes
};

/// What some bits begin with, in one number, as it is looked up for every symbol or two: from the lowest bit on two
/// symbols of eight bits, the bits of both codes and those of the first one in four each, and how many symbols they
/// are. Nothing if the first one has more bits than are looked up.
#[derive(Clone, Copy)]
struct Pair(u32);

impl Pair {
    const fn new(symbols: [u8; 2], first: u8, both: u8) -> Self {
        let count = if first == both { 1 } else { 2 };
        Self(u32::from_le_bytes([symbols[0], symbols[1], both | first << 4, count]))
    }

    fn symbols(self) -> [u8; 2] {
        (self.0 as u16).to_le_bytes()
    }

    fn both(self) -> u32 {
        self.0 >> 16 & 0xf
    }

    fn first(self) -> u32 {
        self.0 >> 20 & 0xf
    }

    fn count(self) -> usize {
        (self.0 >> 24) as usize
    }
}

static PAIRS: [Pair; 1 << LOOKED_UP] = {
    let mut pairs = [Pair(0); 1 << LOOKED_UP];
    let mut rank = 0;
    while rank < SYMBOLS && LENGTHS[ORDER.symbols[rank] as usize] as usize <= LOOKED_UP {
        let symbol = ORDER.symbols[rank] as u8;
        let first = LENGTHS[symbol as usize];
        let from = (CODE[symbol as usize] as usize) << (LOOKED_UP - first as usize);
        fill(&mut pairs, from, first, Pair::new([symbol, 0], first, first));
        let mut second = 0;
        while second < SYMBOLS
            && LENGTHS[ORDER.symbols[second] as usize] as usize <= LOOKED_UP - first as usize
        {
            let other = ORDER.symbols[second] as u8;
            let both = first + LENGTHS[other as usize];
            let from = from | (CODE[other as usize] as usize) << (LOOKED_UP - both as usize);
            fill(&mut pairs, from, both, Pair::new([symbol, other], first, both));
            second += 1;
        }
        rank += 1;
    }
    pairs
};

/// Enters a pair wherever bits begin with its own.
const fn fill(pairs: &mut [Pair; 1 << LOOKED_UP], from: usize, bits: u8, pair: Pair) {
    let mut at = from;
    while at < from + (1 << (LOOKED_UP - bits as usize)) {
        pairs[at] = pair;
        at += 1;
    }
}

/// Bits of a string.
#[derive(Clone, Copy)]
struct Bits<'a> {
    /// Those that come next, from the highest on.
    next: u64,
    /// How many they are.
    count: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Sees to it that there are 32 or more, if the string has as many. Only up to 31 may be left.
    #[inline]
    fn fill(&mut self) {
        if let Some((four, after)) = self.rest.split_first_chunk() {
            self.next |= u64::from(u32::from_be_bytes(*four)) << (32 - self.count);
            self.count += 32;
            self.rest = after;
        } else {
            for byte in self.rest {
                self.next |= u64::from(*byte) << (56 - self.count);
                self.count += 8;
            }
            self.rest = &[];
        }
    }

    #[inline]
    fn pair(&self) -> Pair {
        PAIRS[(self.next >> (64 - LOOKED_UP)) as usize]
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.next <<= bits;
        self.count -= bits;
    }
}

/// The symbol that bits begin with and how many are its own, if they are more than are looked up.
#[cold]
fn long(next: u64) -> (u16, u32) {
    let bits = (next >> (64 - LONGEST)) as u32;
    let mut length = LOOKED_UP + 1;
    while length < LONGEST && bits >= ORDERED.above[length] {
        length += 1;
    }
    let rank = (bits - ORDERED.above[length - 1]) >> (LONGEST - length);
    (ORDERED.symbols[usize::from(ORDERED.before[length]) + rank as usize], length as u32)
}

/// Decodes a string. The buffer is where the text is put, whatever it held; it grows to what it has once needed.
///
/// # Errors
/// When the string holds EOS or has wrong padding.
pub(super) fn decode<'a>(coded: &[u8], buffer: &'a mut Vec<u8>) -> Result<&'a [u8], DecodeError> {
    // The shortest codes have five bits; and two bytes are written where one may be.
    let most = coded.len() * 8 / 5 + 2;
    if buffer.len() < most {
        buffer.resize(most, 0);
    }
    let text = &mut buffer[..most];
    let (mut bits, mut at) = (Bits { next: 0, count: 0, rest: coded }, 0);
    loop {
        bits.fill();
        if bits.count < 32 {
            break;
        }
        while bits.count >= LONGEST as u32 {
            let pair = bits.pair();
            if pair.count() != 0 {
                text[at..at + 2].copy_from_slice(&pair.symbols());
                at += pair.count();
                bits.skip(pair.both());
            } else {
                let (symbol, length) = long(bits.next);
                text[at] = byte(symbol)?;
                at += 1;
                bits.skip(length);
            }
        }
    }
    at += decode_last(bits, &mut text[at..])?;
    Ok(&text[..at])
}

/// Decodes what is left, fewer than 32 bits, and gives how many symbols it was. Ones follow them, as they do in EOS;
/// a symbol that needs some of these is none.
fn decode_last(mut bits: Bits<'_>, text: &mut [u8]) -> Result<usize, DecodeError> {
    bits.next |= u64::MAX >> bits.count;
    let mut at = 0;
    loop {
        let pair = bits.pair();
        if pair.count() == 0 {
            let (symbol, length) = long(bits.next);
            if length > bits.count {
                break;
            }
            text[at] = byte(symbol)?;
            at += 1;
            bits.skip(length);
        } else if pair.both() <= bits.count {
            text[at..at + 2].copy_from_slice(&pair.symbols());
            at += pair.count();
            bits.skip(pair.both());
        } else if pair.first() <= bits.count {
            text[at] = pair.symbols()[0];
            at += 1;
            bits.skip(pair.first());
        } else {
            break;
        }
    }
    let is_padding = bits.count < 8 && bits.next >> 56 == 0xff;
    if is_padding { Ok(at) } else { Err(DecodeError::Padding) }
}

fn byte(symbol: u16) -> Result<u8, DecodeError> {
    u8::try_from(symbol).map_err(|_| DecodeError::EndOfString)
}

/// Bytes that a text has when it is encoded.
pub(super) fn encoded_length(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum::<usize>().div_ceil(8)
}

/// Appends a text, encoded.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u64, 0u8);
    for byte in text {
        let length = LENGTHS[usize::from(*byte)];
        bits = bits << length | u64::from(CODES[usize::from(*byte)]);
        count += length;
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    let padding = count.wrapping_neg() & 7;
    bits = bits << padding | ((1 << padding) - 1);
    count += padding;
    out.extend_from_slice(&(bits << (64 - u32::from(count)).min(63)).to_be_bytes()[..usize::from(count / 8)]);
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Numbers, bytes},
        *,
    };

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = vec![b'x'];
        encode(text, &mut out);
        assert_eq!(out.len() - 1, encoded_length(text), "{text:?}");
        out.split_off(1)
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, DecodeError> {
        decode(coded, &mut Vec::new()).map(<[u8]>::to_vec)
    }

    /// Bits as a text of ones and zeros, which must be whole bytes.
    fn packed(bits: &str) -> Vec<u8> {
        assert_eq!(bits.len() % 8, 0, "{bits}");
        let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
        bits.as_bytes().chunks(8).map(byte).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_come_out() {
        for (text, digits) in [
            ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
            ("no-cache", "a8eb10649cbf"),
            ("custom-key", "25a849e95ba97d7f"),
            ("custom-value", "25a849e95bb8e8b4bf"),
            ("302", "6402"),
            ("307", "640eff"),
            ("private", "aec3771a4b"),
            ("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
            ("https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
            ("gzip", "9bd9ab"),
            ("", ""),
        ] {
            assert_eq!(encoded(text.as_bytes()), bytes(digits), "{text}");
            assert_eq!(decoded(&bytes(digits)).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        for (symbol, code) in [
            (0x00, 0x1ff8),
            (0x01, 0x7f_ffd8),
            (0x0a, 0x3fff_fffc),
            (0x16, 0x3fff_fffe),
            (usize::from(b' '), 0x14),
            (usize::from(b'0'), 0x0),
            (usize::from(b'Z'), 0xfd),
            (usize::from(b'~'), 0x1ffd),
            (0x80, 0xf_ffe6),
            (0xff, 0x3ff_ffee),
            (256, 0x3fff_ffff),
        ] {
            assert_eq!(CODES[symbol], code, "{symbol}");
        }
    }

    #[test]
    fn every_byte_comes_back_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..24 {
                let mut text = b"some text, and some more".to_vec();
                text[place] = byte;
                assert_eq!(decoded(&encoded(&text)).unwrap(), text);
                assert_eq!(decoded(&encoded(&text[..=place])).unwrap(), &text[..=place]);
            }
        }
    }

    #[test]
    fn texts_of_any_bytes_come_back_and_one_buffer_serves_them_all() {
        let (mut numbers, mut buffer) = (Numbers(7), Vec::new());
        for _ in 0..3000 {
            let length = numbers.below(70);
            let limit = [128, 256][numbers.below(2)];
            let text: Vec<_> = (0..length).map(|_| numbers.below(limit) as u8).collect();
            assert_eq!(decode(&encoded(&text), &mut buffer).unwrap(), text);
        }
    }

    #[test]
    fn any_bytes_are_decoded_as_a_model_decodes_them() {
        let mut numbers = Numbers(11);
        for _ in 0..3000 {
            let length = numbers.below(12);
            let often = numbers.below(3);
            let mut byte = || if numbers.below(3) < often { 0xff } else { numbers.below(256) as u8 };
            let coded: Vec<_> = (0..length).map(|_| byte()).collect();
            assert_eq!(decoded(&coded), modelled(&coded), "{coded:x?}");
        }
    }

    /// Bit by bit.
    fn modelled(coded: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let (mut text, mut code, mut length) = (Vec::new(), 0u32, 0);
        for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))) {
            (code, length) = (code << 1 | bit, length + 1);
            let is_symbol = |symbol: &usize| LENGTHS[*symbol] == length && CODES[*symbol] == code;
            match (0..SYMBOLS).find(is_symbol) {
                Some(256) => return Err(DecodeError::EndOfString),
                Some(symbol) => {
                    text.push(symbol as u8);
                    (code, length) = (0, 0);
                }
                None => {}
            }
        }
        let is_padding = length < 8 && code + 1 == 1 << length;
        if is_padding { Ok(text) } else { Err(DecodeError::Padding) }
    }

    #[test]
    fn padding_is_ones_and_less_than_a_byte() {
        // "a" is 00011, "0" is 00000.
        assert_eq!(decoded(&packed("00011111")).unwrap(), b"a");
        for bits in ["00011110", "00011011", "00011000", "0001111111111111", "11111111", "1111111111111111"] {
            assert_eq!(decoded(&packed(bits)), Err(DecodeError::Padding), "{bits}");
        }
        for bits in ["0".repeat(40), "0".repeat(32 + 3) + "11111"] {
            let text = decoded(&packed(&bits)).unwrap();
            assert!(text.starts_with(b"000000"), "{text:?}");
        }
        let whole = "0".repeat(40);
        assert_eq!(decoded(&packed(&(whole + "11111111"))), Err(DecodeError::Padding));
    }

    #[test]
    fn eos_is_refused_wherever_it_stands() {
        let eos = "1".repeat(30);
        for before in ["", "00011", "0001100011000110001100011"] {
            for after in ["", "00011000110001100011000110001100011", "1111111111"] {
                let mut bits = format!("{before}{eos}{after}");
                while bits.len() % 8 != 0 {
                    bits.push('1');
                }
                assert_eq!(decoded(&packed(&bits)), Err(DecodeError::EndOfString), "{bits}");
            }
        }
    }
}
