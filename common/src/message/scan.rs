//! Where runs of plain bytes end, eight bytes at a time.

/// Every byte is this many times the same: `ONES * 7` is eight sevens.
const ONES: u64 = u64::from_ne_bytes([1; 8]);
/// The highest bit of each byte.
const HIGHS: u64 = ONES * 0x80;

/// Length of the name at the front of a text: up to a colon, a space or a control byte other than DEL.
pub(crate) fn name_length(text: &[u8]) -> usize {
    length(text, name_ends, |byte| byte < b'!' || byte == b':')
}

/// Length of the word at the front of a text: up to a space or a control byte.
pub(crate) fn word_length(text: &[u8]) -> usize {
    length(text, |eight| ends_below(eight, b'!'), |byte| byte < b'!' || byte == 0x7f)
}

/// Length of what is text at the front of one: up to a control byte other than a tab (RFC 9110 §5.5).
pub(crate) fn text_length(text: &[u8]) -> usize {
    let is_control = |byte: u8| byte < b' ' || byte == 0x7f;
    let mut rest = text;
    // One comparison of sixteen bytes, where the processor has it, tells whether there is any.
    while let Some((piece, after)) = rest.split_first_chunk::<16>() {
        if !piece.iter().fold(false, |any, byte| any | is_control(*byte)) {
            rest = after;
            continue;
        }
        let at = first_control(piece);
        if piece.get(at) != Some(&b'\t') {
            return text.len() - rest.len() + at;
        }
        rest = &rest[at + 1..];
    }
    text.len() - rest.len() + short_text_length(rest)
}

/// As [`text_length`], for fewer than sixteen bytes: those of most texts in two looks, others byte by byte.
fn short_text_length(text: &[u8]) -> usize {
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let ends = |eight: &[u8; 8]| ends_below(u64::from_le_bytes(*eight), b' ');
        if ends(first) | ends(last) == 0 {
            return text.len();
        }
    }
    let is_end = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    text.iter().position(is_end).unwrap_or(text.len())
}

/// Where the first control byte of sixteen is.
fn first_control(piece: &[u8; 16]) -> usize {
    let both = u128::from_le_bytes(*piece);
    match ends_below(both as u64, b' ') {
        0 => 8 + ends_below((both >> 64) as u64, b' ').trailing_zeros() as usize / 8,
        found => found.trailing_zeros() as usize / 8,
    }
}

/// Marks the bytes that end a name, of eight, by their highest bit; above the lowest mark it may err, since a byte
/// that is marked takes a one from the next.
pub(crate) fn name_ends(eight: u64) -> u64 {
    let (below, colon) = (eight.wrapping_sub(ONES * 0x21), (eight ^ (ONES * 0x3a)).wrapping_sub(ONES));
    (below | colon) & !eight & HIGHS
}

/// As [`name_ends`], for what ends at DEL and at any byte below a limit.
fn ends_below(eight: u64, limit: u8) -> u64 {
    let (below, delete) = (eight.wrapping_sub(ONES * u64::from(limit)), (eight & !HIGHS) + ONES);
    (below | delete) & !eight & HIGHS
}

/// Length of a text up to the first byte that ends it. `ends` marks such bytes as [`name_ends`] does.
#[inline]
fn length(text: &[u8], ends: impl Fn(u64) -> u64, is_end: impl Fn(u8) -> bool) -> usize {
    let mut rest = text;
    while let Some((eight, after)) = rest.split_first_chunk() {
        let found = ends(u64::from_le_bytes(*eight));
        if found != 0 {
            return text.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    let end = rest.iter().position(|byte| is_end(*byte));
    text.len() - rest.len() + end.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Length = fn(&[u8]) -> usize;
    type Ends = fn(u8) -> bool;

    const LENGTHS: [(Length, Ends); 3] = [
        (name_length, |byte| byte < b'!' || byte == b':'),
        (word_length, |byte| byte < b'!' || byte == 0x7f),
        (text_length, |byte| (byte < b' ' && byte != b'\t') || byte == 0x7f),
    ];

    #[test]
    fn every_byte_is_found_or_passed_wherever_it_stands() {
        for (length, ends) in LENGTHS {
            for byte in 0..=u8::MAX {
                for place in 0..40 {
                    let mut text = [b'a'; 40];
                    text[place] = byte;
                    let expected = if ends(byte) { place } else { 40 };
                    assert_eq!(length(&text), expected, "{byte} at {place}");
                    assert_eq!(
                        length(&text[..=place]),
                        expected.min(place + 1),
                        "{byte} at {place}, the last"
                    );
                }
            }
        }
    }

    #[test]
    fn neighbours_do_not_mislead() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let mut text = [b'a'; 16];
                (text[1], text[2], text[3]) = (first, second, first);
                for (length, ends) in LENGTHS {
                    let expected = text.iter().position(|byte| ends(*byte)).unwrap_or(16);
                    assert_eq!(length(&text), expected, "{text:?}");
                    assert_eq!(length(&text[..8]), expected.min(8), "{text:?}");
                }
            }
        }
    }
}
