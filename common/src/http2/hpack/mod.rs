//! HPACK (RFC 7541): fields as HTTP/2 writes them, with a table on each side of what was sent before.
//!
//! What is known of a name and a value is found out once, when they enter a table. A field that was sent before is
//! then one byte on the wire and a look into the table.

mod decoder;
mod dynamic_table;
mod encoder;
mod huffman;
mod integer;
mod places;
mod static_table;

pub use decoder::Decoder;
pub use encoder::Encoder;

use crate::message::{
    Known, scan,
    token::{self, Class},
};

/// The size of a table of which nobody has said another (RFC 9113 §6.5.2), in bytes.
const DEFAULT_TABLE_BYTES: usize = 4096;

/// A pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pseudo {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:status`
    Status,
    /// `:protocol` (RFC 8441)
    Protocol,
}

impl Pseudo {
    /// Every one, in the order of their numbers.
    const ALL: [Self; 6] =
        [Self::Method, Self::Scheme, Self::Authority, Self::Path, Self::Status, Self::Protocol];

    /// The name with its colon.
    const fn name(self) -> &'static str {
        match self {
            Self::Method => ":method",
            Self::Scheme => ":scheme",
            Self::Authority => ":authority",
            Self::Path => ":path",
            Self::Status => ":status",
            Self::Protocol => ":protocol",
        }
    }

    /// The one with this name.
    fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|pseudo| pseudo.name().as_bytes() == name)
    }
}

/// Which field it is, told once when its name enters a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A pseudo-header.
    Pseudo(Pseudo),
    /// An unknown pseudo-header.
    OtherPseudo,
    /// A header or trailer field with a sound name in lower case.
    Field(Known),
    /// Empty, with an upper-case letter, or no token (RFC 9113 §8.2.1).
    Malformed,
}

impl Name {
    fn of(name: &[u8]) -> Self {
        match name {
            [b':', ..] => Pseudo::of(name).map_or(Self::OtherPseudo, Self::Pseudo),
            name if is_lower_token(name) => Self::Field(Known::of_token(name)),
            _ => Self::Malformed,
        }
    }
}

/// One field of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Which one it is.
    pub kind: Name,
    /// Its name as it was sent.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Whether the value holds no control byte other than a tab. White space may be around it.
    pub is_sound: bool,
    /// Whether no hop may take it into a table (RFC 7541 §6.2.3).
    pub is_never_indexed: bool,
}

/// Why a block is none. The connection's tables differ from then on, so it can only be closed (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An index is zero or beyond the tables.
    #[error("an index is in neither table")]
    NoEntry,
    /// An integer is larger than any that is of use here, or longer than it need be.
    #[error("an integer is too large")]
    LargeInteger,
    /// The block ends within a field.
    #[error("the block ends within a field")]
    Truncated,
    /// What follows the last symbol of a string is not the beginning of EOS, or is a byte or more.
    #[error("a string has wrong padding")]
    Padding,
    /// A string holds the symbol EOS.
    #[error("a string holds the symbol that ends it")]
    EndOfString,
    /// The peer makes its table larger than it was allowed to.
    #[error("the table is made larger than was announced")]
    LargeTable,
    /// The size of the table changes after the first field, or more than twice.
    #[error("the size of the table changes where it must not")]
    MisplacedUpdate,
}

/// What may be in a name: what may be in a token, but for upper-case letters (RFC 9113 §8.2.1).
static IN_NAMES: [bool; 256] = {
    let mut in_names = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_token = !matches!(token::class(byte as u8), Class::NoToken);
        in_names[byte] = is_token && !(byte as u8).is_ascii_uppercase();
        byte += 1;
    }
    in_names
};

fn is_lower_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| IN_NAMES[usize::from(*byte)])
}

fn is_sound(value: &[u8]) -> bool {
    scan::text_length(value) == value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that a text of hexadecimal digits stands for.
    pub(super) fn bytes(digits: &str) -> Vec<u8> {
        let digits: Vec<_> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    /// Numbers that look random (xorshift), the same ones each time.
    pub(super) struct Numbers(pub(super) u64);

    impl Numbers {
        pub(super) fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }
    }

    #[test]
    fn names_are_told_apart_and_upper_case_is_malformed() {
        for (name, kind) in [
            (":method", Name::Pseudo(Pseudo::Method)),
            (":scheme", Name::Pseudo(Pseudo::Scheme)),
            (":authority", Name::Pseudo(Pseudo::Authority)),
            (":path", Name::Pseudo(Pseudo::Path)),
            (":status", Name::Pseudo(Pseudo::Status)),
            (":protocol", Name::Pseudo(Pseudo::Protocol)),
            (":", Name::OtherPseudo),
            (":Method", Name::OtherPseudo),
            ("content-type", Name::Field(Known::ContentType)),
            ("x-a_b", Name::Field(Known::Other)),
            ("Content-type", Name::Malformed),
            ("", Name::Malformed),
            ("a b", Name::Malformed),
            ("a:b", Name::Malformed),
            ("a\0", Name::Malformed),
            ("\u{e9}", Name::Malformed),
        ] {
            assert_eq!(Name::of(name.as_bytes()), kind, "{name:?}");
        }
    }

    #[test]
    fn values_with_control_bytes_are_unsound() {
        for value in ["", "a", "a b", "a\tb", " a\t", "\u{e9}", "a value that is longer than sixteen bytes"] {
            assert!(is_sound(value.as_bytes()), "{value:?}");
        }
        for value in ["a\0b", "a\rb", "a\nb", "a\x7fb", "a\x1bb"] {
            assert!(!is_sound(value.as_bytes()), "{value:?}");
        }
    }
}
