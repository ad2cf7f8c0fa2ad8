//! Filter: lets only clients from certain networks in.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Networks, Reply};
use crate::message::{RequestHead, ResponseHead};

/// Which clients are let in, by their address after trusted proxies have been believed. Others get 403.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// Clients that are let in; `None` is all of them, and an empty set none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Networks>,
    /// Clients that are turned away even so.
    #[serde(skip_serializing_if = "Networks::is_empty")]
    pub deny: Networks,
}

impl Access {
    /// Whether a client with this address is let in.
    pub fn lets_in(&self, client: IpAddr) -> bool {
        !self.deny.contains(client) && self.allow.as_ref().is_none_or(|allow| allow.contains(client))
    }

    pub(super) fn request(&self, cx: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        match self.lets_in(cx.client) {
            true => Flow::Next,
            false => Flow::Reply(Reply::refusal(403, "address_denied")),
        }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    #[test]
    fn who_is_denied_stays_out_even_if_allowed() {
        let networks = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Networks>();
        let (office, guest) = (networks(&["192.0.2.0/24"]), networks(&["192.0.2.128/25"]));
        let none = Networks::default();
        // Who is allowed, who is denied, the client, whether it is let in.
        let rows = [
            (None, &none, "198.51.100.1", true),
            (Some(&office), &none, "192.0.2.1", true),
            (Some(&office), &none, "::ffff:192.0.2.1", true),
            (Some(&office), &none, "198.51.100.1", false),
            (Some(&office), &guest, "192.0.2.127", true),
            (Some(&office), &guest, "192.0.2.128", false),
            (None, &guest, "192.0.2.128", false),
            (None, &guest, "198.51.100.1", true),
            (Some(&none), &none, "192.0.2.1", false),
        ];
        for (allow, deny, client, wanted) in rows {
            let access = Access { allow: allow.cloned(), deny: deny.clone() };
            let given = Given::default();
            let cx = FilterContext { client: client.parse().unwrap(), ..given.cx() };
            let flow = access.request(&cx, &mut RequestHead::default());
            let refused = Flow::Reply(Reply::refusal(403, "address_denied"));
            assert_eq!(flow, if wanted { Flow::Next } else { refused }, "{access:?} {client}");
        }
    }

    #[test]
    fn a_set_that_is_not_given_and_an_empty_one_are_told_apart() {
        let closed = Access { allow: Some(Networks::default()), deny: Networks::default() };
        for (access, text) in [(Access::default(), "{}"), (closed, r#"{"allow":[]}"#)] {
            assert_eq!(serde_json::to_string(&access).unwrap(), text);
            assert_eq!(serde_json::from_str::<Access>(text).unwrap(), access);
        }
    }
}
