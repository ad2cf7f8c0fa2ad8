//! Text of a manifest file to its documents, each with the line that it begins on.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
};

use serde_json::Value;
use serde_saphyr::{MessageFormatter, Options, UserMessageFormatter};

/// One document of a manifest file, or one item of a `List` in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<T> {
    /// The file, spelled as the user gave it or its folder.
    pub file: Arc<Path>,
    /// Its first line with content, counted from 1.
    pub line: u32,
    /// What was made of it.
    pub value: T,
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line, counted from 1; 0 if it is about the whole file.
    pub line: u32,
    /// What is wrong with it, without the line.
    pub message: String,
}

/// Everything that a text holds, and what is to be known of it when it comes again with changes.
#[derive(Debug)]
pub(super) struct Parsed<T> {
    /// The documents that can be read.
    pub(super) documents: Vec<Document<T>>,
    /// Errors for those that cannot.
    pub(super) errors: Vec<LineError>,
    pub(super) known: Known<T>,
}

/// What was made of the pieces of a text, by the pieces: those that come again need not be read again.
#[derive(Debug)]
pub(super) struct Known<T> {
    pieces: HashMap<Digest, Box<[T]>>,
    hasher: RandomState,
}

/// Stands for a piece of a text: a keyed hash of it, and its length.
type Digest = (u64, usize);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { pieces: HashMap::new(), hasher: RandomState::new() }
    }
}

/// Reads a text. YAML is split at its `---` lines first, so that a document that is wrong does not hide its neighbours,
/// and one that is known already costs no more than a look at its text.
pub(super) fn parse<T: Clone>(
    file: &Arc<Path>,
    text: &str,
    make: &dyn Fn(Value) -> T,
    known: Known<T>,
) -> Parsed<T> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    match is_json {
        true => parse_json(file, text, make),
        false => parse_yaml(file, text, make, known),
    }
}

impl<T> Parsed<T> {
    fn nothing(hasher: RandomState) -> Self {
        let known = Known { pieces: HashMap::new(), hasher };
        Self { documents: Vec::new(), errors: Vec::new(), known }
    }

    fn add(&mut self, file: &Arc<Path>, line: u32, values: impl IntoIterator<Item = T>) {
        let documents = values.into_iter().map(|value| Document { file: file.clone(), line, value });
        self.documents.extend(documents);
    }
}

/// A value, or the items of a list of any kind.
fn items(mut value: Value) -> Vec<Value> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items") {
        Some(Value::Array(items)) if is_list => std::mem::take(items),
        _ => match value {
            Value::Null => Vec::new(),
            value => vec![value],
        },
    }
}

fn parse_json<T>(file: &Arc<Path>, text: &str, make: &dyn Fn(Value) -> T) -> Parsed<T> {
    let mut parsed = Parsed::nothing(RandomState::new());
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let rest = &text[stream.byte_offset()..];
        let start = text.len() - rest.trim_start().len();
        let line = 1 + text[..start].matches('\n').count() as u32;
        match stream.next() {
            Some(Ok(value)) => parsed.add(file, line, items(value).into_iter().map(make)),
            Some(Err(error)) => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                parsed.errors.push(LineError { line: error.line() as u32, message });
                return parsed;
            }
            None => return parsed,
        }
    }
}

fn parse_yaml<T: Clone>(
    file: &Arc<Path>,
    text: &str,
    make: &dyn Fn(Value) -> T,
    mut known: Known<T>,
) -> Parsed<T> {
    let mut parsed = Parsed::nothing(known.hasher.clone());
    for (first, piece) in split(text) {
        let skipped = piece.lines().take_while(|line| is_blank(line)).count();
        let line = first + skipped as u32;
        let digest = (known.hasher.hash_one(piece), piece.len());
        let made = match known.pieces.remove(&digest) {
            Some(made) => made,
            None if skipped == piece.lines().count() => continue,
            None => match serde_saphyr::from_str_with_options::<Value>(piece, options()) {
                Ok(value) => items(value).into_iter().map(make).collect(),
                Err(error) => {
                    parsed.errors.push(line_error(first, &error));
                    continue;
                }
            },
        };
        parsed.add(file, line, made.iter().cloned());
        parsed.known.pieces.insert(digest, made);
    }
    parsed
}

/// Nothing but space, a comment or a directive.
fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', '%'])
}

/// Cuts at `---` and `...` lines; each piece with the number of its first line, counted from 1.
///
/// Text after a marker on its own line belongs to the piece; the marker is no part of it.
fn split(text: &str) -> Vec<(u32, &str)> {
    let mut pieces = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
        if let Some(rest) = rest
            && (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        {
            pieces.push((start_line, &text[start..offset]));
            (start, start_line) = (offset + 3, number);
        }
        offset += line.len();
    }
    pieces.push((start_line, &text[start..]));
    pieces
}

/// Limits that no manifest of people reaches, but a bomb of aliases does.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
        },
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    }
}

fn line_error(first: u32, error: &serde_saphyr::Error) -> LineError {
    let within = error.location().map_or(1, |location| location.line().max(1) as u32);
    let message = UserMessageFormatter.format_message(error.without_snippet()).trim().replace('\n', " ");
    LineError { line: first + within - 1, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, text: &str) -> (Vec<(u32, Value)>, Vec<LineError>) {
        let file = Arc::from(Path::new(name));
        let Parsed { documents, errors, .. } = parse(&file, text, &|value| value, Known::default());
        (documents.into_iter().map(|document| (document.line, document.value)).collect(), errors)
    }

    fn lines(text: &str) -> (Vec<u32>, Vec<u32>) {
        let (documents, errors) = parsed("a.yaml", text);
        (documents.iter().map(|d| d.0).collect(), errors.iter().map(|e| e.line).collect())
    }

    #[test]
    fn each_document_knows_its_first_line_with_content() {
        let cases: &[(&str, &[u32], &[u32])] = &[
            ("", &[], &[]),
            ("a: 1\n", &[1], &[]),
            ("---\na: 1\n---\nb: 1\n", &[2, 4], &[]),
            ("# head\n\n---\n# more\n\na: 1\n", &[6], &[]),
            ("a: 1\n---\n---\n# nothing\n---\nb: 1\n...\n", &[1, 6], &[]),
            ("--- {a: 1}\n--- # said\nb: 2", &[1, 3], &[]),
            ("%YAML 1.2\n---\r\na: 1\r\n---\r\nb: 1\r\n", &[3, 5], &[]),
            ("a: |\n  ---\n  text\n---\nb: 1", &[1, 5], &[]),
            ("a: -----BEGIN\n---\nb: 1", &[1, 3], &[]),
            ("\u{feff}a: 1", &[1], &[]),
            ("a: 1\n---\nb: [1\n---\nc: 1\n", &[1, 5], &[3]),
            ("a: 1\n---\n\nb: 1\nb: 2\n", &[1], &[5]),
        ];
        for (text, documents, errors) in cases {
            assert_eq!(lines(text), (documents.to_vec(), errors.to_vec()), "{text:?}");
        }
    }

    #[test]
    fn a_piece_that_was_read_before_is_not_read_again_wherever_it_is_now() {
        let file = Arc::from(Path::new("a.yaml"));
        let made = std::cell::RefCell::new(Vec::new());
        let make = |value: Value| {
            made.borrow_mut().push(value.to_string());
            value
        };
        let mut known = Known::default();
        let cases: &[(&str, &[u32], &[&str])] = &[
            ("a: 1\n---\nb: 1\n---\nc: [\n", &[1, 3], &[r#"{"a":1}"#, r#"{"b":1}"#]),
            ("a: 1\n---\nb: 2\n---\nc: 1\n", &[1, 3, 5], &[r#"{"b":2}"#, r#"{"c":1}"#]),
            ("# first\nx: 1\n---\nc: 1\n---\n\nc: 1\n", &[2, 4, 7], &[r#"{"x":1}"#, r#"{"c":1}"#]),
        ];
        for (text, lines, wanted) in cases {
            let parsed = parse(&file, text, &make, known);
            let found: Vec<_> = parsed.documents.iter().map(|document| document.line).collect();
            assert_eq!(found, *lines, "{text:?}");
            assert_eq!(made.take(), *wanted, "{text:?}");
            known = parsed.known;
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_in_one_line_without_a_position_of_its_own() {
        let (_, errors) = parsed("a.yaml", "x: 1\n---\nb: 1\nb: 2\n");
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message.contains("duplicate"), "{errors:?}");
        assert!(!errors[0].message.contains("line"), "{errors:?}");
        assert!(!errors[0].message.contains('\n'), "{errors:?}");
    }

    #[test]
    fn items_of_a_list_are_documents() {
        let (documents, _) = parsed("a.yaml", "---\nkind: IngressList\nitems:\n- {kind: A}\n- {kind: B}\n");
        let kinds: Vec<_> = documents.iter().map(|(line, value)| (*line, value["kind"].as_str())).collect();
        assert_eq!(kinds, [(2, Some("A")), (2, Some("B"))]);
    }

    #[test]
    fn an_object_that_only_has_items_stays_whole() {
        let (documents, _) = parsed("a.yaml", "kind: ConfigMap\nitems: [1]\n");
        assert_eq!(documents, [(1, serde_json::json!({"kind": "ConfigMap", "items": [1]}))]);
    }

    #[test]
    fn json_documents_know_their_lines() {
        let (documents, errors) = parsed("a.json", "\n{\"a\":\n 1}\n\n{\"b\": 2}\n{\"c\": }\n");
        assert_eq!(documents.iter().map(|d| d.0).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(errors.iter().map(|e| e.line).collect::<Vec<_>>(), [6]);
    }

    #[test]
    fn a_bomb_of_aliases_is_an_error() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        let (documents, errors) = parsed("a.yaml", &text);
        assert_eq!((documents.len(), errors.len()), (0, 1));
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let (documents, errors) = parsed("a.yaml", &"[".repeat(10_000));
        assert_eq!((documents.len(), errors.len()), (0, 1));
    }

    #[test]
    fn numbers_that_only_look_like_octal_stay_text() {
        let (documents, _) = parsed("a.yaml", "zip: 01234\n");
        assert_eq!(documents[0].1["zip"], "01234");
    }
}
