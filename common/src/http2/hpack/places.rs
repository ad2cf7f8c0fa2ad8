//! A place for each name that is sent: those that are known and those of the static table have one of their own.

use super::{
    Name,
    encoder::Pseudo,
    static_table::{ENTRIES, STATIC},
};
use crate::message::{Known, KnownSet};

/// Places for names that are not known, a power of two.
const OTHERS: usize = 64;
/// The first place for names that are not known.
const FIRST_OTHER: usize = FIRST_KNOWN + Known::ALL.len() + 1;
/// The place of [`Known::Other`], which is of no use; those of known names follow.
const FIRST_KNOWN: usize = Pseudo::ALL.len();
/// Places for all names.
pub(super) const PLACES: usize = FIRST_OTHER + OTHERS;
const _: () = assert!(PLACES <= 1 << u8::BITS, "a place is one byte");

/// Fields whose values hardly ever come again, or are secrets. The peer is told that nobody shall take them into a
/// table (RFC 7541 §6.2.3), where they could be guessed and would push something else out.
const NEVER_INDEXED: KnownSet = KnownSet::of(&[
    Known::XRequestId,
    Known::GrpcTimeout,
    Known::XForwardedFor,
    Known::XRealIp,
    Known::Forwarded,
    Known::Cookie,
    Known::Authorization,
    Known::ProxyAuthorization,
    Known::XSelvedgeToken,
]);

/// By which [`mixed`] multiplies; found by trying, so that each name of the static table that is not known has another
/// place.
const FACTOR: u64 = 0x7505_dff6_e60b_5fe9;

/// What is known of a place.
#[derive(Clone, Copy)]
struct Place {
    /// The first entry of the static table with a name that belongs here; zero if there is none.
    index: u8,
    is_never_indexed: bool,
}

static TABLE: [Place; PLACES] = {
    let mut table = [Place { index: 0, is_never_indexed: false }; PLACES];
    let mut at = 0;
    while at < Known::ALL.len() {
        let known = Known::ALL[at];
        table[FIRST_KNOWN + known as usize].is_never_indexed = NEVER_INDEXED.contains(known);
        at += 1;
    }
    let mut index = STATIC.len();
    while index > 0 {
        let entry = STATIC[index - 1];
        let place = match entry.kind {
            Name::Authority => Pseudo::Authority as usize,
            Name::Method => Pseudo::Method as usize,
            Name::Path => Pseudo::Path as usize,
            Name::Scheme => Pseudo::Scheme as usize,
            Name::Status => Pseudo::Status as usize,
            Name::Field(known) => of(known, entry.name),
            _ => panic!("no other name is in the static table"),
        };
        assert!(place < FIRST_OTHER || table[place].index == 0, "the factor gives each name another place");
        table[place].index = index as u8;
        index -= 1;
    }
    table
};

/// The place of a field's name, whatever its case.
#[inline]
pub(super) const fn of(known: Known, name: &[u8]) -> usize {
    match known {
        Known::Other => FIRST_OTHER + (mixed(name, u64::from_ne_bytes([0x20; 8])) >> 10) as usize % OTHERS,
        known => FIRST_KNOWN + known as usize,
    }
}

/// Whether only one name can have this place.
#[inline]
pub(super) fn is_of_one(place: usize) -> bool {
    place < FIRST_OTHER
}

/// The first entry of the static table with this name.
pub(super) fn static_index(place: usize, name: &[u8]) -> Option<usize> {
    let index = usize::from(TABLE[place].index);
    let entry = ENTRIES.get(index.checked_sub(1)?)?;
    let is_same = is_of_one(place) || entry.name.eq_ignore_ascii_case(name);
    is_same.then_some(index)
}

/// Whether nobody shall take a field of this name into a table.
pub(super) fn is_never_indexed(place: usize, name: &[u8]) -> bool {
    match is_of_one(place) {
        true => TABLE[place].is_never_indexed,
        false => [&b"traceparent"[..], b"set-cookie"].iter().any(|other| name.eq_ignore_ascii_case(other)),
    }
}

/// A number for a value, which another one hardly has.
pub(super) fn fingerprint(value: &[u8]) -> u16 {
    mixed(value, 0) as u16
}

/// Sixteen bits that depend on all of a text, but for the bits that the fold of each eight bytes has.
const fn mixed(text: &[u8], fold: u64) -> u64 {
    let (mut sum, mut rest) = (text.len() as u64, text);
    while let Some((eight, after)) = rest.split_first_chunk() {
        sum = mix(sum, u64::from_le_bytes(*eight) | fold);
        rest = after;
    }
    let mut last = 0;
    while let Some((byte, after)) = rest.split_first() {
        last = last << 8 | *byte as u64;
        rest = after;
    }
    mix(sum, last | fold) >> 48
}

const fn mix(sum: u64, eight: u64) -> u64 {
    (sum.rotate_left(32) ^ eight).wrapping_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_static_table_is_found_in_any_case() {
        for entry in &ENTRIES {
            let place = match entry.kind {
                Name::Field(known) => of(known, &entry.name.to_ascii_uppercase()),
                _ => {
                    Pseudo::ALL.into_iter().position(|pseudo| pseudo.name().as_bytes() == entry.name).unwrap()
                }
            };
            let first = ENTRIES.iter().position(|other| other.name == entry.name).unwrap() + 1;
            assert_eq!(static_index(place, &entry.name.to_ascii_uppercase()), Some(first));
        }
        for name in ["x", "", "accept-", "x-request-id", "traceparent"] {
            let known = Known::of(name.as_bytes());
            assert_eq!(static_index(of(known, name.as_bytes()), name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn secrets_and_what_hardly_comes_again_are_never_indexed() {
        for (name, is_never) in [
            ("Authorization", true),
            ("proxy-authorization", true),
            ("Cookie", true),
            ("Set-Cookie", true),
            ("x-selvedge-token", true),
            ("x-request-id", true),
            ("TraceParent", true),
            ("x-forwarded-for", true),
            ("content-type", false),
            ("accept", false),
            ("date", false),
        ] {
            let place = of(Known::of(name.as_bytes()), name.as_bytes());
            assert_eq!(is_never_indexed(place, name.as_bytes()), is_never, "{name}");
        }
    }

    #[test]
    fn a_fingerprint_depends_on_every_byte() {
        let mut text = b"a value of more than twenty bytes".to_vec();
        let first = fingerprint(&text);
        for at in 0..text.len() {
            text[at] ^= 1;
            assert_ne!(fingerprint(&text), first, "{at}");
            text[at] ^= 1;
        }
        assert_ne!(fingerprint(b"\0"), fingerprint(b""));
    }
}
