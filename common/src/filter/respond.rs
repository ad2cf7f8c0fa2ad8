//! Filter: answers every request itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Reply, ReplyBody, ReplyKind};
use crate::message::{RequestHead, ResponseHead};

/// An answer that needs no backend. All clients get it as it is, those of gRPC too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Respond {
    /// Status code from 200 to 599.
    pub status: u16,
    /// Body; not sent where an answer has none (to HEAD, with 204 and 304).
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub body: Arc<str>,
    /// `Content-Type` of the body; plain text in UTF-8 unless it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Arc<str>>,
}

impl Respond {
    pub(super) fn request(&self, _: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        let kind = self.content_type.iter().map(|kind| ("Content-Type", kind.as_bytes().to_vec()));
        Flow::Reply(Reply {
            status: self.status,
            fields: kind.collect(),
            body: ReplyBody::Text(self.body.clone()),
            reason: "respond",
            kind: ReplyKind::Answer,
        })
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    #[test]
    fn the_answer_is_as_configured() {
        let rows = [(None, vec![]), (Some("text/html"), vec![("Content-Type", b"text/html".to_vec())])];
        for (content_type, fields) in rows {
            let respond =
                Respond { status: 418, body: "hi".into(), content_type: content_type.map(Into::into) };
            let flow = respond.request(&Given::default().cx(), &mut RequestHead::default());
            let Flow::Reply(reply) = flow else { panic!("{flow:?}") };
            assert_eq!((reply.status, reply.fields, reply.reason), (418, fields, "respond"));
            assert_eq!((reply.body, reply.kind), (ReplyBody::Text("hi".into()), ReplyKind::Answer));
        }
    }
}
