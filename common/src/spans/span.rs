//! A span in the form that it is sent in (`opentelemetry.proto.trace.v1.Span`), written field by field.

use std::time::{Duration, SystemTime};

use super::TraceContext;
use crate::protobuf;

/// Longest value of an attribute; what is longer is cut.
const MOST_VALUE_BYTES: usize = 1024;
/// Room that most spans have enough of.
const USUAL_BYTES: usize = 1024;

/// The kind of a span: one that serves a request.
const SERVER: u64 = 2;
/// The status of a span: it failed.
const ERROR: u64 = 2;
/// It is known whether the parent is that of another process, and it is (`SpanFlags`).
const REMOTE: u32 = 0x300;

/// A span that is being written.
pub struct SpanWriter {
    out: Vec<u8>,
}

impl SpanWriter {
    /// Begins the span of a request: its own context, and the span that it was made in, if there is one.
    pub fn new(own: &TraceContext, parent: Option<u64>) -> Self {
        let mut out = Vec::with_capacity(USUAL_BYTES);
        protobuf::bytes(&mut out, 1, &own.trace_id.to_be_bytes());
        protobuf::bytes(&mut out, 2, &own.span_id.to_be_bytes());
        if let Some(parent) = parent {
            protobuf::bytes(&mut out, 4, &parent.to_be_bytes());
        }
        protobuf::number(&mut out, 6, SERVER);
        let remote = if parent.is_some() { REMOTE } else { 0 };
        protobuf::fixed32(&mut out, 16, u32::from(own.is_sampled) | remote);
        Self { out }
    }

    /// What it is called.
    pub fn name(&mut self, name: &[u8]) {
        protobuf::bytes(&mut self.out, 5, text(name).as_bytes());
    }

    /// When it began and how long it took.
    pub fn time(&mut self, begin: SystemTime, duration: Duration) {
        let begin = begin.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        protobuf::fixed64(&mut self.out, 7, nanos(begin));
        protobuf::fixed64(&mut self.out, 8, nanos(begin.saturating_add(duration)));
    }

    /// Adds an attribute that is a text; what is no UTF-8 in it is replaced.
    pub fn text(&mut self, key: &str, value: &[u8]) {
        attribute_text(&mut self.out, 9, key, text(value).as_bytes());
    }

    /// Adds an attribute that is a number.
    pub fn number(&mut self, key: &str, value: u64) {
        let value_length = 1 + protobuf::varint_length(value);
        begin_attribute(&mut self.out, 9, key, value_length);
        protobuf::number(&mut self.out, 3, value);
    }

    /// Says that it failed, and why in a word.
    pub fn fail(&mut self, why: &str) {
        let message = if why.is_empty() { 0 } else { protobuf::bytes_length(why.len()) };
        protobuf::begin(&mut self.out, 15, message + 2);
        if !why.is_empty() {
            protobuf::bytes(&mut self.out, 2, why.as_bytes());
        }
        protobuf::number(&mut self.out, 3, ERROR);
    }

    /// The span as it is sent.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Appends an attribute (`KeyValue`) that is a text, as this field of a message.
pub(super) fn attribute_text(out: &mut Vec<u8>, field: u64, key: &str, value: &[u8]) {
    begin_attribute(out, field, key, protobuf::bytes_length(value.len()));
    protobuf::bytes(out, 1, value);
}

/// What comes before the one field of its value, which has this length.
fn begin_attribute(out: &mut Vec<u8>, field: u64, key: &str, value_length: usize) {
    let length = protobuf::bytes_length(key.len()) + protobuf::bytes_length(value_length);
    protobuf::begin(out, field, length);
    protobuf::bytes(out, 1, key.as_bytes());
    protobuf::begin(out, 2, value_length);
}

/// A value as text of bounded length.
fn text(value: &[u8]) -> std::borrow::Cow<'_, str> {
    let cut = &value[..value.len().min(MOST_VALUE_BYTES)];
    match std::str::from_utf8(cut) {
        Ok(text) => text.into(),
        // Cut within a character.
        Err(error) if error.error_len().is_none() && cut.len() < value.len() => {
            String::from_utf8_lossy(&cut[..error.valid_up_to()])
        }
        Err(_) => String::from_utf8_lossy(cut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::{Value, find};

    const OWN: TraceContext = TraceContext { trace_id: 0x0102, span_id: 0x0304, is_sampled: true };

    #[test]
    fn a_span_has_each_field_where_the_definition_has_it() {
        let mut span = SpanWriter::new(&OWN, Some(5));
        span.name(b"GET /");
        span.time(SystemTime::UNIX_EPOCH + Duration::from_secs(1), Duration::from_nanos(7));
        span.text("k", b"v");
        span.number("n", 200);
        span.fail("connect");
        let wire = span.finish();
        // Field by field as `trace.proto` numbers them.
        let mut wanted = vec![0x0a, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2];
        wanted.extend([0x12, 8, 0, 0, 0, 0, 0, 0, 3, 4, 0x22, 8, 0, 0, 0, 0, 0, 0, 0, 5]);
        wanted.extend([0x30, 2, 0x85, 0x01, 1, 3, 0, 0]);
        wanted.extend(b"\x2a\x05GET /");
        wanted.extend([0x39, 0, 0xca, 0x9a, 0x3b, 0, 0, 0, 0, 0x41, 7, 0xca, 0x9a, 0x3b, 0, 0, 0, 0]);
        wanted.extend(b"\x4a\x08\x0a\x01k\x12\x03\x0a\x01v");
        wanted.extend(b"\x4a\x08\x0a\x01n\x12\x03\x18\xc8\x01");
        wanted.extend(b"\x7a\x0b\x12\x07connect\x18\x02");
        assert_eq!(wire, wanted);
    }

    #[test]
    fn values_are_text_of_bounded_length_whatever_came() {
        let value = |bytes: &[u8]| {
            let mut span = SpanWriter::new(&OWN, None);
            span.text("k", bytes);
            let wire = span.finish();
            let (Some(Value::Bytes(pair)), None) = (find(&wire, 9), find(&wire, 4)) else {
                panic!("{wire:?}")
            };
            let Some(Value::Bytes(any)) = find(pair, 2) else { panic!("{pair:?}") };
            let Some(Value::Bytes(text)) = find(any, 1) else { panic!("{any:?}") };
            String::from_utf8(text.to_vec()).unwrap()
        };
        assert_eq!(value(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(value(&[b'a'; 5000]), "a".repeat(MOST_VALUE_BYTES));
        let cut = value("é".repeat(2000).as_bytes());
        assert_eq!(cut, "é".repeat(MOST_VALUE_BYTES / 2));
        assert_eq!(value(format!("a{}", "é".repeat(2000)).as_bytes()).len(), MOST_VALUE_BYTES - 1);
        assert_eq!(value(b""), "");
    }
}
