//! Conditions of a route, compiled: whether a request is as they want it.

use std::{borrow::Cow, cmp::Reverse, iter, sync::Arc};

use regex::bytes::Regex;

use crate::{
    message::{Fields, RequestHead, pattern},
    model::{Caller, CallerMatch, Conditions, ValueMatch},
};

/// What of a request is looked at beside its host and path.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// Who calls, if that is known.
    pub caller: Option<&'a Caller>,
}

/// The conditions of a route, of which at least one is given.
#[derive(Debug)]
pub(super) struct Compiled {
    methods: Vec<Arc<str>>,
    headers: Vec<(Arc<str>, Value)>,
    query: Vec<(Arc<str>, Value)>,
    from: Vec<CallerMatch>,
}

/// What a value must be.
#[derive(Debug)]
enum Value {
    Exact(Arc<str>),
    Regex(Regex),
    Present,
    Absent,
    /// A pattern that cannot be used, which matches nothing.
    Never,
}

/// Orders routes of the same path: one that wants more of a request is asked first. One that names methods, then the
/// one with more conditions on header fields, then with more on the query, then one that names callers.
pub(super) fn order(conditions: &Conditions) -> impl Ord {
    let Conditions { methods, headers, query, from } = conditions;
    Reverse((!methods.is_empty(), headers.len(), query.len(), !from.is_empty()))
}

impl Compiled {
    /// `None` if there are no conditions.
    pub(super) fn new(conditions: &Conditions) -> Option<Self> {
        if conditions.is_empty() {
            return None;
        }
        let headers =
            conditions.headers.iter().map(|header| (header.name.clone(), Value::new(&header.value)));
        let query = conditions.query.iter().map(|query| (query.name.clone(), Value::new(&query.value)));
        Some(Self {
            methods: conditions.methods.clone(),
            headers: headers.collect(),
            query: query.collect(),
            from: conditions.from.clone(),
        })
    }

    /// Whether all of them hold.
    pub(super) fn hold(&self, asked: &Asked<'_>) -> bool {
        let Asked { head, caller } = *asked;
        let is_method = |method: &Arc<str>| method.as_bytes() == head.method_name();
        (self.methods.is_empty() || self.methods.iter().any(is_method))
            && self.headers.iter().all(|(name, value)| header_holds(&head.fields, name, value))
            && self.query.iter().all(|(name, value)| query_holds(head.query(), name, value))
            && (self.from.is_empty()
                || caller.is_some_and(|caller| self.from.iter().any(|one| is_one(one, caller))))
    }
}

impl Value {
    fn new(value: &ValueMatch) -> Self {
        match value {
            ValueMatch::Exact(text) => Self::Exact(text.clone()),
            ValueMatch::Regex(text) => pattern::compile_whole(text).map_or(Self::Never, Self::Regex),
            ValueMatch::Present => Self::Present,
            ValueMatch::Absent => Self::Absent,
        }
    }

    /// Whether a value, or that there is none, is as it must be.
    fn holds(&self, found: Option<&[u8]>) -> bool {
        match (self, found) {
            (Self::Absent, found) => found.is_none(),
            (_, None) | (Self::Never, _) => false,
            (Self::Present, _) => true,
            (Self::Exact(text), Some(value)) => text.as_bytes() == value,
            (Self::Regex(regex), Some(value)) => regex.is_match(value),
        }
    }
}

/// Several fields of a name are one list (RFC 9110 §5.3); those of `Cookie` are joined as RFC 9113 §8.2.3 says.
fn header_holds(fields: &Fields, name: &str, value: &Value) -> bool {
    let mut all = fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
    let Some((_, first)) = all.next() else { return value.holds(None) };
    let Some((_, second)) = all.next() else { return value.holds(Some(first)) };
    let separator: &[u8] = if name.eq_ignore_ascii_case("cookie") { b"; " } else { b"," };
    let mut whole = first.to_vec();
    for more in iter::once(second).chain(all.map(|(_, value)| value)) {
        whole.extend_from_slice(separator);
        whole.extend_from_slice(more);
    }
    value.holds(Some(&whole))
}

fn query_holds(query: Option<&[u8]>, name: &str, value: &Value) -> bool {
    let pairs = query.unwrap_or_default().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let found = pairs.map(split_pair).find(|(key, _)| decoded(key).eq(name.bytes()));
    value.holds(found.map(|(_, text)| whole_decoded(text)).as_deref())
}

/// A parameter without `=` has an empty value.
fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

/// A text that mostly has nothing to decode.
fn whole_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr2(b'%', b'+', text) {
        Some(_) => decoded(text).collect(),
        None => text.into(),
    }
}

/// The bytes of a text of `application/x-www-form-urlencoded`; what is no escape stands for itself.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(match first {
            b'+' => b' ',
            b'%' => match escaped(after) {
                Some((byte, after)) => {
                    rest = after;
                    byte
                }
                None => b'%',
            },
            byte => *byte,
        })
    })
}

/// The byte that two digits stand for, and what follows them.
fn escaped(digits: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], rest) = digits.split_first_chunk::<2>().map(|(two, rest)| (*two, rest))?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(high)? << 4 | digit(low)?;
    Some((u8::try_from(byte).ok()?, rest))
}

fn is_one(wanted: &CallerMatch, caller: &Caller) -> bool {
    let is =
        |wanted: &Option<Arc<str>>, found: &Arc<str>| wanted.as_ref().is_none_or(|wanted| wanted == found);
    is(&wanted.namespace, &caller.namespace) && is(&wanted.service_account, &caller.service_account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldMatch, QueryMatch};

    fn exact(text: &str) -> ValueMatch {
        ValueMatch::Exact(text.into())
    }

    fn regex(text: &str) -> ValueMatch {
        ValueMatch::Regex(text.into())
    }

    fn holds(conditions: &Conditions, head: &RequestHead, caller: Option<&Caller>) -> bool {
        Compiled::new(conditions).is_none_or(|compiled| compiled.hold(&Asked { head, caller }))
    }

    #[test]
    fn methods_are_compared_in_their_case_even_unknown_ones() {
        let conditions = Conditions { methods: vec!["GET".into(), "PURGE".into()], ..Conditions::default() };
        for (method, wanted) in
            [("GET", true), ("PURGE", true), ("get", false), ("HEAD", false), ("POST", false)]
        {
            let mut head = RequestHead::default();
            head.set_method(method.as_bytes());
            assert_eq!(holds(&conditions, &head, None), wanted, "{method}");
        }
    }

    #[test]
    fn header_fields_of_one_name_are_one_value() {
        type Row = (&'static str, ValueMatch, &'static [(&'static str, &'static str)], bool);
        let rows: [Row; 12] = [
            ("x-a", exact("1"), &[("X-A", "1")], true),
            ("X-A", exact("1"), &[("x-a", "1")], true),
            ("x-a", exact("1"), &[("x-a", "1"), ("x-a", "2")], false),
            ("x-a", exact("1,2,3"), &[("x-a", "1"), ("x-b", "9"), ("X-A", "2"), ("x-a", "3")], true),
            ("Cookie", exact("a=b; c=d"), &[("cookie", "a=b"), ("cookie", "c=d")], true),
            ("x-a", regex("[0-9]+"), &[("x-a", "12")], true),
            ("x-a", regex("[0-9]+"), &[("x-a", "12a")], false),
            ("x-a", regex("("), &[("x-a", "(")], false),
            ("x-a", ValueMatch::Present, &[("x-a", "")], true),
            ("x-a", ValueMatch::Present, &[], false),
            ("x-a", ValueMatch::Absent, &[("x-b", "1")], true),
            ("x-a", ValueMatch::Absent, &[("x-a", "")], false),
        ];
        for (name, value, fields, wanted) in rows {
            let mut head = RequestHead::default();
            fields.iter().for_each(|(name, value)| head.fields.push(name.as_bytes(), value.as_bytes()));
            let conditions = Conditions {
                headers: vec![FieldMatch { name: name.into(), value }],
                ..Conditions::default()
            };
            assert_eq!(holds(&conditions, &head, None), wanted, "{conditions:?} {fields:?}");
        }
    }

    #[test]
    fn parameters_are_compared_decoded_and_the_first_of_a_name_counts() {
        let rows = [
            ("a", exact("1"), Some("a=1"), true),
            ("a", exact("1"), Some("b=2&a=1&a=2"), true),
            ("a", exact("2"), Some("a=1&a=2"), false),
            ("a b", exact("c&d=e"), Some("a+b=c%26d%3De"), true),
            ("a", exact("%zz%4"), Some("a=%zz%4"), true),
            ("a", exact(""), Some("a"), true),
            ("a", exact(""), Some("&&a=&"), true),
            ("a", regex("x+"), Some("a=xx"), true),
            ("a", regex("x+"), Some("a=%78%78y"), false),
            ("a", ValueMatch::Present, Some("aa=1"), false),
            ("a", ValueMatch::Present, None, false),
            ("a", ValueMatch::Absent, None, true),
            ("a", ValueMatch::Absent, Some("%61"), false),
        ];
        for (name, value, query, wanted) in rows {
            let mut head = RequestHead::default();
            head.set_query(query.map(str::as_bytes));
            let conditions =
                Conditions { query: vec![QueryMatch { name: name.into(), value }], ..Conditions::default() };
            assert_eq!(holds(&conditions, &head, None), wanted, "{conditions:?} {query:?}");
        }
    }

    #[test]
    fn a_caller_is_one_of_those_that_are_named_and_nobody_if_it_is_not_known() {
        let caller = |namespace: Option<&str>, account: Option<&str>| CallerMatch {
            namespace: namespace.map(Into::into),
            service_account: account.map(Into::into),
        };
        let rows = [
            (vec![caller(Some("web"), Some("front"))], true, false),
            (vec![caller(Some("web"), None)], true, false),
            (vec![caller(None, Some("front"))], true, false),
            (vec![caller(Some("shop"), Some("front"))], false, false),
            (vec![caller(Some("shop"), None), caller(Some("web"), None)], true, false),
            (vec![caller(None, None)], true, false),
            (vec![], true, true),
        ];
        for (from, known, unknown) in rows {
            let conditions = Conditions { from, ..Conditions::default() };
            let (head, caller) = (RequestHead::default(), Caller::new("web", "front"));
            assert_eq!(holds(&conditions, &head, Some(&caller)), known, "{conditions:?}");
            assert_eq!(holds(&conditions, &head, None), unknown, "{conditions:?}");
        }
    }
}
