//! Pieces of messages: lines, fields and numbers, read as strictly or as loosely as told.

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnds {
    /// CR and LF, and neither alone.
    Both,
    /// LF; a CR before it belongs to it.
    LineFeed,
    /// CR, LF, or both.
    Either,
}

/// A line at the front of some bytes.
pub enum Line<'a> {
    /// A whole one, and what follows it.
    Whole {
        /// Without its end.
        text: &'a [u8],
        /// What follows.
        after: &'a [u8],
    },
    /// It has not come whole.
    More,
    /// It has a CR or LF alone, which does not end it.
    Bare,
}

/// Takes a line off.
pub fn line(input: &[u8], ends: LineEnds) -> Line<'_> {
    let is_end = |byte: &u8| *byte == b'\n' || (*byte == b'\r' && ends != LineEnds::LineFeed);
    let Some(end) = input.iter().position(is_end) else { return Line::More };
    let whole = |text, length: usize| Line::Whole { text, after: &input[end + length..] };
    let text = &input[..end];
    match (ends, &input[end..]) {
        (LineEnds::LineFeed, _) => whole(text.strip_suffix(b"\r").unwrap_or(text), 1),
        (_, [b'\r', b'\n', ..]) => whole(text, 2),
        (_, [b'\r']) => Line::More,
        (LineEnds::Both, _) => Line::Bare,
        (LineEnds::Either, _) => whole(text, 1),
    }
}

/// A field; bytes are letters of the same number.
#[derive(Clone, Debug)]
pub struct Field {
    /// In lower case.
    pub name: String,
    /// Without spaces around it.
    pub value: String,
}

impl Field {
    /// Takes a line apart at its first colon.
    pub fn read(line: &[u8]) -> Option<Self> {
        let text: String = line.iter().map(|byte| char::from(*byte)).collect();
        let (name, value) = text.split_once(':')?;
        Some(Self { name: name.to_ascii_lowercase(), value: value.trim_matches([' ', '\t']).to_owned() })
    }

    /// Whether the name is a token.
    pub fn has_good_name(&self) -> bool {
        let is_good = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
        !self.name.is_empty() && self.name.chars().all(is_good)
    }

    /// The same without what surrounds the name.
    pub fn trimmed(self) -> Self {
        Self { name: self.name.trim().to_owned(), ..self }
    }

    /// Adds a line that was folded.
    pub fn fold(&mut self, line: &[u8]) {
        let text: String = line.iter().map(|byte| char::from(*byte)).collect();
        self.value = format!("{} {}", self.value, text.trim()).trim().to_owned();
    }
}

/// How a number is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Digits and nothing else.
    Digits,
    /// Digits with spaces around them.
    Trimmed,
    /// As many digits as there are, and 0 if there is none.
    Leading,
    /// The same in 32 bits.
    Wrapping,
    /// With spaces, a sign, a prefix of the base and underscores.
    Signed,
}

impl Number {
    /// Reads a number of this base; `None` if it is none.
    pub fn read(self, text: &str, base: u32) -> Option<u64> {
        let digits = |text: &str| match text.chars().all(|letter| letter.is_digit(base)) {
            true => u64::from_str_radix(text, base).ok(),
            false => None,
        };
        match self {
            Self::Digits => digits(text),
            Self::Trimmed => digits(text.trim()),
            Self::Leading => Some(leading(text, base)),
            Self::Wrapping => Some(leading(text, base) & u64::from(u32::MAX)),
            Self::Signed => {
                let text = text.trim_matches(|letter: char| letter.is_ascii_whitespace() || letter == '\x0b');
                let text = text.strip_prefix('+').unwrap_or(text);
                // Nothing can be read of a negative length.
                let text = if text == "-0" { "0" } else { text };
                let text = text.strip_prefix("0x").filter(|_| base == 16).unwrap_or(text);
                digits(&text.replace('_', "")).filter(|_| !text.is_empty())
            }
        }
    }
}

fn leading(text: &str, base: u32) -> u64 {
    let text = text.trim_start().trim_start_matches('+');
    let text = text.strip_prefix("0x").filter(|_| base == 16).unwrap_or(text);
    let digits = text.chars().map_while(|letter| letter.to_digit(base));
    digits.fold(0, |number: u64, digit| number.wrapping_mul(u64::from(base)).wrapping_add(u64::from(digit)))
}

#[test]
fn numbers_are_read_as_told() {
    let rows = [
        ("23", 16, [Some(35), Some(35), Some(35), Some(35), Some(35)]),
        ("+23", 16, [None, None, Some(35), Some(35), Some(35)]),
        ("0x23", 16, [None, None, Some(35), Some(35), Some(35)]),
        ("2_3", 16, [None, None, Some(2), Some(2), Some(35)]),
        (" 23 ", 16, [None, Some(35), Some(35), Some(35), Some(35)]),
        ("100000000", 16, [Some(1 << 32), Some(1 << 32), Some(1 << 32), Some(0), Some(1 << 32)]),
        ("", 10, [None, None, Some(0), Some(0), None]),
        ("35, 35", 10, [None, None, Some(35), Some(35), None]),
    ];
    for (text, base, wanted) in rows {
        let kinds = [Number::Digits, Number::Trimmed, Number::Leading, Number::Wrapping, Number::Signed];
        assert_eq!(kinds.map(|kind| kind.read(text, base)), wanted, "{text}");
    }
}
