//! Regular expressions of users: compiled within their limits or refused, and then only whole texts match.

use selvedge_common::message::pattern::{MAX_PATTERN_BYTES, compile_whole};

/// Compiles a pattern and holds it against some texts.
pub fn check(input: &[u8]) {
    let Ok(pattern) = std::str::from_utf8(input) else { return };
    let Ok(regex) = compile_whole(pattern) else { return };
    assert!(pattern.len() <= MAX_PATTERN_BYTES);
    for text in [input, b"", b"a", b"ab\nab", b"/shop/items/17?q", &[b'a'; 300], b"\xff\0"] {
        let found = regex.find(text).map(|found| (found.start(), found.end()));
        assert_eq!(found.is_some(), regex.is_match(text), "{pattern:?}");
        assert!(found.is_none_or(|found| found == (0, text.len())), "{pattern:?} matches a part: {found:?}");
    }
}
