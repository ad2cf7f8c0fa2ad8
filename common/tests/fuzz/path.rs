//! Canonical paths against a model that keeps the pieces in a list.

use selvedge_common::message::path::{canonicalize, is_canonical};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Separator {
    Slash,
    EscapedSlash,
    Backslash,
}

/// Compares canonical form and model, and checks what must hold of every canonical form.
pub fn check(input: &[u8]) {
    let mut out = Vec::new();
    let result = canonicalize(input, false, &mut out);
    let shown = input.escape_ascii();
    assert_eq!(result.ok().map(|()| out.clone()), model(input), "{shown}");
    if result.is_err() {
        return;
    }
    let mut again = Vec::new();
    assert!(canonicalize(&out, false, &mut again).is_ok(), "{shown}");
    assert_eq!(again, out, "{shown}: not a fixed point");
    assert!(!is_canonical(input) || input == out, "{shown}: changed though canonical");
    let text = String::from_utf8(out).expect("a canonical path is ASCII");
    assert!(text.starts_with('/') && !text.contains("//"), "{shown}: {text}");
    let lenient = text.replace("%2F", "/").replace("%5C", "/");
    assert!(lenient.split('/').all(|piece| piece != "." && piece != ".."), "{shown}: {text}");
}

fn model(path: &[u8]) -> Option<Vec<u8>> {
    if path.is_empty() {
        return Some(b"/".to_vec());
    }
    let pieces = pieces(path)?;
    let mut kept: Vec<(Separator, String)> = Vec::new();
    let mut gap = None;
    for (index, (separator, text)) in pieces.iter().enumerate() {
        let next = pieces.get(index + 1).map(|(separator, _)| *separator);
        push(&mut kept, join(*separator, gap.take()), text);
        if text != "." && text != ".." {
            continue;
        }
        gap = kept.pop().map(|(separator, _)| separator);
        let is_segment = *separator == Separator::Slash && matches!(next, None | Some(Separator::Slash));
        if text == ".." {
            while let Some((taken, _)) = kept.pop() {
                gap = Some(join(taken, gap));
                if !is_segment || taken == Separator::Slash {
                    break;
                }
            }
        }
        if next.is_none() {
            push(&mut kept, gap.unwrap_or(Separator::Slash), "");
        }
    }
    let shown = |(separator, text): &(Separator, String)| match separator {
        Separator::Slash => format!("/{text}"),
        Separator::EscapedSlash => format!("%2F{text}"),
        Separator::Backslash => format!("%5C{text}"),
    };
    Some(kept.iter().map(shown).collect::<String>().into_bytes())
}

fn join(own: Separator, gap: Option<Separator>) -> Separator {
    if gap == Some(Separator::Slash) { Separator::Slash } else { own }
}

fn push(kept: &mut Vec<(Separator, String)>, separator: Separator, text: &str) {
    let separator = if kept.is_empty() { Separator::Slash } else { separator };
    if separator == Separator::Slash && kept.last() == Some(&(Separator::Slash, String::new())) {
        kept.pop();
    }
    kept.push((separator, text.to_owned()));
}

/// All pieces with the separators before them, decoded as far as a canonical form is.
fn pieces(path: &[u8]) -> Option<Vec<(Separator, String)>> {
    let mut pieces: Vec<(Separator, String)> = Vec::new();
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, escaped) = match first {
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                rest = &after[2..];
                (u8::from_str_radix(digits, 16).ok().filter(|_| plain)?, true)
            }
            _ => {
                rest = after;
                (first, false)
            }
        };
        let separator = match (byte, escaped) {
            (0, _) => return None,
            (b'/', false) => Some(Separator::Slash),
            (b'/', true) => Some(Separator::EscapedSlash),
            (b'\\', _) => Some(Separator::Backslash),
            _ => None,
        };
        if pieces.is_empty() && separator != Some(Separator::Slash) {
            return None;
        }
        if let Some(separator) = separator {
            pieces.push((separator, String::new()));
            continue;
        }
        if !escaped && (byte <= b' ' || byte == 0x7f || byte == b'#' || byte == b'?') {
            return None;
        }
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let plain = plain || (!escaped && b"!$&'()*+,;=:@".contains(&byte));
        let text = &mut pieces.last_mut()?.1;
        if plain { text.push(char::from(byte)) } else { text.push_str(&format!("%{byte:02X}")) }
    }
    Some(pieces)
}
