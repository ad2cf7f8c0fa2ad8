//! Filter: bounds how many requests of one client are being served at once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Networks};
use crate::message::{RequestHead, ResponseHead};

/// Most requests of one address that are being served at once. A further one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLimit {
    /// Names what is counted: limits with the same id count together.
    pub id: Arc<str>,
    /// Most at once; 0 allows none.
    pub most: u32,
    /// Clients that are not counted.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub except: Networks,
    /// Status of the answer to a request that is refused.
    pub status: u16,
}

impl RequestLimit {
    pub(super) fn request(&self, cx: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        match self.except.contains(cx.client) {
            true => Flow::Next,
            false => self.count(),
        }
    }

    fn count(&self) -> Flow {
        Flow::Count { id: self.id.clone(), most: self.most, status: self.status }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    #[test]
    fn clients_are_counted_unless_they_are_left_out() {
        let except = ["192.0.2.0/24".parse().unwrap()].into_iter().collect();
        let limit = RequestLimit { id: "a".into(), most: 1, except, status: 503 };
        let given = Given::default();
        for (client, passes) in [("192.0.2.1", true), ("::ffff:192.0.2.1", true), ("198.51.100.1", false)] {
            let cx = FilterContext { client: client.parse().unwrap(), ..given.cx() };
            let flow = limit.request(&cx, &mut RequestHead::default());
            let counted = Flow::Count { id: "a".into(), most: 1, status: 503 };
            assert_eq!(flow, if passes { Flow::Next } else { counted }, "{client}");
        }
    }
}
