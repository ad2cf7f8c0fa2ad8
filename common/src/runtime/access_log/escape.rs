//! Escaping of what clients sent, so that no request can forge or break a line.

/// Bytes that stand for themselves between quotes in a text line.
const QUOTED: [bool; 256] = plain(b" ");
/// Bytes that stand for themselves in a column without quotes.
const BARE: [bool; 256] = plain(b"");

const fn plain(further: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    let mut at = 0;
    while at < further.len() {
        table[further[at] as usize] = true;
        at += 1;
    }
    table
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends for a quoted column: visible ASCII and spaces as they are, all else as `\xhh`.
pub(super) fn quoted(out: &mut Vec<u8>, value: &[u8]) {
    hex_escaped(out, value, &QUOTED);
}

/// Appends for a column without quotes: visible ASCII as it is, all else as `\xhh`; `-` when empty.
pub(super) fn bare(out: &mut Vec<u8>, value: &[u8]) {
    match value.is_empty() {
        true => out.push(b'-'),
        false => hex_escaped(out, value, &BARE),
    }
}

fn hex_escaped(out: &mut Vec<u8>, mut value: &[u8], plain: &[bool; 256]) {
    loop {
        let end = value.iter().position(|byte| !plain[usize::from(*byte)]).unwrap_or(value.len());
        out.extend_from_slice(&value[..end]);
        let Some(byte) = value.get(end) else { return };
        out.extend_from_slice(b"\\x");
        hex(out, *byte);
        value = &value[end + 1..];
    }
}

/// Appends a JSON string with its quotes (RFC 8259 §7).
///
/// Control characters are escaped; a byte that is not UTF-8 becomes the four characters `\xhh`.
pub(super) fn json(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    for chunk in value.utf8_chunks() {
        json_text(out, chunk.valid());
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            hex(out, *byte);
        }
    }
    out.push(b'"');
}

fn json_text(out: &mut Vec<u8>, text: &str) {
    let mut done = 0;
    for (at, character) in text.char_indices() {
        // The two separators end a line for some readers of logs, though not for JSON.
        if !matches!(character, '"' | '\\' | '\u{2028}' | '\u{2029}') && !character.is_control() {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[done..at]);
        done = at + character.len_utf8();
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            other => {
                // All of them lie below U+10000, so that one unit of UTF-16 is enough.
                let code = u32::from(other) as u16;
                out.extend_from_slice(b"\\u");
                code.to_be_bytes().into_iter().for_each(|byte| hex(out, byte));
            }
        }
    }
    out.extend_from_slice(&text.as_bytes()[done..]);
}

fn hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}
