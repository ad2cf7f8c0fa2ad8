//! Reading Rust just as far as the rules need: code without comments and texts, and the paths it names.

/// Where production code ends in a file: at its tests.
const TESTS: &str = "#[cfg(test)]\nmod ";

/// The text up to the tests at its end.
pub fn production(text: &str) -> &str {
    match text.find(TESTS) {
        Some(end) => &text[..end],
        None => text,
    }
}

/// The text from the tests on; all of it if the file holds nothing but tests.
pub fn tests<'a>(path: &str, text: &'a str) -> &'a str {
    match is_test_file(path) {
        true => text,
        false => &text[production(text).len()..],
    }
}

/// Whether a file holds nothing but tests.
pub fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.contains("/tests/")
        || path.starts_with("tests/") && !path.starts_with("tests/src/")
}

/// The text with comments, and what is between quotes, replaced by spaces; lines stay where they are.
pub fn bare(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = match skipped(&characters, at) {
            0 => {
                out.push(characters[at]);
                at += 1;
                continue;
            }
            length => (at + length).min(characters.len()),
        };
        out.extend(characters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Length of the comment or literal that begins here; 0 if none does.
fn skipped(text: &[char], at: usize) -> usize {
    let rest = &text[at..];
    let after_word = at > 0 && is_word(text[at - 1]);
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => {
            rest.windows(2).position(|pair| pair == ['*', '/']).map_or(rest.len(), |end| end + 2)
        }
        ['r', '"' | '#', ..] if !after_word => raw(&rest[1..]).map_or(0, |length| length + 1),
        ['b', 'r', '"' | '#', ..] if !after_word => raw(&rest[2..]).map_or(0, |length| length + 2),
        ['"', ..] => quoted(rest),
        ['\'', '\\', _, ..] => 3 + rest[3..].iter().position(|c| *c == '\'').map_or(0, |end| end + 1),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn quoted(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw(text: &[char]) -> Option<usize> {
    let marks = text.iter().take_while(|c| **c == '#').count();
    if text.get(marks) != Some(&'"') {
        return None;
    }
    let mut end = vec!['"'];
    end.extend(std::iter::repeat_n('#', marks));
    let inner = &text[marks + 1..];
    let length = inner.windows(end.len()).position(|window| window == end).unwrap_or(inner.len());
    Some(marks + 1 + length + end.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A path that code names, with the line it begins on.
#[derive(Debug, PartialEq)]
pub struct Named {
    /// Number of the line, from 1.
    pub line: usize,
    /// Segments; `super` and `crate` as written.
    pub path: Vec<String>,
}

struct Token {
    line: usize,
    text: String,
}

/// Every path of at least two segments in code that [`bare`] made; trees in braces are taken apart.
pub fn paths(bare: &str) -> Vec<Named> {
    let tokens = tokens(bare);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = tokens[at].text.starts_with(is_word);
        at = match begins {
            true => path(&tokens, at, &[], &mut found).max(at + 1),
            false => at + 1,
        };
    }
    found.retain(|named| named.path.len() > 1);
    found
}

/// Reads the path that begins here, below `prefix`; returns where it ends.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    let line = tokens[at].line;
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        if token.text == "{" && path.len() > prefix.len() {
            at = tree(tokens, at + 1, &path, found);
            return at;
        }
        if !token.text.starts_with(is_word) {
            break;
        }
        path.push(token.text.clone());
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    found.push(Named { line, path });
    let word = |at: usize| tokens.get(at).map(|token| token.text.as_str());
    // A new name in a list is no path of its own; the type of a conversion may be one.
    if word(at) == Some("as") && word(at + 2) != Some("::") { at + 2 } else { at }
}

/// Reads a list in braces, from behind the opening one; returns where it ends.
fn tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    while let Some(token) = tokens.get(at) {
        at = match token.text.as_str() {
            "}" => return at + 1,
            text if text.starts_with(is_word) => path(tokens, at, prefix, found).max(at + 1),
            _ => at + 1,
        };
    }
    at
}

fn tokens(bare: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in bare.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            tokens.push(Token { line: number + 1, text: rest[..length].into() });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// The module that a file of a crate's `src` is, as segments below the crate.
pub fn module(path_in_src: &str) -> Vec<&str> {
    let path = path_in_src.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" | "main" => vec![],
        _ => path.split('/').collect(),
    }
}

/// A path as seen from the root of the module's crate: `crate`, `self` and `super` resolved. `None` if it begins
/// with anything else and so may name another crate.
pub fn resolve(module: &[&str], path: &[String]) -> Option<Vec<String>> {
    let mut base: Vec<String> = module.iter().map(|segment| (*segment).to_owned()).collect();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => base.clear(),
        "self" | "super" => {}
        _ => return None,
    }
    while let Some(first) = rest.first().filter(|first| ["crate", "self", "super"].contains(&first.as_str()))
    {
        if first == "super" {
            base.pop();
        }
        rest = &rest[1..];
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        paths(&bare(text)).into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn trees_of_use_lines_are_taken_apart() {
        let text = "use crate::{\n    id::{A, B as C},\n    model::*,\n};\nuse tokio::net;";
        assert_eq!(named(text), ["crate::id::A", "crate::id::B", "crate::model", "tokio::net"]);
    }

    #[test]
    fn paths_inside_of_code_count_and_texts_do_not() {
        let text = "let a = std::time::Instant::now(); // tokio::spawn\nf(\"kube::Client\", 'x', '\\'', r#\"a::b\"#, b\"c::d\");";
        assert_eq!(named(text), ["std::time::Instant::now"]);
        assert_eq!(named("fn f<'a>(x: &'a str) { g::<kube::Api>(x) }"), ["kube::Api"]);
        assert_eq!(named("/* a::b\n */ c::d"), ["c::d"]);
        assert_eq!(named("match x { model::A { b } => b }"), ["model::A"]);
    }

    #[test]
    fn relative_paths_are_resolved() {
        let module = module("upstream/balance/mod.rs");
        let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
        let resolved = |text: &str| resolve(&module, &path(text)).map(|path| path.join("::"));
        assert_eq!(resolved("super::Peer").as_deref(), Some("upstream::Peer"));
        assert_eq!(resolved("super::super::id::A").as_deref(), Some("id::A"));
        assert_eq!(resolved("self::x").as_deref(), Some("upstream::balance::x"));
        assert_eq!(resolved("crate::model::Route").as_deref(), Some("model::Route"));
        assert_eq!(resolved("tokio::net"), None);
    }

    #[test]
    fn production_ends_where_tests_begin() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(production(text), "fn a() {}\n");
        assert_eq!(tests("common/src/a.rs", text), "#[cfg(test)]\nmod tests {}\n");
        assert_eq!(tests("common/src/a/tests.rs", "fn a() {}"), "fn a() {}");
        assert_eq!(tests("common/src/a.rs", "fn a() {}"), "");
    }
}
