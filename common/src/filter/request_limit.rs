//! Filter: bounds how many requests of one client are being served at once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Networks, Template};
use crate::message::{RequestHead, ResponseHead};

/// Most requests of one client that are being served at once. A further one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLimit {
    /// Names what is counted: limits with the same id count together.
    pub id: Arc<str>,
    /// Most at once; 0 allows none.
    pub most: u32,
    /// What of a request it is counted by; those where that is empty are not counted. `None` is the address of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
    /// Clients that are not counted.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub except: Networks,
    /// Status of the answer to a request that is refused.
    pub status: u16,
}

impl RequestLimit {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        if self.except.contains(cx.client) {
            return Flow::Next;
        }
        let key = self.key.as_ref().map(|key| {
            let mut text = Vec::new();
            key.render((cx, head), &[], &mut text);
            text
        });
        match key.as_ref().is_some_and(Vec::is_empty) {
            true => Flow::Next,
            false => Flow::Count { id: self.id.clone(), key, most: self.most, status: self.status },
        }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    #[test]
    fn clients_are_counted_unless_they_are_left_out() {
        let except = ["192.0.2.0/24".parse().unwrap()].into_iter().collect();
        let limit = RequestLimit { id: "a".into(), most: 1, key: None, except, status: 503 };
        let given = Given::default();
        for (client, passes) in [("192.0.2.1", true), ("::ffff:192.0.2.1", true), ("198.51.100.1", false)] {
            let cx = FilterContext { client: client.parse().unwrap(), ..given.cx() };
            let flow = limit.request(&cx, &mut RequestHead::default());
            let counted = Flow::Count { id: "a".into(), key: None, most: 1, status: 503 };
            assert_eq!(flow, if passes { Flow::Next } else { counted }, "{client}");
        }
    }

    #[test]
    fn what_is_empty_is_not_counted() {
        let key = Some(Template::parse("$http_x_user").unwrap());
        let limit = RequestLimit { id: "a".into(), most: 1, key, except: Networks::default(), status: 503 };
        for (user, wanted) in [(None, None), (Some(""), None), (Some("mia"), Some(b"mia".to_vec()))] {
            let mut head = RequestHead::default();
            if let Some(user) = user {
                head.fields.push(b"X-User", user.as_bytes());
            }
            let counted = |key| Flow::Count { id: "a".into(), key: Some(key), most: 1, status: 503 };
            assert_eq!(limit.request(&Given::default().cx(), &mut head), wanted.map_or(Flow::Next, counted));
        }
    }
}
