//! Protobuf as far as OTLP needs it: fields written one after the other, and those of a short answer read.

/// How the value of a field is written.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Appends a number in groups of seven bits.
pub(super) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes [`varint`] writes.
pub(super) fn varint_length(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Appends a field that is a number.
pub(super) fn number(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(out, field << 3 | VARINT);
    varint(out, number);
}

/// Appends a field that is always eight bytes long.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(out, field << 3 | FIXED64);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a field that is always four bytes long.
pub(super) fn fixed32(out: &mut Vec<u8>, field: u64, number: u32) {
    varint(out, field << 3 | FIXED32);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a field that is bytes, a text or a message.
pub(super) fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    begin(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends what comes before the bytes of such a field.
pub(super) fn begin(out: &mut Vec<u8>, field: u64, length: usize) {
    varint(out, field << 3 | BYTES);
    varint(out, length as u64);
}

/// How many bytes [`bytes`] writes, of a field below 16.
pub(super) fn bytes_length(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

/// The value of a field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number.
    Number(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
}

/// The last field of this number in a message; `None` if there is none, or if what comes before it is malformed.
pub(super) fn find(mut message: &[u8], field: u64) -> Option<Value<'_>> {
    let mut found = None;
    while !message.is_empty() {
        let key = read_varint(&mut message)?;
        let value = match key & 7 {
            VARINT => Value::Number(read_varint(&mut message)?),
            FIXED64 => Value::Bytes(take(&mut message, 8)?),
            FIXED32 => Value::Bytes(take(&mut message, 4)?),
            BYTES => {
                let length = read_varint(&mut message)?;
                Value::Bytes(take(&mut message, usize::try_from(length).ok()?)?)
            }
            _ => return None,
        };
        if key >> 3 == field {
            found = Some(value);
        }
    }
    found
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, number);
            assert_eq!(out.len(), varint_length(number), "{number}");
            assert_eq!(read_varint(&mut &out[..]), Some(number));
        }
        assert_eq!(read_varint(&mut &[0xff; 11][..]), None);
    }

    #[test]
    fn the_last_field_of_a_number_is_found_among_others() {
        let mut out = Vec::new();
        number(&mut out, 1, 5);
        fixed64(&mut out, 2, 6);
        fixed32(&mut out, 3, 7);
        bytes(&mut out, 4, b"text");
        number(&mut out, 1, 300);
        assert_eq!(find(&out, 1), Some(Value::Number(300)));
        assert_eq!(find(&out, 3), Some(Value::Bytes(&[7, 0, 0, 0])));
        assert_eq!(find(&out, 4), Some(Value::Bytes(b"text")));
        assert_eq!(find(&out, 5), None);
        assert_eq!(bytes_length(4), 6);
        // Whatever it is cut to, nothing panics.
        for end in 0..out.len() {
            let _ = find(&out[..end], 1);
        }
    }
}
