//! Tokens, of which names and methods are made (RFC 9110 §5.6.2).

/// What a byte is in a token. Sets of classes are made by `|` of their numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    /// It may be in one.
    Token = 0,
    /// It may, but some readers take it for a hyphen.
    Underscore = 1,
    /// It may not.
    NoToken = 2,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::NoToken; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => Class::Token,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'`' | b'|'
            | b'~' => Class::Token,
            b'_' => Class::Underscore,
            _ => Class::NoToken,
        };
        byte += 1;
    }
    classes
};

/// What this byte is.
pub(crate) const fn class(byte: u8) -> Class {
    CLASSES[byte as usize]
}

/// Whether a text is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| class(*byte) != Class::NoToken)
}
