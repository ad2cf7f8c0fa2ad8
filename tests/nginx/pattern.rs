//! Texts with places for what differs from answer to answer.

/// Whether a text is as this one, where `<id>` stands for 32 hexadecimal digits, `<date>` for a date, and any other
/// word in angle brackets for something that is not empty.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((before, kind, after)) = place(pattern) else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    let lengths = rest.char_indices().map(|(at, character)| at + character.len_utf8());
    lengths
        .take_while(|end| rest[..*end].chars().all(|character| may_hold(kind, character)))
        .any(|end| (kind != "id" || end == 32) && fits(after, &rest[end..]))
}

/// The first place of a pattern: what is before it, its kind, and what is after it.
fn place(pattern: &str) -> Option<(&str, &str, &str)> {
    let kinds = ["id", "date", "uuid", "nonce", "affinity", "n"];
    pattern.match_indices('<').find_map(|(at, _)| {
        let (kind, after) = pattern[at + 1..].split_once('>')?;
        kinds.contains(&kind).then(|| (&pattern[..at], kind, after))
    })
}

fn may_hold(kind: &str, character: char) -> bool {
    match kind {
        "id" => character.is_ascii_hexdigit(),
        "n" => character.is_ascii_digit(),
        "date" => character != ';',
        _ => !matches!(character, ';' | ',' | '"' | ' '),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_hold_what_is_of_their_kind() {
        let id = "0123456789abcdef0123456789abcdef";
        assert!(fits("<id>", id) && fits("a=<id>; b", &format!("a={id}; b")));
        assert!(!fits("<id>", &id[1..]) && !fits("<id>", "0123456789abcdef0123456789abcdeg"));
        assert!(fits("c=<affinity>; Path=/", "c=1.2|3; Path=/"));
        assert!(!fits("c=<affinity>; Path=/", "c=; Path=/") && !fits("c=<affinity>", "c=1; Path=/"));
        assert!(fits("Expires=<date>; x", "Expires=Thu, 01 Jan 1970 00:00:00 GMT; x"));
        assert!(fits("a <b> c", "a <b> c") && !fits("a", "ab"));
    }
}
