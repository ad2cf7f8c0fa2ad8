//! The messages around spans: what a collector is sent (`ExportTraceServiceRequest`), and what it answers.

use bytes::Bytes;

use super::span::attribute_text;
use crate::protobuf::{self, Value, find};

/// Name of what writes the spans.
const SCOPE: &str = "selvedge";
/// Its version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The request that sends spans of the service of this name, each in the form of [`super::SpanWriter`].
pub(super) fn request(service: &str, spans: &[Vec<u8>]) -> Bytes {
    let mut resource = Vec::new();
    for (key, value) in [
        ("service.name", service),
        ("service.version", VERSION),
        ("telemetry.sdk.name", SCOPE),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", VERSION),
    ] {
        attribute_text(&mut resource, 1, key, value.as_bytes());
    }
    let mut scope = Vec::new();
    protobuf::bytes(&mut scope, 1, SCOPE.as_bytes());
    protobuf::bytes(&mut scope, 2, VERSION.as_bytes());
    let all_spans: usize = spans.iter().map(|span| protobuf::bytes_length(span.len())).sum();
    let scope_spans = protobuf::bytes_length(scope.len()) + all_spans;
    let resource_spans = protobuf::bytes_length(resource.len()) + protobuf::bytes_length(scope_spans);
    let mut out = Vec::with_capacity(protobuf::bytes_length(resource_spans));
    protobuf::begin(&mut out, 1, resource_spans);
    protobuf::bytes(&mut out, 1, &resource);
    protobuf::begin(&mut out, 2, scope_spans);
    protobuf::bytes(&mut out, 1, &scope);
    spans.iter().for_each(|span| protobuf::bytes(&mut out, 2, span));
    out.into()
}

/// How many spans an answer (`ExportTraceServiceResponse`) says were not taken.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let Some(Value::Bytes(partial)) = find(answer, 1) else { return 0 };
    match find(partial, 1) {
        Some(Value::Number(count)) => count,
        _ => 0,
    }
}

/// The message in the body of an answer of gRPC; empty if there is none that can be read.
pub(super) fn unframed(body: &[u8]) -> &[u8] {
    match body.split_at_checked(5) {
        Some(([0, length @ ..], message)) => {
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            message.get(..length).unwrap_or_default()
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(message: &[u8], field: u64) -> &[u8] {
        let Some(Value::Bytes(inner)) = find(message, field) else { panic!("{field} in {message:?}") };
        inner
    }

    #[test]
    fn spans_lie_in_a_scope_of_a_resource() {
        let spans = vec![vec![7; 300], vec![8, 9]];
        let request = request("edge", &spans);
        let resource_spans = inner(&request, 1);
        let resource = inner(resource_spans, 1);
        assert!(resource.windows(4).any(|text| text == b"edge"));
        let scope_spans = inner(resource_spans, 2);
        assert_eq!(inner(inner(scope_spans, 1), 1), SCOPE.as_bytes());
        assert_eq!(inner(scope_spans, 2), [8, 9]);
        assert!(scope_spans.windows(300).any(|text| text == [7; 300]));
    }

    #[test]
    fn an_answer_may_say_that_spans_were_not_taken() {
        let mut partial = Vec::new();
        protobuf::number(&mut partial, 1, 3);
        protobuf::bytes(&mut partial, 2, b"too old");
        let mut answer = Vec::new();
        protobuf::bytes(&mut answer, 1, &partial);
        assert_eq!(rejected(&answer), 3);
        assert_eq!(rejected(unframed(&protobuf::framed(&answer))), 3);
        for odd in [&b""[..], b"\x0a", b"\x0a\x00", b"\xff\xff\xff", b"\x01\x00\x00\x00\x01\x00"] {
            assert_eq!((rejected(odd), rejected(unframed(odd))), (0, 0), "{odd:?}");
        }
    }
}
