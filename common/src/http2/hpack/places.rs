//! A place for each name that is sent: those that are known and those of the static table have one of their own.

use super::{
    Name, Pseudo,
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
    Known::Traceparent,
]);

/// By which [`mixed`] multiplies; found by trying, so that each name of the static table that is not known has another
/// place.
const FACTOR: u64 = 0x254d_21ca_3b66_037b;

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
            Name::Pseudo(pseudo) => pseudo as usize,
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
    let is_same = is_of_one(place) || is_same(entry.name, name);
    is_same.then_some(index)
}

/// Whether nobody shall take a field of this name into a table.
pub(super) fn is_never_indexed(place: usize, name: &[u8]) -> bool {
    match is_of_one(place) {
        true => TABLE[place].is_never_indexed,
        false => is_same(b"set-cookie", name),
    }
}

/// A number for a value, which another one hardly has.
pub(super) fn fingerprint(value: &[u8]) -> u16 {
    mixed(value, 0) as u16
}

/// Sixteen bits that depend on all of a text, but for the bits that the fold of each eight bytes has.
const fn mixed(text: &[u8], fold: u64) -> u64 {
    let (mut sum, mut rest) = (text.len() as u64, text);
    while let Some((eight, after)) = rest.split_first_chunk()
        && !after.is_empty()
    {
        sum = mix(sum, u64::from_le_bytes(*eight) | fold);
        rest = after;
    }
    mix(sum, last_eight(text) | fold) >> 48
}

/// The last eight bytes of a text, or all of a shorter one: no other one of its length has the same.
const fn last_eight(text: &[u8]) -> u64 {
    if let Some(eight) = text.last_chunk() {
        return u64::from_le_bytes(*eight);
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32;
    }
    match text {
        [first, .., last] => u32::from_le_bytes([*first, text[1], *last, 0]) as u64,
        [only] => *only as u64,
        [] => 0,
    }
}

/// Whether a name is this one in lower case. Eight bytes at a time, as most names have fewer than sixteen.
#[inline]
pub(super) fn is_same(lower: &[u8], name: &[u8]) -> bool {
    let (mut rest, mut lower_rest) = (name, lower);
    if name.len() != lower.len() {
        return false;
    }
    while let (Some((eight, after)), Some((lower_eight, lower_after))) =
        (rest.split_first_chunk(), lower_rest.split_first_chunk())
        && !after.is_empty()
    {
        if in_lower_case(u64::from_le_bytes(*eight)) != u64::from_le_bytes(*lower_eight) {
            return false;
        }
        (rest, lower_rest) = (after, lower_after);
    }
    in_lower_case(last_eight(name)) == last_eight(lower)
}

/// Eight bytes, of which those that are upper-case letters get the bit that lower-case ones have.
fn in_lower_case(eight: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let sevens = eight & (ONES * 0x7f);
    let (from_a, above_z) = (sevens + ONES * (0x80 - 0x41), sevens + ONES * (0x80 - 0x5b));
    eight | ((from_a ^ above_z) & !eight & (ONES * 0x80)) >> 2
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
    fn names_are_the_same_in_any_case_and_no_other_byte_is_taken_for_a_letter() {
        for length in 0..20 {
            let name = &b"x-some-kind-of-a-name"[..length];
            assert!(is_same(name, name) && is_same(name, &name.to_ascii_uppercase()));
            assert!(!is_same(name, b"x-some-kind-of-a-name-"));
            for (at, byte) in (0..length).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                let mut other = name.to_vec();
                other[at] = byte;
                assert_eq!(is_same(name, &other), name.eq_ignore_ascii_case(&other), "{at}: {byte}");
                let lower = other.to_ascii_lowercase();
                assert!(is_same(&lower, &other), "{at}: {byte}");
            }
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
