//! The fuzz targets as ordinary tests: over their corpus, and over some thousand changed pieces of it.

mod chunked;
mod head;
mod host;
mod path;
mod proxy_header;

use std::path::Path;

/// Changed inputs per target.
const ROUNDS: usize = 20_000;

/// Pieces that the targets care about.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"/",
    b"..",
    b".",
    b"%2f",
    b"%5C",
    b"\\",
    b"%2e",
    b"%00",
    b"%",
    b"//",
    b"?",
    b"#",
    b"@",
    b"[",
    b"]",
    b"0",
    b"1",
    b"ffffffffffffffff",
    b";",
    b"_",
    b"\xc3\xa9",
    b"\x7f",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"GET ",
    b"OPTIONS ",
    b"CONNECT ",
    b"http://a",
    b"TCP4",
    b"TCP6",
    b"UNKNOWN",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x21",
    b"\x11",
];

/// Numbers from a fixed seed (xorshift), so that a failure comes again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// A piece of the corpus with one to four changes.
    fn change(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(8)).min(input.len());
            match self.below(6) {
                0 => drop(input.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied())),
                1 => drop(input.splice(at..end, WORDS[self.below(WORDS.len())].iter().copied())),
                2 => drop(input.drain(at..end)),
                3 => input.insert(at, self.below(256) as u8),
                4 => {
                    let copy = input[at..end].to_vec();
                    drop(input.splice(at..at, copy));
                }
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
        }
        input
    }
}

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the corpus can be read").path()).collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|file| std::fs::read(file).expect("it can be read")).collect();
    assert!(corpus.len() >= 20, "{}", folder.display());
    corpus.iter().for_each(|input| check(input));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS {
        check(&numbers.change(&corpus));
    }
}

#[test]
fn paths_agree_with_the_model() {
    run("path", path::check);
}

#[test]
fn hosts_agree_with_the_model() {
    run("host", host::check);
}

#[test]
fn heads_agree_with_the_model() {
    run("head", head::check);
}

#[test]
fn chunked_bodies_agree_with_the_model() {
    run("chunked", chunked::check);
}

#[test]
fn proxy_headers_agree_with_the_model() {
    run("proxy_header", proxy_header::check);
}
