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

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(path: &[u8]) -> Result<String, PathError> {
        let mut out = b"before".to_vec();
        canonicalize(path, false, &mut out)?;
        Ok(String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned())
    }

    /// Path, canonical form.
    const ROWS: &[(&str, &str)] = &[
        ("", "/"),
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a/b.c/d-e_f~g", "/a/b.c/d-e_f~g"),
        ("/a;b=c,d/!$&'()*+:@", "/a;b=c,d/!$&'()*+:@"),
        // RFC 3986 §6.2.2.2: escapes of unreserved characters are decoded, others keep upper-case digits.
        ("/%61%62", "/ab"),
        ("/%41%5a%7E%2d%2E%5f", "/AZ~-._"),
        ("/%3b%3d%40", "/%3B%3D%40"),
        ("/%e2%82%ac", "/%E2%82%AC"),
        ("/a%20b", "/a%20b"),
        ("/%25", "/%25"),
        ("/%0d%0a%01%7f", "/%0D%0A%01%7F"),
        // Once only: what is left is no escape again.
        ("/%2561", "/%2561"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/%252fa", "/%252fa"),
        ("/a%3fb%23c", "/a%3Fb%23c"),
        // Bytes that may not stand raw.
        ("/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D"),
        ("/é", "/%C3%A9"),
        ("/[a]", "/%5Ba%5D"),
        // Empty segments.
        ("//", "/"),
        ("///", "/"),
        ("//a", "/a"),
        ("/a//b", "/a/b"),
        ("/a///b//", "/a/b/"),
        // Dot segments, RFC 3986 §5.2.4.
        ("/.", "/"),
        ("/./", "/"),
        ("/a/.", "/a/"),
        ("/a/./b", "/a/b"),
        ("/..", "/"),
        ("/../", "/"),
        ("/../../a", "/a"),
        ("/a/..", "/"),
        ("/a/../", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/../../c", "/c"),
        ("/a/b/../../../c", "/c"),
        ("/a/b/c/./../../g", "/a/g"),
        ("/a//../b", "/b"),
        ("/a/..//b", "/b"),
        ("/%2e%2e/a", "/a"),
        ("/a/%2E./b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2e/b", "/a/b"),
        // Not dot segments.
        ("/...", "/..."),
        ("/.a", "/.a"),
        ("/..a/b", "/..a/b"),
        ("/a../b", "/a../b"),
        ("/.well-known/acme", "/.well-known/acme"),
        ("/a/..;/b", "/a/..;/b"),
        // Escaped slashes and backslashes stay and separate nothing.
        ("/a%2fb", "/a%2Fb"),
        ("/a%2F%2fb", "/a%2F%2Fb"),
        ("/%2fa", "/%2Fa"),
        ("/a%2f", "/a%2F"),
        ("/a%5cb", "/a%5Cb"),
        ("/a\\b", "/a%5Cb"),
        ("/group%2fproject/issues", "/group%2Fproject/issues"),
        ("/x/group%2fproject/../y", "/x/y"),
        // But a climb beside them is a climb.
        ("/a/..%2fb", "/b"),
        ("/a/..%2Fb", "/b"),
        ("/a/%2e%2e%2fb", "/b"),
        ("/a%2f../b", "/b"),
        ("/a%2f..%2fb", "/b"),
        ("/a%2f%2e%2e", "/"),
        ("/x/a%2f..%2fb", "/x/b"),
        ("/x%2fa%2f..%2fb", "/x%2Fb"),
        ("/a/..%5cb", "/b"),
        ("/a/..\\b", "/b"),
        ("/a\\..\\b", "/b"),
        ("/a%5c..%5c..%5c..%5cb", "/b"),
        ("/..%2f..%2fetc", "/etc"),
        ("/public/..%2f..%2fadmin", "/admin"),
        ("/public%2f..%2fadmin", "/admin"),
        ("/a/.%2fb", "/a/b"),
        ("/a%2f.%2fb", "/a%2Fb"),
        ("/%2f./b", "/b"),
        ("/a/%2f..//b", "/a/b"),
        ("/p%2fq/..%2f../x", "/x"),
    ];

    #[test]
    fn every_path_has_its_canonical_form() {
        for (path, expected) in ROWS {
            assert_eq!(canonical(path.as_bytes()).as_deref(), Ok(*expected), "{path}");
        }
    }

    #[test]
    fn a_canonical_form_is_its_own() {
        for (path, expected) in ROWS {
            assert_eq!(canonical(expected.as_bytes()).as_deref(), Ok(*expected), "{path}");
        }
    }

    #[test]
    fn paths_without_canonical_form_are_refused() {
        let rows: &[(&[u8], PathError)] = &[
            (b"a", PathError::NotAbsolute),
            (b"*", PathError::NotAbsolute),
            (b"%2fa", PathError::NotAbsolute),
            (b"\\a", PathError::NotAbsolute),
            (b"/\0", PathError::Nul),
            (b"/a%00", PathError::Nul),
            (b"/a%00/../b", PathError::Nul),
            (b"/%", PathError::Escape),
            (b"/%4", PathError::Escape),
            (b"/%zz", PathError::Escape),
            (b"/%4g", PathError::Escape),
            (b"/%+4", PathError::Escape),
            (b"/%u002e", PathError::Escape),
            (b"/a b", PathError::Byte),
            (b"/a\tb", PathError::Byte),
            (b"/a\r\nb", PathError::Byte),
            (b"/a\x7f", PathError::Byte),
            (b"/a#b", PathError::Byte),
            (b"/a?b", PathError::Byte),
        ];
        for (path, error) in rows {
            assert_eq!(canonical(path), Err(*error), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn the_switch_rejects_escaped_slashes_and_backslashes() {
        for path in ["/a%2fb", "/a%2F", "/%5c", "/a\\b", "/a/..%2fb"] {
            let result = canonicalize(path.as_bytes(), true, &mut Vec::new());
            assert_eq!(result, Err(PathError::EscapedSlash), "{path}");
        }
        for path in ["/a/b", "/a%20b", "/a/../b", "/%252f"] {
            assert_eq!(canonicalize(path.as_bytes(), true, &mut Vec::new()), Ok(()), "{path}");
        }
    }
}
