//! The table that both sides have from the start (RFC 7541 Appendix A).

use super::{Field, Name, Pseudo};
use crate::message::Known;

/// Number of entries; the first index of the dynamic table is one above.
pub(super) const LENGTH: usize = 61;

const OTHER: Name = Name::Field(Known::Other);

/// The entries; that of index 1 is the first.
pub(super) static ENTRIES: [Field<'static>; LENGTH] = STATIC;

/// As [`ENTRIES`], for tables made from it.
pub(super) const STATIC: [Field<'static>; LENGTH] = [
    pseudo(Pseudo::Authority, ""),
    pseudo(Pseudo::Method, "GET"),
    pseudo(Pseudo::Method, "POST"),
    pseudo(Pseudo::Path, "/"),
    pseudo(Pseudo::Path, "/index.html"),
    pseudo(Pseudo::Scheme, "http"),
    pseudo(Pseudo::Scheme, "https"),
    pseudo(Pseudo::Status, "200"),
    pseudo(Pseudo::Status, "204"),
    pseudo(Pseudo::Status, "206"),
    pseudo(Pseudo::Status, "304"),
    pseudo(Pseudo::Status, "400"),
    pseudo(Pseudo::Status, "404"),
    pseudo(Pseudo::Status, "500"),
    entry(OTHER, "accept-charset", ""),
    entry(OTHER, "accept-encoding", "gzip, deflate"),
    entry(OTHER, "accept-language", ""),
    entry(OTHER, "accept-ranges", ""),
    entry(OTHER, "accept", ""),
    entry(OTHER, "access-control-allow-origin", ""),
    entry(OTHER, "age", ""),
    entry(OTHER, "allow", ""),
    entry(Name::Field(Known::Authorization), "authorization", ""),
    entry(OTHER, "cache-control", ""),
    entry(OTHER, "content-disposition", ""),
    entry(OTHER, "content-encoding", ""),
    entry(OTHER, "content-language", ""),
    entry(Name::Field(Known::ContentLength), "content-length", ""),
    entry(OTHER, "content-location", ""),
    entry(OTHER, "content-range", ""),
    entry(Name::Field(Known::ContentType), "content-type", ""),
    entry(Name::Field(Known::Cookie), "cookie", ""),
    entry(Name::Field(Known::Date), "date", ""),
    entry(OTHER, "etag", ""),
    entry(Name::Field(Known::Expect), "expect", ""),
    entry(OTHER, "expires", ""),
    entry(OTHER, "from", ""),
    entry(Name::Field(Known::Host), "host", ""),
    entry(OTHER, "if-match", ""),
    entry(OTHER, "if-modified-since", ""),
    entry(OTHER, "if-none-match", ""),
    entry(OTHER, "if-range", ""),
    entry(OTHER, "if-unmodified-since", ""),
    entry(OTHER, "last-modified", ""),
    entry(OTHER, "link", ""),
    entry(Name::Field(Known::Location), "location", ""),
    entry(OTHER, "max-forwards", ""),
    entry(OTHER, "proxy-authenticate", ""),
    entry(Name::Field(Known::ProxyAuthorization), "proxy-authorization", ""),
    entry(OTHER, "range", ""),
    entry(OTHER, "referer", ""),
    entry(OTHER, "refresh", ""),
    entry(OTHER, "retry-after", ""),
    entry(Name::Field(Known::Server), "server", ""),
    entry(OTHER, "set-cookie", ""),
    entry(OTHER, "strict-transport-security", ""),
    entry(Name::Field(Known::TransferEncoding), "transfer-encoding", ""),
    entry(Name::Field(Known::UserAgent), "user-agent", ""),
    entry(OTHER, "vary", ""),
    entry(Name::Field(Known::Via), "via", ""),
    entry(OTHER, "www-authenticate", ""),
];

const fn pseudo(pseudo: Pseudo, value: &'static str) -> Field<'static> {
    entry(Name::Pseudo(pseudo), pseudo.name(), value)
}

const fn entry(kind: Name, name: &'static str, value: &'static str) -> Field<'static> {
    Field { kind, name: name.as_bytes(), value: value.as_bytes(), is_sound: true, is_never_indexed: false }
}

#[cfg(test)]
mod tests {
    use super::{super::is_sound, *};

    #[test]
    fn what_is_said_of_names_and_values_is_so() {
        for entry in &ENTRIES {
            assert_eq!(entry.kind, Name::of(entry.name), "{}", entry.name.escape_ascii());
            assert_eq!(entry.is_sound, is_sound(entry.value));
        }
    }

    #[test]
    fn names_follow_each_other_in_their_order() {
        let names: Vec<_> = ENTRIES[14..].iter().map(|entry| entry.name).collect();
        // "accept" has its place as if a hyphen followed.
        let sorted = |pair: &[&[u8]]| pair[0] < pair[1] || pair[1] == b"accept";
        assert!(names.windows(2).all(sorted));
        let valued: Vec<_> = (15..=LENGTH).filter(|index| !ENTRIES[index - 1].value.is_empty()).collect();
        assert_eq!(valued, [16]);
        for (index, name) in
            [(1, ":authority"), (8, ":status"), (31, "content-type"), (61, "www-authenticate")]
        {
            assert_eq!(ENTRIES[index - 1].name, name.as_bytes());
        }
    }
}
