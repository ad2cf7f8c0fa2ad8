//! The corpus: cases of raw bytes in text files, written so that a person can read them.
//!
//! Lines that begin with `#` are remarks. A case begins with `== ` and its name, has keys (`rfc: 9112 6.1`), and then
//! its bytes: a line `|text` stands for the text and CRLF, or for the text alone if it ends with `\`. Escapes are
//! `\r \n \t \0 \xHH \\` and `\{text*count}`. A line `@word` stands for bytes that many cases have in common.

use std::{collections::BTreeSet, fs, path::Path};

/// A request that must never be taken for one, as long as it is in the body of another.
pub const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// What lines `@word` stand for.
const WORDS: [(&str, &str); 7] = [
    ("get", "GET /case HTTP/1.1\r\nHost: a\r\n"),
    ("post", "POST /case HTTP/1.1\r\nHost: a\r\n"),
    ("chunked", "Transfer-Encoding: chunked\r\n"),
    ("end", "0\r\n\r\n"),
    ("smuggled", SMUGGLED),
    ("ok", "HTTP/1.1 200 OK\r\n"),
    ("stolen", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"),
];

/// One case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// File and name, for messages.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    keys: Vec<(String, String)>,
}

impl Case {
    /// The value of a key; empty if there is none.
    pub fn key(&self, name: &str) -> &str {
        self.keys.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// All values of a key that may come more than once.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.keys.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All cases of a folder, by file and then in order.
pub fn read(folder: &str, known: &[&str]) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("smuggling").join(folder);
    let entries = fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let group = file.file_stem().unwrap().to_str().unwrap();
        cases.extend(parse(group, &fs::read_to_string(&file).unwrap(), known));
    }
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "no two cases have the same name");
    cases
}

fn parse(group: &str, text: &str, known: &[&str]) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: format!("{group}: {name}"), ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        let wrong = format!("{}: {line}", case.name);
        match line.split_at_checked(1) {
            Some(("|", rest)) => {
                case.bytes.extend(unescape(rest));
                let is_open = rest.ends_with('\\') && !rest.ends_with("\\\\");
                case.bytes.extend(if is_open { &b""[..] } else { b"\r\n" });
            }
            Some(("@", word)) => case.bytes.extend(meaning(word).expect(&wrong).as_bytes()),
            Some(_) => {
                let (key, value) = line.split_once(':').expect(&wrong);
                assert!(known.contains(&key), "{}: {line}", case.name);
                case.keys.push((key.to_owned(), value.trim().to_owned()));
            }
            None => {}
        }
    }
    for case in &cases {
        assert!(!case.key("rfc").is_empty() && !case.key("want").is_empty(), "{}", case.name);
    }
    cases
}

fn meaning(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(name, _)| *name == word).map(|(_, text)| *text)
}

/// The bytes of a text with escapes; `@smuggled` within it stands for that request.
pub fn unescape(text: &str) -> Vec<u8> {
    let text = text.replace("@smuggled", &SMUGGLED.replace("\r\n", "\\r\\n"));
    let (mut out, mut rest) = (Vec::new(), text.as_str());
    while let Some(at) = rest.find('\\') {
        out.extend(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let used = match rest.as_bytes().first() {
            None => return out,
            Some(b'{') => {
                let end = closing(rest);
                let (inner, count) = rest[1..end].rsplit_once('*').unwrap();
                out.extend(unescape(inner).repeat(count.parse().unwrap()));
                end + 1
            }
            Some(b'x') => {
                out.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                3
            }
            Some(letter) => {
                let plain = [b'r', b'n', b't', b'0', b'\\'].iter().position(|known| known == letter);
                out.push(b"\r\n\t\0\\"[plain.unwrap()]);
                1
            }
        };
        rest = &rest[used..];
    }
    out.extend(rest.as_bytes());
    out
}

/// Where the brace ends that a text begins with.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    let is_end = |letter: char| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        depth == 0
    };
    text.find(is_end).unwrap()
}

#[test]
fn a_case_is_read_as_it_is_written() {
    let text =
        "# remark\n== first\nrfc: 9112 1\nwant: 200\n@get\n|\n|a\\x41\\{\\r\\n*2}\\0\\\\\n|open\\\n@end\n";
    let cases = parse("group", text, &["rfc", "want"]);
    assert_eq!((cases.len(), cases[0].name.as_str(), cases[0].key("rfc")), (1, "group: first", "9112 1"));
    let bytes = b"GET /case HTTP/1.1\r\nHost: a\r\n\r\naA\r\n\r\n\0\\\r\nopen0\r\n\r\n";
    assert_eq!(cases[0].bytes, bytes);
    assert_eq!(unescape("\\r@smuggled"), ["\r", SMUGGLED].concat().into_bytes());
    assert_eq!(unescape("\\{a\\{b*2}*2}c"), b"abbabbc");
}
