//! Response heads against a model that splits the whole text into lines, and against their own encoding.

use selvedge_common::{
    http1::{BodyFraming, HeadLimits, Persistence, ResponseStart, encode_response, parse_response},
    message::{Method, ResponseHead},
};

use crate::head::body;

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 2048,
    fields: 20,
    target_bytes: 0,
    drop_underscore_fields: false,
    reject_escaped_slash: false,
};

/// What a head comes to: how it starts, its status and its fields.
type Head = (ResponseStart, u16, Vec<(Vec<u8>, Vec<u8>)>);

/// Compares what is read with the model, and reads again what would be sent to a client.
pub fn check(input: &[u8]) {
    for method in [Method::Get, Method::Head] {
        let mut head = ResponseHead::default();
        let read = parse_response(input, &LIMITS, method, &mut head);
        let shown = input.escape_ascii();
        let fields = head.fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let accepted = read.ok().flatten().map(|start| (start, head.status, fields));
        assert_eq!(accepted, model(input, method), "{shown}: {read:?}");
        let mut begun = ResponseHead::default();
        let early = parse_response(&input[..input.len() / 2], &LIMITS, method, &mut begun);
        assert!(early.is_ok() || read.is_err(), "{shown}: refused too early, {early:?}");
        if let Ok(Some(start)) = read
            && head.status >= 200
        {
            send_on(&head, start, method);
        }
    }
}

/// What goes to the client reads as the same answer, with nothing behind it.
fn send_on(head: &ResponseHead, start: ResponseStart, method: Method) {
    let body = match start.body {
        BodyFraming::UntilClose => BodyFraming::Chunked,
        body => body,
    };
    let mut sent = Vec::new();
    encode_response(head, body, Persistence::KeepAlive, false, &mut sent);
    let limits = HeadLimits { head_bytes: 1 << 16, fields: 100, ..LIMITS };
    let mut again = ResponseHead::default();
    let read = parse_response(&sent, &limits, method, &mut again).expect("what was accepted is well-formed");
    let read = read.expect("a whole head is sent");
    let shown = sent.escape_ascii();
    assert_eq!((read.head_bytes, again.status, read.body), (sent.len(), head.status, body), "{shown}");
}

fn model(input: &[u8], method: Method) -> Option<Head> {
    let end = input.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    if end > LIMITS.head_bytes {
        return None;
    }
    let text: String = input[..end - 4].iter().map(|byte| char::from(*byte)).collect();
    if text.replace("\r\n", "").contains(['\r', '\n']) {
        return None;
    }
    let mut lines = text.split("\r\n");
    let (is_11, status) = status_line(lines.next()?)?;
    let fields = lines.map(field).collect::<Option<Vec<_>>>()?;
    if fields.len() > LIMITS.fields {
        return None;
    }
    let all = |wanted: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.as_str()).collect()
    };
    let announced = body(&all("content-length"), &all("transfer-encoding"), is_11)?;
    let connection = all("connection").join(",").to_ascii_lowercase();
    let has = |word: &str| connection.split(',').any(|item| item.trim_matches([' ', '\t']) == word);
    let open = !has("close") && (is_11 || has("keep-alive"));
    let (body, keep_alive) = match status {
        100..=199 if announced.has_body() => return None,
        101 => (BodyFraming::None, false),
        204 => (BodyFraming::None, open && !announced.has_body()),
        100..=199 | 304 => (BodyFraming::None, open),
        _ if method == Method::Head => (BodyFraming::None, open),
        _ if announced == BodyFraming::None => (BodyFraming::UntilClose, false),
        _ => (announced, open),
    };
    let bytes = |text: &String| text.chars().map(|letter| letter as u32 as u8).collect::<Vec<_>>();
    let fields = fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
    Some((ResponseStart { head_bytes: end, body, keep_alive }, status, fields))
}

fn status_line(line: &str) -> Option<(bool, u16)> {
    let (is_11, rest) = match line.split_at_checked(9)? {
        ("HTTP/1.1 ", rest) => (true, rest),
        ("HTTP/1.0 ", rest) => (false, rest),
        _ => return None,
    };
    let (digits, reason) = rest.split_at_checked(3)?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_reason = reason.is_empty() || (reason.starts_with(' ') && reason.chars().all(is_text));
    (is_number && is_reason).then(|| digits.parse().ok()).flatten().filter(|s| *s >= 100).map(|s| (is_11, s))
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let is_good = !name.is_empty() && name.chars().all(is_name) && value.chars().all(is_text);
    is_good.then(|| (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn is_text(letter: char) -> bool {
    letter == '\t' || (letter >= ' ' && letter != '\x7f')
}
