//! Rewrites by regular expressions: what comes out is a path in canonical form below where it shall be, or a URL.

use selvedge_common::{
    filter::{Filter, Flow, RewriteRegex, Template},
    message::{RequestHead, path, pattern::SearchPattern},
};

use crate::template::{NoMemory, context};

/// The query of each request.
const QUERY: &[u8] = b"q=../1&x=$1";

/// Takes lines of a pattern, a replacement, a prefix and a path.
pub fn check(input: &[u8]) {
    let mut lines = input.splitn(4, |byte| *byte == b'\n').map(std::str::from_utf8);
    let mut next = || lines.next().and_then(Result::ok);
    let (Some(pattern), Some(replacement), Some(prefix), Some(target)) = (next(), next(), next(), next())
    else {
        return;
    };
    let (Ok(pattern), Ok(replacement)) = (SearchPattern::new(pattern), Template::with_captures(replacement))
    else {
        return;
    };
    let mut before = Vec::new();
    if path::canonicalize(target.as_bytes(), false, &mut before).is_err() {
        return;
    }
    let rewrite =
        RewriteRegex { pattern, replacement, forwarded_prefix: Template::with_captures(prefix).ok() };
    let written = serde_json::to_string(&rewrite).expect("it is text");
    assert_eq!(serde_json::from_str::<RewriteRegex>(&written).expect("it was one"), rewrite);
    request(rewrite, &before);
}

fn request(rewrite: RewriteRegex, before: &[u8]) {
    let mut head = RequestHead::default();
    head.set_host(b"a.test").expect("it is a host");
    head.fields.push(b"Host", b"a.test");
    head.fields.push(b"X-Forwarded-Prefix", b"/evil");
    head.set_path(before);
    head.set_query(Some(QUERY));
    let flow = Filter::RewriteRegex(rewrite.clone()).request(&context(&NoMemory), &mut head);
    let shown = format!("{rewrite:?} of {}", before.escape_ascii());
    let is_sound = |text: &[u8]| !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0'));
    assert!(head.fields.iter().all(|(_, value)| is_sound(value)), "{shown}");
    match flow {
        Flow::Next => check_path(&rewrite, before, &head, &shown),
        Flow::Reply(reply) if reply.status == 302 => {
            let locations: Vec<_> = reply.fields.iter().filter(|(name, _)| *name == "Location").collect();
            assert!(matches!(locations[..], [(_, value)] if is_sound(value)), "{shown}: {reply:?}");
            assert_eq!(head.path(), before, "{shown}");
        }
        Flow::Reply(reply) => assert_eq!((reply.status, head.path()), (400, before), "{shown}"),
        flow => panic!("{shown}: {flow:?}"),
    }
}

fn check_path(rewrite: &RewriteRegex, before: &[u8], head: &RequestHead, shown: &str) {
    let new = head.path();
    let shown = format!("{shown} is {}", new.escape_ascii());
    assert_eq!(head.query(), Some(QUERY), "{shown}");
    let mut again = Vec::new();
    assert!(path::canonicalize(new, false, &mut again).is_ok() && again == new, "{shown}");
    assert!(new.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')), "{shown}");
    assert!(new.split(|byte| *byte == b'/').all(|part| part != b"." && part != b".."), "{shown}");
    if !rewrite.pattern.regex().is_match(before) {
        assert_eq!(new, before, "{shown}");
        return;
    }
    if rewrite.replacement.is_plain() {
        return;
    }
    // What stands before the first variable, up to its last slash, is where the path must lie.
    let text = rewrite.replacement.text();
    let begin = &text[..text.find('$').unwrap_or(text.len())];
    let folder = &begin[..begin.rfind('/').map_or(0, |at| at + 1)];
    if folder.starts_with('/') && path::is_canonical(folder.as_bytes()) {
        assert!(
            new.starts_with(folder.as_bytes()) || new == folder.trim_end_matches('/').as_bytes(),
            "{shown}"
        );
    }
}
