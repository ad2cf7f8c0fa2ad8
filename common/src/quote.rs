//! Quoting: how messages repeat what somebody wrote, however long it is.

use std::borrow::Cow;

/// Most characters that are repeated.
const MOST: usize = 100;

/// A text in quotes, with what cannot be seen escaped; of a long one the begin.
pub fn quote(text: &str) -> String {
    format!("{:?}", shorten(text))
}

/// A text as it is; of a long one the begin.
pub fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(quote("a\n\"b"), r#""a\n\"b""#);
        for character in ["x", "é", "\u{1F980}"] {
            let most = character.repeat(MOST);
            assert_eq!(quote(&most), format!("\"{most}\""));
            assert_eq!(quote(&character.repeat(MOST + 1)), format!("\"{most}…\""));
            assert_eq!(shorten(&character.repeat(9 * MOST)), format!("{most}…"));
        }
    }
}
