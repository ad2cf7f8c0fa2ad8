//! Filter: turns requests away by the value of a header field.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Reply, SubjectPattern};
use crate::message::{RequestHead, ResponseHead};

/// Values of a header field whose requests get 403. A request without the field passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldBlock {
    /// Name of the field.
    pub name: Arc<str>,
    /// Values that are turned away: those of which some part is a match of one of these.
    pub values: Vec<SubjectPattern>,
}

impl FieldBlock {
    pub(super) fn request(&self, _: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        let name = self.name.as_bytes();
        let mut values = head.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let is_blocked = values.any(|(_, value)| self.values.iter().any(|pattern| pattern.is_match(value)));
        match is_blocked {
            true => Flow::Reply(Reply::refusal(403, "field_denied")),
            false => Flow::Next,
        }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    #[test]
    fn who_sends_a_value_of_the_list_gets_403() {
        let values =
            ["^(?i:bad/1\\.0)$", "(?i:crawler)"].map(|text| SubjectPattern::new(text).unwrap()).to_vec();
        let block = FieldBlock { name: "user-agent".into(), values };
        let rows = [
            (None, false),
            (Some("Mozilla"), false),
            (Some("BAD/1.0"), true),
            (Some("very bad/1.0"), false),
            (Some("my Crawler/2"), true),
        ];
        for (value, wanted) in rows {
            let mut head = RequestHead::default();
            if let Some(value) = value {
                head.fields.push(b"User-Agent", value.as_bytes());
            }
            let flow = block.request(&Given::default().cx(), &mut head);
            assert_eq!(flow != Flow::Next, wanted, "{value:?}");
        }
    }
}
