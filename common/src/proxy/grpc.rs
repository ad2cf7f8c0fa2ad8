//! gRPC: how the proxy's own failures are told to clients that look for a `grpc-status` and at nothing else.

use std::borrow::Cow;

use crate::message::{Fields, Known, RequestHead, ResponseHead};

/// Whether a request is one of gRPC, by its content type. That of gRPC-Web is another protocol.
pub fn is_grpc(head: &RequestHead) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let value = head.fields.get(Known::ContentType).unwrap_or_default();
    let Some((start, rest)) = value.split_at_checked(TYPE.len()) else { return false };
    start.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Makes an answer of our own one of gRPC: status 200 with what went wrong in `grpc-status` and `grpc-message`
/// ("Trailers-Only" of gRPC over HTTP/2). It has no body. `code` is the status of gRPC, if it is not the one that
/// says the same as that of HTTP.
pub fn write_failure((status, code): (u16, Option<u8>), reason: &str, head: &mut ResponseHead) {
    head.status = 200;
    let mut buffer = itoa::Buffer::new();
    let code = code.map_or(grpc_status(status), |code| buffer.format(code));
    let fields: &mut Fields = &mut head.fields;
    fields.push(b"content-type", b"application/grpc");
    fields.push(b"grpc-status", code.as_bytes());
    fields.push(b"grpc-message", message(reason).as_bytes());
}

/// The status of gRPC that says the same as one of HTTP.
fn grpc_status(status: u16) -> &'static str {
    match status {
        400 | 417 | 505 | 508 => "13", // INTERNAL: a bad request of the client's library, or one in a circle.
        401 => "16",                   // UNAUTHENTICATED
        403 => "7",                    // PERMISSION_DENIED
        404 | 405 => "12",             // UNIMPLEMENTED
        408 | 504 => "4",              // DEADLINE_EXCEEDED
        413 | 414 | 431 => "8",        // RESOURCE_EXHAUSTED
        421 | 429 | 502 | 503 => "14", // UNAVAILABLE: may be tried again.
        _ => "2",                      // UNKNOWN
    }
}

/// A reason in words; reasons hold no byte that would have to be escaped.
fn message(reason: &str) -> Cow<'_, str> {
    match reason.contains('_') {
        true => Cow::Owned(reason.replace('_', " ")),
        false => Cow::Borrowed(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_grpc_are_told_by_their_content_type() {
        let rows: [(&[u8], bool); 9] = [
            (b"application/grpc", true),
            (b"Application/gRPC", true),
            (b"application/grpc+proto", true),
            (b"application/grpc; charset=utf-8", true),
            (b"application/grpc-web", false),
            (b"application/grpc-web+proto", false),
            (b"application/grp", false),
            (b"application/json", false),
            (b"", false),
        ];
        for (value, wanted) in rows {
            let mut head = RequestHead::default();
            head.fields.push(b"content-type", value);
            assert_eq!(is_grpc(&head), wanted, "{}", String::from_utf8_lossy(value));
        }
        assert!(!is_grpc(&RequestHead::default()));
    }

    #[test]
    fn a_failure_is_told_in_fields_alone() {
        let rows = [(503, "14"), (504, "4"), (404, "12"), (403, "7"), (500, "2"), (400, "13"), (508, "13")];
        for (status, wanted) in rows {
            let mut head = ResponseHead::default();
            write_failure((status, None), "no_endpoint", &mut head);
            assert_eq!(head.status, 200);
            assert_eq!(head.fields.get_by_name("grpc-status"), Some(wanted.as_bytes()), "{status}");
            assert_eq!(head.fields.get_by_name("grpc-message"), Some(&b"no endpoint"[..]));
        }
        let mut head = ResponseHead::default();
        write_failure((503, Some(8)), "fault_abort", &mut head);
        assert_eq!(head.fields.get_by_name("grpc-status"), Some(&b"8"[..]));
    }
}
