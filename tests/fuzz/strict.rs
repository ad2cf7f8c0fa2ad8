//! A strict reader of HTTP/1.1: what the proxy sends is read back by its own parser and by this one.

use selvedge_common::{
    http1::{BodyFraming, HeadLimits, RequestError, parse_request, parse_response},
    message::{Method, RequestHead, ResponseHead},
};

/// What no field is called, as only values that were tried hold it, behind the end of a line.
pub const INJECTED: &str = "x-injected";

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 4 << 20,
    fields: 1000,
    target_bytes: 4 << 20,
    drop_underscore_fields: false,
    reject_escaped_slash: false,
};

/// What begins a connection of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a backend read.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A request of so many bytes, and what its field `X-Want` says.
    Request(usize, String),
    /// The begin of one.
    Begun,
    /// TLS or HTTP/2, as the proxy was told to speak, which nobody answers.
    Foreign,
}

/// Reads a request that a backend sees.
pub fn request(bytes: &[u8]) -> Result<Read, String> {
    match bytes.first() {
        None => return Ok(Read::Begun),
        Some(0x16) => return Ok(Read::Foreign),
        Some(_) if bytes.starts_with(PREFACE) => return Ok(Read::Foreign),
        Some(_) if PREFACE.starts_with(bytes) => return Ok(Read::Begun),
        Some(_) => {}
    }
    let Some((head_bytes, body)) = parse(bytes).map_err(|error| format!("{error:?}"))? else {
        return Ok(Read::Begun);
    };
    let lines = lines(&bytes[..head_bytes])?;
    let (first, fields) = lines.split_first().ok_or("it has no lines")?;
    let words: Vec<_> = first.split(|byte| *byte == b' ').collect();
    let [_, target, b"HTTP/1.1"] = words[..] else { return Err("it begins as no request".into()) };
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(format!("{} is no target", target.escape_ascii()));
    }
    let fields = check_fields(fields)?;
    let asked = fields.iter().filter(|(name, _)| name == "x-asked").count();
    if asked > 1 {
        return Err("two requests are one".into());
    }
    let length = match body {
        BodyFraming::None => 0,
        BodyFraming::Length(length) => length as usize,
        BodyFraming::Chunked | BodyFraming::UntilClose => return Err("nobody sent such a body".into()),
    };
    let whole = head_bytes + length;
    let want = fields.iter().find(|(name, _)| name == "x-want").map(|(_, value)| value.clone());
    Ok(match bytes.len() >= whole {
        true => Read::Request(whole, want.unwrap_or_default()),
        false => Read::Begun,
    })
}

/// Reads it by the proxy's own parser: how long its head is, and what its body.
fn parse(bytes: &[u8]) -> Result<Option<(usize, BodyFraming)>, RequestError> {
    let mut head = RequestHead::default();
    match parse_request(bytes, &LIMITS, &mut head) {
        // The target of a question is what the owner of the service wrote, escapes that no client may send included.
        Err(RequestError::BadPath(_)) if is_question(bytes) => {
            let mut blanks = bytes.iter().enumerate().filter(|(_, byte)| **byte == b' ').map(|(at, _)| at);
            let (Some(from), Some(to)) = (blanks.next(), blanks.next()) else { return Ok(None) };
            let plain = [&bytes[..from], b" /", &bytes[to..]].concat();
            let read = parse_request(&plain, &LIMITS, &mut head)?;
            Ok(read.map(|start| (start.head_bytes + bytes.len() - plain.len(), start.body)))
        }
        read => Ok(read?.map(|start| (start.head_bytes, start.body))),
    }
}

/// Whether it asks a service if another request may pass.
fn is_question(bytes: &[u8]) -> bool {
    const FIELD: &[u8] = b"\r\nX-Original-URL: ";
    bytes.windows(FIELD.len()).any(|window| window == FIELD)
}

/// Checks an answer that is all that a client got on its connection.
pub fn answer(bytes: &[u8], method: &str) -> Result<(), String> {
    let mut head = ResponseHead::default();
    let method = Method::known(method.as_bytes()).unwrap_or(Method::Get);
    let read = parse_response(bytes, &LIMITS, method, &mut head).map_err(|error| format!("{error:?}"))?;
    let start = read.ok_or("it is not whole")?;
    let lines = lines(&bytes[..start.head_bytes])?;
    let fields = check_fields(lines.get(1..).unwrap_or_default())?;
    // Where a backend sends clients, and what annotations make of it, is its own affair.
    let is_own = fields.iter().any(|(name, _)| name == "x-selvedge-reason");
    let location = fields.iter().find(|(name, _)| is_own && name == "location").map(|(_, value)| value);
    if location.is_some_and(|url| url.is_empty() || url.contains(char::is_whitespace)) {
        return Err(format!("{location:?} leads nowhere"));
    }
    let body = &bytes[start.head_bytes..];
    let whole = match start.body {
        BodyFraming::None => body.is_empty(),
        BodyFraming::Length(length) => body.len() as u64 == length,
        BodyFraming::Chunked => body.ends_with(b"0\r\n\r\n"),
        BodyFraming::UntilClose => true,
    };
    whole.then_some(()).ok_or_else(|| "there is more or less than one answer".to_owned())
}

/// The lines of a head without the empty one at its end; no CR, LF or NUL is in any.
fn lines(head: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let text = head.strip_suffix(b"\r\n\r\n").ok_or("its head has no end")?;
    let mut lines = vec![Vec::new()];
    let mut rest = text.iter().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\r' if rest.next_if_eq(&&b'\n').is_some() => lines.push(Vec::new()),
            b'\r' | b'\n' | b'\0' => return Err("a line holds a control character".into()),
            byte => lines.last_mut().ok_or("there is a line")?.push(*byte),
        }
    }
    Ok(lines)
}

/// Names in lower case, and values, each of which must be sound.
fn check_fields(lines: &[Vec<u8>]) -> Result<Vec<(String, String)>, String> {
    let mut fields = Vec::new();
    for line in lines {
        let shown = || line.escape_ascii();
        let colon =
            line.iter().position(|byte| *byte == b':').ok_or_else(|| format!("{} is no field", shown()))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if name.is_empty() || !name.iter().all(is_name) || !value.iter().all(is_value) {
            return Err(format!("{} is no sound field", shown()));
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if name == INJECTED {
            return Err(format!("{} was injected", shown()));
        }
        fields.push((name, String::from_utf8_lossy(value).into_owned()));
    }
    Ok(fields)
}

#[test]
fn what_is_not_sound_is_seen() {
    let sound = "GET /a HTTP/1.1\r\nHost: a\r\nX-Want: moved\r\n\r\n";
    assert_eq!(request(sound.as_bytes()), Ok(Read::Request(sound.len(), "moved".to_owned())));
    let question = "GET /a%00b HTTP/1.1\r\nHost: a\r\nX-Original-URL: /\r\n\r\n";
    assert_eq!(request(question.as_bytes()), Ok(Read::Request(question.len(), String::new())));
    assert!(request(question.replace("Original", "Other").as_bytes()).is_err());
    for (from, to) in
        [("/a", "/\u{e9}"), ("Host: a", "Host: a\r\nX-Injected: 1"), ("moved", "m\rd"), ("moved", "m\nb: d")]
    {
        assert!(request(sound.replacen(from, to, 1).as_bytes()).is_err(), "{from} {to}");
    }
    let sound =
        "HTTP/1.1 302 Found\r\nLocation: /a\r\nX-Selvedge-Reason: redirect\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(answer(sound.as_bytes(), "GET"), Ok(()));
    for (from, to) in [
        ("/a", "/a b"),
        ("/a", ""),
        ("Length: 2", "Length: +2"),
        ("/a", "/\r\nX-Injected: 1"),
        ("ok", "oks"),
        ("ok", "o"),
    ] {
        assert!(answer(sound.replacen(from, to, 1).as_bytes(), "GET").is_err(), "{from} {to}");
    }
}
