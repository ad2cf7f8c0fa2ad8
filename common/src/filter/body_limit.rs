//! Filter: turns requests away whose body is too large.

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Reply};
use crate::message::{Known, RequestHead, ResponseHead};

/// The largest body of a request. One that says that it is larger is answered 413 at once; one that does not say how
/// large it is, as soon as it is larger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyLimit {
    /// The size; 0 is no limit.
    pub bytes: u64,
}

impl BodyLimit {
    pub(super) fn request(&self, _: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        // Whoever read the head has checked that it is a number.
        let length = head.fields.get(Known::ContentLength);
        let length = length.and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
        match length.is_some_and(|length| self.bytes > 0 && length > self.bytes) {
            true => Flow::Reply(Reply::refusal(413, "body_too_large")),
            false => Flow::Next,
        }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    #[test]
    fn a_length_above_the_limit_is_refused() {
        let rows = [
            (1024, Some("1024"), true),
            (1024, Some("1025"), false),
            (1024, Some("0"), true),
            (1024, None, true),
            (0, Some("18446744073709551615"), true),
        ];
        for (bytes, length, passes) in rows {
            let mut head = RequestHead::default();
            length.iter().for_each(|length| head.fields.push(b"content-length", length.as_bytes()));
            let flow = BodyLimit { bytes }.request(&Given::default().cx(), &mut head);
            let refused = Flow::Reply(Reply::refusal(413, "body_too_large"));
            assert_eq!(flow, if passes { Flow::Next } else { refused }, "{bytes} {length:?}");
        }
    }
}
