//! Protobuf as far as traces and health checks need it: fields written one after the other, and those of a message read.

use bytes::Bytes;

/// How the value of a field is written.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Appends a number in groups of seven bits.
pub(crate) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes [`varint`] writes.
pub(crate) fn varint_length(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Appends a field that is a number.
pub(crate) fn number(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(out, field << 3 | VARINT);
    varint(out, number);
}

/// Appends a field that is always eight bytes long.
pub(crate) fn fixed64(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(out, field << 3 | FIXED64);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a field that is always four bytes long.
pub(crate) fn fixed32(out: &mut Vec<u8>, field: u64, number: u32) {
    varint(out, field << 3 | FIXED32);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a field that is bytes, a text or a message.
pub(crate) fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    begin(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends what comes before the bytes of such a field.
pub(crate) fn begin(out: &mut Vec<u8>, field: u64, length: usize) {
    varint(out, field << 3 | BYTES);
    varint(out, length as u64);
}

/// How many bytes [`bytes`] writes, of a field below 16.
pub(crate) fn bytes_length(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

/// The value of a field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number.
    Number(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
}

/// The next field of a message, its number and its value; `None` if it is malformed. Groups are none that we read.
pub(crate) fn next<'m>(message: &mut &'m [u8]) -> Option<(u64, Value<'m>)> {
    let key = read_varint(message)?;
    let value = match key & 7 {
        VARINT => Value::Number(read_varint(message)?),
        FIXED64 => Value::Bytes(take(message, 8)?),
        FIXED32 => Value::Bytes(take(message, 4)?),
        BYTES => {
            let length = read_varint(message)?;
            Value::Bytes(take(message, usize::try_from(length).ok()?)?)
        }
        _ => return None,
    };
    Some((key >> 3, value)).filter(|(field, _)| *field > 0)
}

/// The last field of this number in a message; `None` if there is none, or if what comes before it is malformed.
pub(crate) fn find(mut message: &[u8], field: u64) -> Option<Value<'_>> {
    let mut found = None;
    while !message.is_empty() {
        let (number, value) = next(&mut message)?;
        if number == field {
            found = Some(value);
        }
    }
    found
}

/// A message as gRPC frames it: not compressed, with its length before it.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(5 + message.len());
    out.push(0);
    // What we send is bounded far below this.
    out.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(message);
    out.into()
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

/// Takes a number of at most ten bytes, of which the last has a bit of 64 left.
fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
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
