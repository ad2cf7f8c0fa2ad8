//! The fuzz targets as ordinary tests: over their corpus, and over some thousand changed pieces of it.
//!
//! With `SELVEDGE_FUZZ_SECONDS` each of them goes on for so long.

mod accept_encoding;
mod chunked;
mod frames;
mod head;
mod host;
mod hpack;
mod htpasswd;
mod numbers;
mod path;
mod pattern;
mod proxy_header;
mod response;
mod rewrite;
mod template;

use std::path::Path;

use numbers::repeat;

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
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 304 x\r\n",
    b"204",
    b"103",
    b"chunked",
    b"{1000}",
    b"(?i)",
    b"(?m)",
    b"(",
    b")|(",
    b"*",
    b"[^",
    b"$",
    b"${",
    b"}",
    b"$1",
    b"$host",
    b"$arg_d",
    b"$http_x_one_two",
    b"$cookie_sid",
    b"$uri",
    b"$apr1$",
    b"$5$",
    b"$6$rounds=",
    b"$2y$05$",
    b"{SHA}",
    b"{SSHA}",
    b"{PLAIN}",
    b"=",
    b"a:",
    b"../",
    b"gzip",
    b"br",
    b"identity",
    b";q=",
    b"0.5",
];

fn run(target: &str, check: fn(&[u8])) {
    run_rounds(target, ROUNDS, check);
}

fn run_rounds(target: &str, rounds: usize, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).expect("the corpus is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the corpus can be read").path()).collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|file| std::fs::read(file).expect("it can be read")).collect();
    assert!(corpus.len() >= 20, "{}", folder.display());
    corpus.iter().for_each(|input| check(input));
    repeat(target, rounds, |numbers| check(&numbers.change(&corpus, WORDS)));
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

#[test]
fn answers_agree_with_the_model() {
    run("response", response::check);
}

#[test]
fn patterns_match_whole_texts_or_are_refused() {
    // To compile one costs more than to read a head.
    run_rounds("pattern", ROUNDS / 40, pattern::check);
}

#[test]
fn templates_agree_with_the_model() {
    run("template", template::check);
}

#[test]
fn codings_that_clients_take_agree_with_the_model() {
    run("accept_encoding", accept_encoding::check);
}

#[test]
fn users_agree_with_the_model() {
    run_rounds("htpasswd", ROUNDS / 10, htpasswd::check);
}

#[test]
fn rewritten_paths_are_canonical_and_stay_where_they_shall_be() {
    run_rounds("rewrite", ROUNDS / 40, rewrite::check);
}

#[test]
fn compressed_fields_agree_with_the_model() {
    run_rounds("hpack", ROUNDS / 4, hpack::check);
}

#[test]
fn frames_are_answered_by_the_rules() {
    run_rounds("frames", ROUNDS / 20, frames::check);
    repeat("frames at random", ROUNDS / 20, |numbers| {
        let input: Vec<u8> = (0..numbers.below(300)).map(|_| numbers.below(256) as u8).collect();
        frames::check(&input);
    });
}
