//! Filter: lets in who names himself with a password of a list (RFC 7617).

mod crypt;
mod users;

use std::{fmt, sync::Arc};

use base64::{
    Engine,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize};

pub use users::{UserFault, UserProblem, Users};

use super::{Answer, FilterContext, Flow, Networks, Question, Reply};
use crate::message::{Known, RequestHead, ResponseHead};

/// Longest password that is looked at: some hashes take time that grows with it, beyond all measure.
const MOST_PASSWORD_BYTES: usize = 512;

/// Base64 as clients write it, with or without what fills it up.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Who may come in by a password. What the client says of itself never reaches the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// What the client is told it is about, maybe empty.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub realm: Arc<str>,
    /// Those who may.
    pub users: Arc<Users>,
    /// Clients from these networks come in without a password.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub spared: Networks,
}

/// Whether a password is the right one, which takes long to find out.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordQuestion {
    /// Those who may come in.
    pub users: Arc<Users>,
    /// Who the client says it is.
    pub name: Vec<u8>,
    /// Its password.
    pub password: Vec<u8>,
}

impl fmt::Debug for PasswordQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordQuestion({:?})", self.users)
    }
}

impl BasicAuth {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        if self.spared.contains(cx.client) {
            head.fields.remove(Known::Authorization);
            return Flow::Next;
        }
        match credentials(head) {
            Some((name, password)) => {
                let question = PasswordQuestion { users: self.users.clone(), name, password };
                Flow::Ask(Box::new(Question::Password(question)))
            }
            None => Flow::Reply(self.refusal()),
        }
    }

    pub(super) fn answered(&self, answer: &Answer) -> Flow {
        match answer {
            Answer::Password(true) => Flow::Next,
            Answer::Busy => {
                let retry = ("Retry-After", b"1".to_vec());
                Flow::Reply(Reply { fields: vec![retry], ..Reply::refusal(503, "password_busy") })
            }
            _ => Flow::Reply(self.refusal()),
        }
    }

    fn refusal(&self) -> Reply {
        let mut challenge = b"Basic realm=\"".to_vec();
        for byte in self.realm.bytes().filter(|byte| !byte.is_ascii_control()) {
            if matches!(byte, b'"' | b'\\') {
                challenge.push(b'\\');
            }
            challenge.push(byte);
        }
        challenge.push(b'"');
        Reply { fields: vec![("WWW-Authenticate", challenge)], ..Reply::refusal(401, "unauthenticated") }
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

/// Name and password that the client sent; `None` if it sent none, more than once or not in this form.
fn credentials(head: &RequestHead) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut fields = head.fields.all(Known::Authorization);
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let (scheme, rest) = field.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut name = BASE64.decode(rest.trim_ascii()).ok()?;
    let colon = memchr::memchr(b':', &name)?;
    let password = name.split_off(colon + 1);
    name.pop();
    (password.len() <= MOST_PASSWORD_BYTES).then_some((name, password))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    fn filter(realm: &str) -> BasicAuth {
        BasicAuth {
            realm: realm.into(),
            users: Arc::new(Users::parse("foo:{PLAIN}bar").0),
            spared: Networks::default(),
        }
    }

    fn asked(fields: &[&str]) -> Flow {
        let mut head = RequestHead::default();
        fields.iter().for_each(|field| head.fields.push(b"Authorization", field.as_bytes()));
        filter("").request(&Given::default().cx(), &mut head)
    }

    #[test]
    fn a_password_is_asked_about_and_anything_else_is_refused() {
        type Row = (&'static [&'static str], Option<(&'static str, &'static str)>);
        let rows: [Row; 11] = [
            (&["Basic Zm9vOmJhcg=="], Some(("foo", "bar"))),
            (&["basic  Zm9vOmJhcg"], Some(("foo", "bar"))),
            (&["Basic Zm9vOmE6Yg=="], Some(("foo", "a:b"))),
            (&["Basic Og=="], Some(("", ""))),
            (&[], None),
            (&["Basic"], None),
            (&["Basic !!!"], None),
            (&["Basic Zm9v"], None),
            (&["BasicZm9vOmJhcg=="], None),
            (&["Bearer Zm9vOmJhcg=="], None),
            (&["Basic Zm9vOmJhcg==", "Basic Zm9vOmJhcg=="], None),
        ];
        for (fields, wanted) in rows {
            match (asked(fields), wanted) {
                (Flow::Ask(question), Some((name, password))) => {
                    let Question::Password(question) = *question else { panic!("{question:?}") };
                    assert_eq!(
                        (&*question.name, &*question.password),
                        (name.as_bytes(), password.as_bytes())
                    );
                }
                (Flow::Reply(reply), None) => assert_eq!(reply.status, 401, "{fields:?}"),
                (flow, _) => panic!("{fields:?}: {flow:?}"),
            }
        }
    }

    #[test]
    fn who_is_spared_needs_no_password_and_shows_none_to_the_backend() {
        for (network, wanted) in [("192.0.2.0/24", true), ("198.51.100.0/24", false)] {
            let spared = Networks::from_iter([network.parse().unwrap()]);
            let mut head = RequestHead::default();
            head.fields.push(b"Authorization", b"Basic !!!");
            let flow = BasicAuth { spared, ..filter("") }.request(&Given::default().cx(), &mut head);
            assert_eq!(flow == Flow::Next, wanted, "{network}");
            assert_eq!(head.fields.contains(Known::Authorization), !wanted);
        }
    }

    #[test]
    fn an_endless_password_is_never_the_right_one() {
        let field = |length: usize| format!("Basic {}", BASE64.encode(format!("foo:{}", "a".repeat(length))));
        assert!(matches!(asked(&[&field(512)]), Flow::Ask(_)));
        assert!(matches!(asked(&[&field(513)]), Flow::Reply(_)));
    }

    #[test]
    fn only_the_right_password_lets_in() {
        let rows =
            [(Answer::Password(true), None), (Answer::Password(false), Some(401)), (Answer::Busy, Some(503))];
        for (answer, wanted) in rows {
            let status = match filter("").answered(&answer) {
                Flow::Next => None,
                Flow::Reply(reply) => Some(reply.status),
                flow => panic!("{flow:?}"),
            };
            assert_eq!(status, wanted, "{answer:?}");
        }
    }

    #[test]
    fn the_realm_is_quoted() {
        let rows = [
            ("", "Basic realm=\"\""),
            ("Who goes there", "Basic realm=\"Who goes there\""),
            ("a\"b\\\n", "Basic realm=\"a\\\"b\\\\\""),
        ];
        for (realm, wanted) in rows {
            let reply = filter(realm).refusal();
            assert_eq!(reply.fields, [("WWW-Authenticate", wanted.as_bytes().to_vec())]);
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", asked(&["Basic Zm9vOmJhcg=="]));
        assert!(!shown.contains("bar") && !shown.contains("98, 97"), "{shown}");
    }
}
