//! What a client makes of the bytes that it received: answers, read strictly.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
};

use crate::message::{Field, Line, LineEnds, Number, line};

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Fields, with names in lower case.
    pub fields: Vec<(String, String)>,
    /// Body, as far as it came.
    pub body: String,
    /// Whether it came to its end.
    pub is_whole: bool,
}

impl Answer {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// All bytes up to the end of the connection, and whether it was reset.
pub fn receive(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut received = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return (received, false),
            Ok(count) => received.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return (received, true),
        }
    }
}

/// Reads answers; `is_head` says of each final one whether it answers HEAD. Bytes that are no answer are an error.
pub fn read(received: &[u8], is_head: impl Fn(usize) -> bool) -> Result<Vec<Answer>, String> {
    let (mut rest, mut all, mut finals) = (received, Vec::new(), 0);
    while !rest.is_empty() {
        let no_answer = || format!("no answer: {}", rest.escape_ascii());
        let (mut answer, after) = head(rest).ok_or_else(no_answer)?;
        rest = after;
        if answer.status >= 200 {
            let has_body = !is_head(finals) && !matches!(answer.status, 204 | 304);
            if has_body {
                rest = body(&mut answer, rest).ok_or_else(|| format!("bad body: {answer:?}"))?;
            } else {
                answer.is_whole = true;
            }
            finals += 1;
        } else {
            answer.is_whole = true;
        }
        all.push(answer);
    }
    Ok(all)
}

fn head(input: &[u8]) -> Option<(Answer, &[u8])> {
    let (first, mut rest) = text(input)?;
    let status = first.strip_prefix(b"HTTP/1.1 ")?.get(..4)?.strip_suffix(b" ")?;
    let status = Number::Digits.read(std::str::from_utf8(status).ok()?, 10)?;
    let mut answer = Answer { status: status as u16, ..Answer::default() };
    loop {
        let (line, after) = text(rest)?;
        rest = after;
        if line.is_empty() {
            return Some((answer, rest));
        }
        let field = Field::read(line).filter(Field::has_good_name)?;
        answer.fields.push((field.name, field.value));
    }
}

fn text(input: &[u8]) -> Option<(&[u8], &[u8])> {
    match line(input, LineEnds::Both) {
        Line::Whole { text, after } => Some((text, after)),
        _ => None,
    }
}

/// Reads a body and gives what follows it; one that breaks off is not whole, and nothing follows.
fn body<'a>(answer: &mut Answer, input: &'a [u8]) -> Option<&'a [u8]> {
    let count = |name: &str| answer.fields.iter().filter(|(field, _)| field == name).count();
    match (count("content-length"), count("transfer-encoding")) {
        (1, 0) => {
            let length = Number::Digits.read(answer.field("content-length")?, 10)? as usize;
            let (taken, rest) = input.split_at(length.min(input.len()));
            answer.is_whole = taken.len() == length;
            answer.body = String::from_utf8_lossy(taken).into_owned();
            Some(rest)
        }
        (0, 1) => {
            let (data, rest) = chunks(input, &mut answer.is_whole)?;
            answer.body = String::from_utf8_lossy(&data).into_owned();
            Some(rest)
        }
        (0, 0) => {
            answer.body = String::from_utf8_lossy(input).into_owned();
            answer.is_whole = true;
            Some(b"")
        }
        _ => None,
    }
}

fn chunks<'a>(input: &'a [u8], is_whole: &mut bool) -> Option<(Vec<u8>, &'a [u8])> {
    let (mut data, mut rest) = (Vec::new(), input);
    loop {
        let Some((size, after)) = text(rest) else { return Some((data, b"")) };
        let size = Number::Digits.read(std::str::from_utf8(size).ok()?, 16)? as usize;
        if size == 0 {
            rest = after;
            while let Some((line, after)) = text(rest) {
                rest = after;
                if line.is_empty() {
                    *is_whole = true;
                    return Some((data, rest));
                }
                Field::read(line).filter(Field::has_good_name)?;
            }
            return Some((data, b""));
        }
        data.extend_from_slice(&after[..size.min(after.len())]);
        if after.len() < size + 2 {
            return Some((data, b""));
        }
        rest = after[size..].strip_prefix(b"\r\n")?;
    }
}
