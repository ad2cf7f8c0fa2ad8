//! Request heads against a model that splits the whole text into lines, and against their own encoding.

use selvedge_common::http1::encode::encode_request;
use selvedge_common::http1::{BodyFraming, HeadLimits, Persistence, RequestStart, parse_request};
use selvedge_common::message::{Method, RequestHead, authority, path};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 2048,
    fields: 20,
    target_bytes: 512,
    drop_underscore_fields: true,
    reject_escaped_slash: false,
};

/// What a head comes to: how it starts, and its fields.
type Head = (RequestStart, Vec<(Vec<u8>, Vec<u8>)>);

/// Compares what is read with the model, and reads again what would be sent to a backend.
pub fn check(input: &[u8]) {
    let mut head = RequestHead::default();
    let read = parse_request(input, &LIMITS, &mut head);
    let shown = input.escape_ascii();
    let fields = head.fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let accepted = read.ok().flatten().map(|start| (start, fields));
    assert_eq!(accepted, model(input), "{shown}: {read:?}");

    let mut begun = RequestHead::default();
    let early = parse_request(&input[..input.len() / 2], &LIMITS, &mut begun);
    assert!(early.is_ok() || read.is_err(), "{shown}: refused too early, {early:?}");
    if let Ok(Some(start)) = read {
        send_on(&head, start);
    }
}

/// What goes to the backend reads as the same request, with nothing behind it.
fn send_on(head: &RequestHead, start: RequestStart) {
    if head.authority().is_empty() || head.method == Method::Connect {
        return;
    }
    let mut head = head.clone();
    if head.fields.get_by_name("host").is_none() {
        let authority = head.authority().to_vec();
        head.fields.push(b"Host", &authority);
    }
    let mut sent = Vec::new();
    encode_request(&head, start.body, Persistence::KeepAlive, &mut sent);
    let (limits, mut again) = (
        HeadLimits { head_bytes: 1 << 16, target_bytes: 1 << 16, fields: 100, ..LIMITS },
        RequestHead::default(),
    );
    let read = parse_request(&sent, &limits, &mut again).expect("what was accepted is sent on well-formed");
    let read = read.expect("a whole head is sent");
    assert_eq!(read.head_bytes, sent.len());
    assert_eq!(
        (again.method_name(), again.path(), again.query()),
        (head.method_name(), head.path(), head.query())
    );
    assert_eq!(again.host(), head.host());
    let empty = |body| if body == BodyFraming::Length(0) { BodyFraming::None } else { body };
    assert_eq!(empty(read.body), empty(start.body), "{}", sent.escape_ascii());
}

fn model(input: &[u8]) -> Option<Head> {
    let text = input.strip_prefix(b"\r\n").unwrap_or(input);
    let end = text.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    if end > LIMITS.head_bytes {
        return None;
    }
    let lines = split_lines(&text[..end - 4])?;
    let (first, lines) = lines.split_first()?;
    let first = std::str::from_utf8(first).ok()?;
    let [method, target, version] = first.split(' ').collect::<Vec<_>>()[..] else { return None };
    if !is_token(method.as_bytes()) || method.len() > 32 || target.len() > LIMITS.target_bytes {
        return None;
    }
    if target.is_empty() || target.bytes().any(|byte| byte < b'!' || byte == 0x7f) {
        return None;
    }
    let is_11 = match version {
        "HTTP/1.0" => false,
        "HTTP/1.1" => true,
        _ => return None,
    };
    let fields = lines.iter().map(|line| field(line)).collect::<Option<Vec<_>>>()?;
    if fields.len() > LIMITS.fields {
        return None;
    }
    let fields: Vec<_> = fields.into_iter().filter(|(name, _)| !name.contains(&b'_')).collect();
    let all = |wanted: &str| -> Vec<String> {
        let named = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        named.map(|(_, value)| value.iter().map(|byte| char::from(*byte)).collect()).collect()
    };
    let body = body(&all("content-length"), &all("transfer-encoding"), is_11)?;
    let expects = match &all("expect")[..] {
        [] => false,
        [value] if value.eq_ignore_ascii_case("100-continue") => is_11,
        _ => return None,
    };
    is_good_target(method, target, &all("host"), is_11).then_some(())?;
    let connection = all("connection").join(",").to_ascii_lowercase();
    let has = |word: &str| connection.split(',').any(|item| item.trim_matches([' ', '\t']) == word);
    let start = RequestStart {
        head_bytes: input.len() - text.len() + end,
        body,
        keep_alive: !has("close") && (is_11 || has("keep-alive")),
        expect_continue: expects && body.has_body(),
    };
    Some((start, fields))
}

/// Lines between CRLFs; `None` if a CR or LF stands alone.
fn split_lines(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut lines = vec![Vec::new()];
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\r', Some(b'\n')) => {
                bytes.next();
                lines.push(Vec::new());
            }
            (b'\r' | b'\n', _) => return None,
            _ => lines.last_mut()?.push(*byte),
        }
    }
    Some(lines)
}

fn field(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_text = value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    (is_token(name) && is_text).then(|| (name.to_vec(), value.trim_ascii().to_vec()))
}

fn is_token(text: &[u8]) -> bool {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_good)
}

/// The body that these fields announce, in the model of requests and of answers.
pub(crate) fn body<S: AsRef<str>>(lengths: &[S], codings: &[S], is_11: bool) -> Option<BodyFraming> {
    match (lengths, codings) {
        ([], []) => Some(BodyFraming::None),
        ([length], []) if length.as_ref().bytes().all(|byte| byte.is_ascii_digit()) => {
            length.as_ref().parse().ok().map(BodyFraming::Length)
        }
        ([], [coding]) if is_11 && coding.as_ref().eq_ignore_ascii_case("chunked") => {
            Some(BodyFraming::Chunked)
        }
        _ => None,
    }
}

/// Whether the target is of a form that its method allows, and the hosts agree.
fn is_good_target(method: &str, target: &str, hosts: &[String], is_11: bool) -> bool {
    let parse = |text: &str| {
        let bytes: Vec<u8> = text.chars().map(|letter| letter as u32 as u8).collect();
        authority::parse(&bytes).ok().map(|read| (read.host.into_owned(), read.port))
    };
    let host = match hosts {
        [] if is_11 => return false,
        [] => None,
        [host] => match parse(host) {
            Some(host) => Some(host),
            None => return false,
        },
        _ => return false,
    };
    if method == "CONNECT" {
        let Some((name, Some(port))) = parse(target) else { return false };
        return host.is_none_or(|host| host.0 == name && host.1.is_none_or(|given| given == port));
    }
    if target.contains('#') {
        return false;
    }
    if target == "*" {
        return method == "OPTIONS";
    }
    let lower = target.to_ascii_lowercase();
    let (origin, named) = if target.starts_with('/') {
        (target, None)
    } else {
        let default = if lower.starts_with("http://") { 80 } else { 443 };
        if default == 443 && !lower.starts_with("https://") {
            return false;
        }
        let rest = &target[if default == 80 { 7 } else { 8 }..];
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let Some(named) = authority::parse(&rest.as_bytes()[..end]).ok() else { return false };
        (&rest[end..], Some((named.host.into_owned(), named.port.unwrap_or(default), default)))
    };
    let agrees = match (host, named) {
        (Some(host), Some(named)) => host.0 == named.0 && host.1.unwrap_or(named.2) == named.1,
        _ => true,
    };
    let path = origin.split('?').next().unwrap_or_default();
    agrees && path::canonicalize(path.as_bytes(), false, &mut Vec::new()).is_ok()
}
