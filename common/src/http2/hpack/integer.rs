//! Integers with a prefix (RFC 7541 §5.1).

use super::DecodeError;

/// Bytes that may follow a prefix. Four hold any number below 2^28, and nothing here is as large.
const MOST_BYTES: u32 = 4;

/// Reads an integer whose first byte was taken already. The mask has the bits that its prefix has.
///
/// # Errors
/// When it is too large, too long or not whole.
#[inline]
pub(super) fn read(rest: &mut &[u8], first: u8, mask: u8) -> Result<usize, DecodeError> {
    match first & mask {
        prefix if prefix < mask => Ok(usize::from(prefix)),
        _ => read_long(rest, mask),
    }
}

#[inline(never)]
fn read_long(rest: &mut &[u8], mask: u8) -> Result<usize, DecodeError> {
    let mut value = usize::from(mask);
    for part in 0..MOST_BYTES {
        let (byte, after) = rest.split_first().ok_or(DecodeError::Truncated)?;
        *rest = after;
        value += usize::from(byte & 0x7f) << (7 * part);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DecodeError::LargeInteger)
}

/// Writes an integer. The flags are what stands before its prefix, whose bits the mask has.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, flags: u8, mask: u8, value: usize) {
    if value < usize::from(mask) {
        out.push(flags | value as u8);
    } else {
        write_long(out, flags | mask, value - usize::from(mask));
    }
}

#[inline(never)]
fn write_long(out: &mut Vec<u8>, first: u8, mut value: usize) {
    out.push(first);
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8], mask: u8) -> Result<(usize, usize), DecodeError> {
        let mut rest = &bytes[1..];
        read(&mut rest, bytes[0], mask).map(|value| (value, rest.len()))
    }

    #[test]
    fn the_examples_of_the_rfc_come_out() {
        for (mask, value, bytes) in
            [(0x1f, 10, &[0x0a][..]), (0x1f, 1337, &[0x1f, 0x9a, 0x0a]), (0xff, 42, &[0x2a])]
        {
            let mut out = Vec::new();
            write(&mut out, 0, mask, value);
            assert_eq!(out, bytes);
            assert_eq!(read_all(bytes, mask), Ok((value, 0)));
        }
    }

    #[test]
    fn what_is_written_is_read_and_flags_stay_apart() {
        for mask in [0x0f, 0x1f, 0x3f, 0x7f] {
            for value in (0..600).chain([4096, 16_383, 16_384, 1 << 21, (1 << 28) - 1]) {
                let mut out = Vec::new();
                write(&mut out, !mask, mask, value);
                out.push(7);
                assert_eq!(out[0] & !mask, !mask);
                assert_eq!(read_all(&out, mask), Ok((value, 1)), "{mask}: {value}");
            }
        }
    }

    #[test]
    fn an_integer_that_is_too_long_or_not_whole_is_refused() {
        for (bytes, error) in [
            (&[0x7f][..], DecodeError::Truncated),
            (&[0x7f, 0x80], DecodeError::Truncated),
            (&[0x7f, 0xff, 0xff, 0xff], DecodeError::Truncated),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x00], DecodeError::LargeInteger),
            (&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00], DecodeError::LargeInteger),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], DecodeError::LargeInteger),
        ] {
            assert_eq!(read_all(bytes, 0x7f), Err(error), "{bytes:x?}");
        }
    }
}
