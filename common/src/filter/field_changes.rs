//! Changes of header fields, as filters for requests and for answers make them, and what may be changed at all.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::message::{Fields, Known, KnownSet, scan::text_length, token::is_token};

/// Changes of header fields: first some go, then some are set, then some are added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldChanges {
    /// Fields that take the place of all of their name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Field>,
    /// Fields that come beside those of their name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Field>,
    /// Names of fields that go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Arc<str>>,
}

/// A header field. Its value may be a secret and is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Name, sent in the case it has here.
    pub name: Arc<str>,
    /// Value.
    pub value: Arc<str>,
}

impl FieldChanges {
    /// Changes fields.
    pub(super) fn apply(&self, fields: &mut Fields) {
        if !self.remove.is_empty() || !self.set.is_empty() {
            fields.retain(|_, name, _| {
                let same = |other: &Arc<str>| other.as_bytes().eq_ignore_ascii_case(name);
                !self.remove.iter().any(same) && !self.set.iter().any(|field| same(&field.name))
            });
        }
        for Field { name, value } in self.set.iter().chain(&self.add) {
            fields.push(name.as_bytes(), value.as_bytes());
        }
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Checks the name of a field that a user wants to change, in whatever direction.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.starts_with(':') {
        return Err(format!("{name} is no header field; rewrite path and host instead"));
    }
    check_token(name)?;
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("x-selvedge-") && lower != "x-selvedge-service" {
        return Err(format!("{name} is a field that only the proxy sets; choose another name"));
    }
    match Known::of(name.as_bytes()) {
        Known::Host => Err(format!("{name} is not changed as a header field; rewrite the host instead")),
        Known::ContentLength | Known::Trailer | Known::Expect | Known::Via => {
            Err(format!("{name} is the proxy's own business and cannot be changed"))
        }
        known if KnownSet::HOP_BY_HOP.contains(known) => {
            Err(format!("{name} concerns one connection only, which is the proxy's own business"))
        }
        _ => Ok(()),
    }
}

/// Checks whether a text can be the name of a field at all (RFC 9110 §5.6.2).
///
/// # Errors
/// When it cannot: what it may be made of.
pub fn check_token(name: &str) -> Result<(), String> {
    match is_token(name.as_bytes()) {
        true => Ok(()),
        false => Err(format!("{name:?} is no name of a header field; it may hold letters, digits and '-'")),
    }
}

/// Checks the value of a field that a user wants to send (RFC 9110 §5.5).
///
/// # Errors
/// When it cannot be sent: what is wrong with it. The value is not told.
pub fn check_value(value: &str) -> Result<(), String> {
    if text_length(value.as_bytes()) < value.len() {
        return Err("the value holds a control character, such as the end of a line".into());
    }
    match value.trim_matches([' ', '\t']) == value {
        true => Ok(()),
        false => Err("the value begins or ends with a space".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> Field {
        Field { name: name.into(), value: value.into() }
    }

    #[test]
    fn fields_go_are_set_and_are_added_in_this_order() {
        let changes = FieldChanges {
            set: vec![field("X-A", "new"), field("x-gone", "back")],
            add: vec![field("x-b", "2"), field("x-a", "more")],
            remove: vec!["X-GONE".into(), "cookie".into(), "x-missing".into()],
        };
        let mut fields = Fields::default();
        for (name, value) in
            [("x-a", "1"), ("Cookie", "c"), ("x-b", "1"), ("x-A", "2"), ("x-gone", "y"), ("x-c", "1")]
        {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        changes.apply(&mut fields);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let all: Vec<_> = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
        let wanted = [("x-b", "1"), ("x-c", "1"), ("X-A", "new"), ("x-gone", "back"), ("x-b", "2")];
        let wanted = wanted.into_iter().chain([("x-a", "more")]);
        assert_eq!(all, wanted.map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>());
    }

    #[test]
    fn names_that_the_proxy_needs_cannot_be_changed() {
        for name in ["x-a", "Authorization", "cookie", "X-Selvedge-Service", "server", "content-type"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let refused = [
            "",
            "a b",
            "a:b",
            "ä",
            ":path",
            ":authority",
            "Host",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "keep-alive",
            "Upgrade",
            "te",
            "trailer",
            "proxy-connection",
            "via",
            "expect",
            "X-Selvedge-Reason",
            "x-selvedge-anything",
        ];
        for name in refused {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn values_hold_no_control_character() {
        for value in ["", "a", "a\tb c", "ä", "\"q\""] {
            assert_eq!(check_value(value), Ok(()), "{value:?}");
        }
        for value in ["a\r\nb: c", "a\nb", "\0", "\x7f", " a", "a "] {
            assert!(check_value(value).is_err(), "{value:?}");
        }
    }
}
