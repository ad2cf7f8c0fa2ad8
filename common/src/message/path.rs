//! Canonical paths: the one form of a path that matching, access control, rewriting and backends all see.
//!
//! - Escapes of unreserved characters are decoded once, other escapes get upper-case digits, and bytes that
//!   RFC 3986 §3.3 does not allow raw (`{`, `|`, bytes over 0x7f …) are escaped. So `/%7Bid}` and `/{id%7D` are one.
//! - `//` is `/`; `.` and `..` segments are resolved and never climb above the root.
//! - `%2F` and `%5C` stay escaped and never separate segments. A raw backslash becomes `%5C`.
//! - But a backend may well decode them, so `.` and `..` between any two of `/`, `%2F` and `%5C` are resolved
//!   too: `..` takes away the piece before it, whichever separator that has. Where pieces on both sides of what
//!   was taken away meet, a real slash wins over an escaped one.
//!
//! The result is a fixed point: its canonical form is itself.

use thiserror::Error;

/// Why a path has no canonical form. Each is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// It holds NUL, raw or as `%00`.
    #[error("the path holds NUL")]
    Nul,
    /// It holds a percent sign without two hexadecimal digits.
    #[error("the path holds a percent sign without two hexadecimal digits")]
    Escape,
    /// It holds a control byte, a space, `#` or `?`.
    #[error("the path holds a control byte, a space, '#' or '?'")]
    Byte,
    /// It holds an escaped slash or a backslash, and these are switched off.
    #[error("the path holds an escaped slash or a backslash, which this listener rejects")]
    EscapedSlash,
}

/// What stands before a piece; pieces between real slashes are segments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    Slash,
    EscapedSlash,
    Backslash,
}

impl Separator {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Slash => b"/",
            Self::EscapedSlash => b"%2F",
            Self::Backslash => b"%5C",
        }
    }

    /// The separator that stays when what stood between two of them is gone.
    fn stronger(self, other: Option<Self>) -> Self {
        match other {
            Some(Self::Slash) => Self::Slash,
            _ => self,
        }
    }
}

/// Bytes that may stand in a path as they are: `pchar` without `%`, and `/` (RFC 3986 §3.3).
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = is_unreserved(byte as u8)
            || matches!(
                byte as u8,
                b'!' | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b':'
                    | b'@'
                    | b'/'
            );
        byte += 1;
    }
    plain
};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Whether a path is surely in canonical form, by one scan; paths with an escape or a segment that begins with
/// a dot are left to [`canonicalize`].
pub fn is_canonical(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        if !PLAIN[byte as usize] || (before == b'/' && (byte == b'/' || byte == b'.')) {
            return false;
        }
        before = byte;
    }
    path.first() == Some(&b'/')
}

/// Appends the canonical form of a path to `out`; the empty path is `/`.
///
/// # Errors
/// When it has none; `out` may then hold a part of it.
pub fn canonicalize(path: &[u8], reject_escaped_slash: bool, out: &mut Vec<u8>) -> Result<(), PathError> {
    if path.is_empty() {
        out.push(b'/');
        return Ok(());
    }
    if is_canonical(path) {
        out.extend_from_slice(path);
        return Ok(());
    }
    let Some(mut rest) = path.strip_prefix(b"/") else { return Err(PathError::NotAbsolute) };
    let mut canonical = Canonical { root: out.len(), out, gap: None };
    let mut separator = Separator::Slash;
    loop {
        canonical.begin(separator);
        let (length, next) = canonical.write_piece(rest)?;
        if reject_escaped_slash && next.is_some_and(|(separator, _)| separator != Separator::Slash) {
            return Err(PathError::EscapedSlash);
        }
        canonical.end(separator, next.map(|(separator, _)| separator), length);
        let Some((following, width)) = next else { return Ok(()) };
        separator = following;
        rest = &rest[length.read + width..];
    }
}

/// How long a piece is.
#[derive(Clone, Copy)]
struct Length {
    read: usize,
    written: usize,
}

/// The canonical form while it is written: pieces, each with its separator before it.
struct Canonical<'a> {
    out: &'a mut Vec<u8>,
    /// Where the path begins in `out`.
    root: usize,
    /// Pieces were taken away after the last one that is written; this separator is what is left of them.
    gap: Option<Separator>,
}

impl Canonical<'_> {
    /// Writes the separator of a piece.
    fn begin(&mut self, own: Separator) {
        let separator = match self.out.len() == self.root {
            true => Separator::Slash,
            false => own.stronger(self.gap),
        };
        self.gap = None;
        // An empty segment between two real slashes goes.
        if separator == Separator::Slash && self.out.len() > self.root && self.out.ends_with(b"/") {
            self.out.pop();
        }
        self.out.extend_from_slice(separator.text());
    }

    /// Writes a piece up to the next separator and returns its length and that separator with its width.
    fn write_piece(&mut self, rest: &[u8]) -> Result<(Length, Option<(Separator, usize)>), PathError> {
        let start = self.out.len();
        let mut at = 0;
        let mut next = None;
        while let Some(&byte) = rest.get(at) {
            next = match byte {
                b'/' => Some((Separator::Slash, 1)),
                b'\\' => Some((Separator::Backslash, 1)),
                b'%' => match unescape(&rest[at..])? {
                    b'/' => Some((Separator::EscapedSlash, 3)),
                    b'\\' => Some((Separator::Backslash, 3)),
                    0 => return Err(PathError::Nul),
                    decoded => {
                        self.write(decoded, is_unreserved(decoded));
                        at += 3;
                        continue;
                    }
                },
                0 => return Err(PathError::Nul),
                ..=b' ' | 0x7f | b'#' | b'?' => return Err(PathError::Byte),
                _ => {
                    self.write(byte, PLAIN[byte as usize]);
                    at += 1;
                    continue;
                }
            };
            break;
        }
        Ok((Length { read: at, written: self.out.len() - start }, next))
    }

    fn write(&mut self, byte: u8, plain: bool) {
        match plain {
            true => self.out.push(byte),
            false => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                self.out.extend_from_slice(&[b'%', digits[0], digits[1]]);
            }
        }
    }

    /// Resolves the piece that was written last if it is `.` or `..`.
    fn end(&mut self, own: Separator, next: Option<Separator>, length: Length) {
        let piece = &self.out[self.out.len() - length.written..];
        let climbs = match piece {
            b"." => false,
            b".." => true,
            _ => return,
        };
        let whole = own == Separator::Slash && matches!(next, None | Some(Separator::Slash));
        let mut gap = self.take_piece();
        if climbs {
            loop {
                let taken = self.take_piece();
                gap = taken.map_or(gap, |taken| Some(taken.stronger(gap)));
                // A whole segment `..` takes the whole segment before it, escaped slashes and all.
                if !whole || matches!(taken, None | Some(Separator::Slash)) {
                    break;
                }
            }
        }
        self.gap = gap;
        if next.is_none() {
            self.begin(gap.unwrap_or(Separator::Slash));
        }
    }

    /// Takes away the last piece and returns its separator; `None` at the root.
    fn take_piece(&mut self) -> Option<Separator> {
        let written = &self.out[self.root..];
        let (at, separator) = (0..written.len()).rev().find_map(|at| match &written[at..] {
            [b'/', ..] => Some((at, Separator::Slash)),
            [b'%', b'2', b'F', ..] => Some((at, Separator::EscapedSlash)),
            [b'%', b'5', b'C', ..] => Some((at, Separator::Backslash)),
            _ => None,
        })?;
        self.out.truncate(self.root + at);
        Some(separator)
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Decodes an escape, which begins with `%`.
fn unescape(text: &[u8]) -> Result<u8, PathError> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    match (digit(1), digit(2)) {
        (Some(high), Some(low)) => Ok((high << 4 | low) as u8),
        _ => Err(PathError::Escape),
    }
}
