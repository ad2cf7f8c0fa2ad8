//! Patterns: regular expressions in the ways of ingress-nginx, as the engine wants them, which must match whole texts.

/// One that a part of a text must match.
pub(crate) fn anywhere(pattern: &str) -> String {
    format!("(?s:.*)(?:{pattern})(?s:.*)")
}

/// Requests have other characters as escapes; in a class of characters they cannot be told so.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        out += "(?:";
        let mut bytes = [0; 4];
        c.encode_utf8(&mut bytes).bytes().for_each(|byte| out += &format!("%{byte:02X}"));
        out.push(')');
    }
    out
}

/// A whole `Cookie` field in which the cookie of this name, whatever its case, has this value. Both are tokens.
pub(super) fn cookie(name: &str, value: &str) -> String {
    let mut literal = String::with_capacity(name.len());
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() && c != '_' {
            literal.push('\\');
        }
        literal.push(c);
    }
    format!("(?s:.*;)? *(?i:{literal}) *= *{value} *(?s:;.*)?")
}

#[cfg(test)]
mod tests {
    use selvedge_common::message::pattern::compile_whole;

    use super::*;

    fn holds(pattern: &str, text: &str) -> bool {
        compile_whole(pattern).unwrap().is_match(text.as_bytes())
    }

    #[test]
    fn other_characters_stand_for_their_escapes() {
        assert_eq!(escaped("/caf\u{e9}+"), "/caf(?:%C3%A9)+");
    }

    #[test]
    fn a_cookie_is_found_among_others_whatever_its_case() {
        for (field, wanted) in [
            ("can=always", true),
            ("a=b; can=always", true),
            ("CAN=always", true),
            ("can=always; a=b", true),
            ("xcan=always", false),
            ("can=always2", false),
            ("can=never", false),
            ("a=can=always", false),
        ] {
            assert_eq!(holds(&cookie("can", "always"), field), wanted, "{field}");
        }
        assert!(holds(&cookie("a.b+c", "never"), "a.b+c=never"));
        assert!(!holds(&cookie("a.b", "never"), "axb=never"));
    }
}
