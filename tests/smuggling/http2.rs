//! Requests over HTTP/2 that would be several, or others, were they written as HTTP/1.1 as they are.
//!
//! A case has lines `field: NAME = VALUE` with the escapes of the corpus. What does not say `base: none` is a GET of
//! `/case` at host `a`, or a POST with `base: post`, and fields of pseudo-headers replace those. `body:` is a frame of
//! DATA, `trailer:` a field behind all of them.

use std::net::{SocketAddr, TcpStream};

use selvedge_tests::http2_frames::{END_HEADERS, END_STREAM, Frame, Frames, encode, field, kind};

use crate::{
    corpus::{self, Case, unescape},
    habits::{self, Request},
    requests::replay_to,
};

/// A field of a head, as bytes that may be anything.
type Field = (Vec<u8>, Vec<u8>);

/// What becomes of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is answered by a backend.
    Served,
    /// It is answered by the proxy, or its stream is reset.
    Refused,
    /// The connection ends.
    Ended,
}

fn cases() -> Vec<Case> {
    corpus::read("http2", &["rfc", "want", "sees", "base", "field", "body", "trailer", "passes"])
}

fn wanted(case: &Case) -> Outcome {
    match case.key("want") {
        "200" => Outcome::Served,
        "refused" => Outcome::Refused,
        "ended" => Outcome::Ended,
        other => panic!("{}: want: {other}", case.name),
    }
}

/// What a backend is to see of a case: method, target and body.
fn wanted_request(case: &Case) -> Option<(String, String, Vec<u8>)> {
    let mut words = case.all("sees").next()?.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    Some((word().to_owned(), word().to_owned(), unescape(word())))
}

fn fields(case: &Case, key: &str) -> Vec<Field> {
    let read = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or_else(|| panic!("{}: {text}", case.name));
        (unescape(name.trim_end()), unescape(value.trim_start()))
    };
    case.all(key).map(read).collect()
}

/// The fields of the head of a case.
fn head(case: &Case) -> Vec<Field> {
    let method = match case.key("base") {
        "none" => return fields(case, "field"),
        "post" => "POST",
        _ => "GET",
    };
    let base = [(":method", method), (":scheme", "http"), (":path", "/case"), (":authority", "a")];
    let mut head: Vec<Field> =
        base.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    for (name, value) in fields(case, "field") {
        match head.iter_mut().find(|(known, _)| *known == name && name.starts_with(b":")) {
            Some((_, old)) => *old = value,
            None => head.push((name, value)),
        }
    }
    head
}

fn block(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    fields.iter().for_each(|(name, value)| field(&mut block, name, value));
    block
}

/// Sends a case on the first stream of a connection, and a plain request on the next one if it goes on.
fn send(proxy: SocketAddr, case: &Case) -> Result<Outcome, String> {
    let mut frames = Frames::connect(proxy, &[]);
    let (bodies, trailers) = (case.all("body").map(unescape), fields(case, "trailer"));
    let bodies: Vec<_> = bodies.collect();
    let ends = |is_last: bool| if is_last { END_STREAM } else { 0 };
    let flags = END_HEADERS | ends(bodies.is_empty() && trailers.is_empty());
    frames.frame(kind::HEADERS, flags, 1, &block(&head(case)));
    // The proxy may have enough of it before the end.
    for (index, body) in bodies.iter().enumerate() {
        let flags = ends(trailers.is_empty() && index + 1 == bodies.len());
        let _ = frames.raw(&encode(kind::DATA, flags, 1, body));
    }
    if !trailers.is_empty() {
        let flags = END_HEADERS | END_STREAM;
        let _ = frames.raw(&encode(kind::HEADERS, flags, 1, &block(&trailers)));
    }
    let outcome = outcome(&mut frames, 1);
    if outcome != Outcome::Ended {
        let behind = [(":method", "GET"), (":scheme", "http"), (":path", "/behind/1"), (":authority", "a")];
        let behind = behind.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        frames.frame(kind::HEADERS, END_HEADERS | END_STREAM, 3, &block(&behind));
        let next = self::outcome(&mut frames, 3);
        if next != Outcome::Served {
            return Err(format!("the next stream was {next:?}"));
        }
    }
    Ok(outcome)
}

/// Reads what comes on a stream to its end.
fn outcome(frames: &mut Frames<TcpStream>, stream: u32) -> Outcome {
    let mut status = None;
    while let Some(frame) = frames.next_of(&[kind::HEADERS, kind::DATA, kind::RST_STREAM, kind::GOAWAY]) {
        let Frame { kind: what, flags, .. } = frame;
        if what == kind::GOAWAY {
            return Outcome::Ended;
        }
        if frame.stream != stream {
            continue;
        }
        if what == kind::HEADERS && status.is_none() {
            status = Some(frame.status());
        }
        if what == kind::RST_STREAM || flags & END_STREAM != 0 {
            break;
        }
    }
    match status {
        Some(Some(200)) => Outcome::Served,
        _ => Outcome::Refused,
    }
}

/// Compares what an origin read on behalf of a case with what the case wants.
fn check_read(case: &Case, read: &[Request]) -> Result<(), String> {
    let behind = ("GET".to_owned(), "/behind/1".to_owned(), Vec::new());
    let follows = (wanted(case) != Outcome::Ended).then_some(behind);
    let all: Vec<_> = wanted_request(case).into_iter().chain(follows).collect();
    let is_same = |request: &Request, (method, target, body): &(String, String, Vec<u8>)| {
        let has_body = request.body.as_ref().is_none_or(|read| read == body);
        (&request.method, &request.target, has_body) == (method, target, true)
    };
    let agrees = read.len() == all.len() && read.iter().zip(&all).all(|(read, wanted)| is_same(read, wanted));
    let trailers: Vec<_> = read.iter().flat_map(|request| request.trailers.clone()).collect();
    let passes: Vec<_> = case.all("passes").map(str::to_owned).collect();
    match agrees && trailers == passes {
        true => Ok(()),
        false => Err(format!("read {read:?}, not {all:?} with trailers {passes:?}")),
    }
}

/// Sends all cases to an origin with these habits.
fn replay(name: &str) {
    let send = |proxy: SocketAddr, case: &Case| {
        let outcome = send(proxy, case)?;
        if outcome == wanted(case) { Ok(()) } else { Err(format!("{outcome:?}")) }
    };
    replay_to(name, &cases(), send, |case, _, read| check_read(case, read));
}

#[test]
fn all_readers_read_what_came_over_http2() {
    let replays = habits::ALL.iter().map(|habits| std::thread::spawn(|| replay(habits.name)));
    let replays: Vec<_> = replays.collect();
    let failed = replays.into_iter().filter_map(|replay| replay.join().err()).count();
    assert_eq!(failed, 0, "readers differ; each panic above says how");
}

#[test]
fn written_as_they_are_most_cases_would_be_something_else() {
    let cases = cases();
    let different = cases.iter().filter(|case| {
        let text: Vec<u8> = as_http1(case);
        let reads = |habits: &habits::Habits| -> Vec<_> {
            habits.all(&text).into_iter().map(|read| (read.method, read.target, read.body)).collect()
        };
        let wanted: Vec<_> = wanted_request(case)
            .into_iter()
            .map(|(method, target, body)| (method, target, Some(body)))
            .collect();
        habits::ALL.iter().any(|habits| reads(habits) != wanted)
    });
    let different = different.count();
    eprintln!("{} cases, {different} of which some reader would take for something else", cases.len());
    assert!(cases.len() >= 60 && different * 2 >= cases.len(), "{different} of {}", cases.len());
}

/// What a proxy without any care would write.
fn as_http1(case: &Case) -> Vec<u8> {
    let head = head(case);
    let of =
        |name: &str| head.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| &value[..]);
    let (method, path) = (of(":method").unwrap_or_default(), of(":path").unwrap_or_default());
    let mut text =
        [method, b" ", path, b" HTTP/1.1\r\nhost: ", of(":authority").unwrap_or_default()].concat();
    for (name, value) in head.iter().filter(|(name, _)| !name.starts_with(b":")) {
        text.extend([b"\r\n", &name[..], b": ", value].concat());
    }
    text.extend_from_slice(b"\r\n\r\n");
    case.all("body").for_each(|body| text.extend(unescape(body)));
    text
}
