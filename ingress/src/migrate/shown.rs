//! What may be shown of texts that others wrote: no secrets, nothing that a terminal would obey, and not too much.

/// Most characters of a value.
const MOST: usize = 120;

/// Settings that are secrets themselves; all others only refer to some.
const SECRET: [&str; 1] = ["ssl-session-ticket-key"];

/// A value of an annotation or setting of this name without prefix.
pub(super) fn value(name: &str, text: &str) -> String {
    if SECRET.contains(&name) {
        return "(not shown)".into();
    }
    // Code may hold passwords in any form.
    if name.ends_with("-snippet") || name.ends_with("-snippets") {
        let count = text.trim().lines().count();
        return format!("({count} {} of code)", if count == 1 { "line" } else { "lines" });
    }
    let shown = message(text.trim());
    match shown.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

/// A sentence that may quote what others wrote.
pub(super) fn message(text: &str) -> String {
    plain(&without_passwords(text))
}

/// The same without characters that change how a terminal or a page shows others.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c.is_control() || turns {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}

/// The same where URLs do not say who asks (`https://name:password@host`).
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut safe = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | ',' | ';');
        let (authority, rest) = part.split_at(part.find(ends).unwrap_or(part.len()));
        safe.push_str("://");
        match authority.rsplit_once('@') {
            Some((_, host)) => safe.extend(["…@", host]),
            None => safe.push_str(authority),
        }
        safe.push_str(rest);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_control_characters_are_not_shown() {
        let table = [
            ("auth-url", "https://me:secret@auth.test/x?a=b@c", "https://…@auth.test/x?a=b@c"),
            ("auth-url", "https://auth.test/a, http://u@b", "https://auth.test/a, http://…@b"),
            ("auth-secret", " shop/users ", "shop/users"),
            ("ssl-session-ticket-key", "secret", "(not shown)"),
            ("configuration-snippet", "a;\nsecret;\n", "(2 lines of code)"),
            ("server-snippet", "return 1;", "(1 line of code)"),
            ("auth-realm", "a\u{1b}[31mb\u{202e}\nc", "a\\u{1b}[31mb\\u{202e}\\nc"),
        ];
        for (name, text, want) in table {
            assert_eq!(value(name, text), want, "{name}: {text:?}");
        }
        assert_eq!(value("auth-realm", &"ä".repeat(200)).chars().count(), MOST + 1);
    }
}
