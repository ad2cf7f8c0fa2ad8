//! Fields in the form that HTTP/2 sends them from: most names and values are those that were sent just before.

use std::cell::RefCell;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::{Fields, Known, KnownSet};

/// Longest name and longest value that are kept for the next message.
const KEPT_BYTES: usize = 64;
/// Places for names that are not known, a power of two.
const OTHER_PLACES: usize = 64;
/// Places for names.
const PLACES: usize = Known::ALL.len() + 1 + OTHER_PLACES;

/// Fields whose values hardly ever come again, or are secrets. The peer is told not to take them into its table
/// (RFC 7541 §6.2.3), so that they push nothing else out of it.
const NEVER_INDEXED: KnownSet = KnownSet::of(&[
    Known::XRequestId,
    Known::GrpcTimeout,
    Known::XForwardedFor,
    Known::XRealIp,
    Known::Forwarded,
    Known::Authorization,
    Known::ProxyAuthorization,
    Known::XSelvedgeToken,
]);
/// Fields whose values are not kept: each is another one, or a secret.
const NEVER_KEPT: KnownSet = KnownSet::of(&[
    Known::XRequestId,
    Known::GrpcTimeout,
    Known::ContentLength,
    Known::Cookie,
    Known::Authorization,
    Known::ProxyAuthorization,
    Known::XSelvedgeToken,
]);

thread_local! {
    static SEEN: RefCell<Seen> = const { RefCell::new(Seen([const { None }; PLACES])) };
}

/// The last field of each name, or of several names that have the same place. What is found here needs neither be
/// checked nor copied; and the tables of all connections hold the same bytes.
struct Seen([Option<(HeaderName, HeaderValue)>; PLACES]);

/// All fields but those of these names. Whatever HTTP/2 has no form for is left out; there is no such field among
/// those that were read.
pub fn header_map(fields: &Fields, but: KnownSet) -> HeaderMap {
    // Room for a length, which some callers add.
    let mut map = HeaderMap::with_capacity(fields.len() + 1);
    SEEN.with_borrow_mut(|seen| {
        for (known, name, value) in fields.iter_known().filter(|(known, ..)| !but.contains(*known)) {
            if let Some((name, value)) = seen.field(known, name, value) {
                map.append(name, value);
            }
        }
    });
    map
}

impl Seen {
    fn field(&mut self, known: Known, name: &[u8], value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
        let place = &mut self.0[place(known, name)];
        let is_same =
            |seen: &HeaderName| known != Known::Other || seen.as_str().as_bytes().eq_ignore_ascii_case(name);
        if let Some((seen_name, seen_value)) = place.as_mut().filter(|(seen, _)| is_same(seen)) {
            if seen_value.as_bytes() == value {
                return Some((seen_name.clone(), seen_value.clone()));
            }
            let value = new_value(known, seen_name, value)?;
            if may_be_kept(known, seen_name, &value) {
                *seen_value = value.clone();
            }
            return Some((seen_name.clone(), value));
        }
        let name = HeaderName::from_bytes(name).ok()?;
        let value = new_value(known, &name, value)?;
        if name.as_str().len() <= KEPT_BYTES && may_be_kept(known, &name, &value) {
            *place = Some((name.clone(), value.clone()));
        } else if known != Known::Other {
            *place = Some((name.clone(), HeaderValue::from_static("")));
        }
        Some((name, value))
    }
}

fn new_value(known: Known, name: &HeaderName, value: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value).ok()?;
    value.set_sensitive(NEVER_INDEXED.contains(known) || name == "traceparent");
    Some(value)
}

fn may_be_kept(known: Known, name: &HeaderName, value: &HeaderValue) -> bool {
    value.len() <= KEPT_BYTES && !NEVER_KEPT.contains(known) && name != http::header::SET_COOKIE
}

/// Where a name has its place: each known one alone, others by their length and three of their bytes, whatever their
/// case.
fn place(known: Known, name: &[u8]) -> usize {
    let (Known::Other, [first, .., last]) = (known, name) else { return known as usize };
    let length = name.len();
    let sum = length * 29
        + usize::from(first | 0x20) * 7
        + usize::from(name[length / 2] | 0x20) * 3
        + usize::from(last | 0x20);
    Known::ALL.len() + 1 + sum % OTHER_PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: &[(&str, &str)], but: KnownSet) -> Vec<(String, String, bool)> {
        let mut fields = Fields::default();
        rows.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        let map = header_map(&fields, but);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        map.iter().map(|(name, value)| (name.to_string(), text(value), value.is_sensitive())).collect()
    }

    #[test]
    fn fields_are_the_same_whatever_was_sent_before() {
        let rows = [
            ("Accept", "*/*"),
            ("x-a", "1"),
            ("Date", "now"),
            ("x", "1"),
            ("X-Request-ID", "7"),
            ("cookie", "a=b"),
        ];
        let wanted = [
            ("accept", "*/*", false),
            ("x-a", "1", false),
            ("date", "now", false),
            ("x", "1", false),
            ("x-request-id", "7", true),
            ("cookie", "a=b", false),
        ];
        let wanted = wanted.map(|(name, value, secret)| (name.to_owned(), value.to_owned(), secret));
        for _ in 0..3 {
            assert_eq!(map(&rows, KnownSet::default()), wanted);
        }
        let other = [("accept", "a"), ("X-A", "1"), ("date", "then"), ("x", "")];
        let wanted = [("accept", "a"), ("x-a", "1"), ("date", "then"), ("x", "")];
        let seen: Vec<_> = map(&other, KnownSet::default()).into_iter().map(|(n, v, _)| (n, v)).collect();
        assert_eq!(seen, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn names_with_the_same_place_are_told_apart() {
        let places: Vec<_> = (0..200).map(|index| format!("x-{index}")).collect();
        for _ in 0..2 {
            for name in &places {
                assert_eq!(map(&[(name, name)], KnownSet::default()), [(name.clone(), name.clone(), false)]);
            }
        }
    }

    #[test]
    fn names_that_are_left_out_and_those_that_cannot_be_sent_are_not_there() {
        let rows = [
            ("te", "trailers"),
            ("Host", "a"),
            ("b", "2"),
            ("", "x"),
            ("c d", "x"),
            ("e", "\u{1}"),
            ("b", "3"),
        ];
        let but = KnownSet::of(&[Known::Te, Known::Host]);
        let wanted = [("b", "2"), ("b", "3")];
        let seen: Vec<_> = map(&rows, but).into_iter().map(|(name, value, _)| (name, value)).collect();
        assert_eq!(seen, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn secrets_are_neither_kept_nor_indexed() {
        let secret = "Bearer s3cret";
        assert!(map(&[("authorization", secret)], KnownSet::default())[0].2);
        map(&[("cookie", secret), ("set-cookie", secret), ("x-selvedge-token", secret)], KnownSet::default());
        SEEN.with_borrow(|seen| {
            assert!(seen.0.iter().flatten().all(|(_, value)| value != secret));
        });
    }
}
