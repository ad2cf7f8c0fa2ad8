//! Filter: says which answers are compressed for clients that can take them so, and what their heads say then.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow};
use crate::message::{Known, RequestHead, ResponseHead, Version, lists, pattern::SearchPattern};

/// How bodies of answers are compressed. The proxy does it; what is decided here is which of them, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Compression {
    /// With gzip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gzip: Option<Compressible>,
    /// With Brotli, which comes before gzip where a client takes both alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brotli: Option<Compressible>,
    /// What stands in `User-Agent` of clients that get no gzip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_gzip_for: Option<SearchPattern>,
}

/// Which answers are compressed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compressible {
    /// How much effort it is worth: 1 to 9 for gzip, 0 to 6 for Brotli; what is beyond counts as these.
    pub level: u8,
    /// Smallest body, in bytes; one whose length is not known beforehand is large enough.
    pub min_bytes: u64,
    /// Their types without parameters, in lower case; `*` is every one.
    pub types: Vec<Arc<str>>,
}

/// How a body is compressed (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

/// What was decided of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How it is compressed.
    pub coding: ContentCoding,
    /// How much effort that is worth.
    pub level: u8,
    /// Its length before, if that is known.
    pub length: Option<u64>,
}

impl Compression {
    pub(super) fn request(&self, _: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        Flow::Next
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}

    /// Whether and how the answer to a request shall be compressed. If it depends on what the client takes, the head of
    /// the answer says so from now on.
    pub fn choose(&self, asked: &RequestHead, head: &mut ResponseHead) -> Option<Choice> {
        let answer = Answer::of(head)?;
        let fitting =
            |what: &Option<Compressible>| Some(what.as_ref().filter(|what| answer.fits(what))?.level);
        let (gzip, brotli) = (fitting(&self.gzip), fitting(&self.brotli));
        if gzip.is_none() && brotli.is_none() {
            return None;
        }
        let length = answer.length;
        if !answer.says_it_varies {
            head.fields.push(b"Vary", b"Accept-Encoding");
        }
        // ingress-nginx: whoever speaks an older version gets nothing compressed.
        if matches!(asked.version, Version::Http10) {
            return None;
        }
        let gzip = gzip.filter(|_| !self.is_without_gzip(asked));
        let wanted = Wanted::of(asked);
        let brotli = brotli.map(|level| (ContentCoding::Brotli, level, wanted.brotli()));
        let gzip = gzip.map(|level| (ContentCoding::Gzip, level, wanted.gzip()));
        let both = gzip.into_iter().chain(brotli).filter(|(_, _, weight)| *weight > 0);
        // The last one of those that are alike.
        let (coding, level, weight) = both.max_by_key(|(_, _, weight)| *weight)?;
        (weight >= wanted.identity.unwrap_or(0)).then_some(Choice { coding, level, length })
    }

    fn is_without_gzip(&self, asked: &RequestHead) -> bool {
        let mut agents = asked.fields.all(Known::UserAgent);
        self.no_gzip_for.as_ref().is_some_and(|pattern| agents.any(|agent| pattern.regex().is_match(agent)))
    }
}

impl Choice {
    /// Makes the head of an answer say that its body is compressed.
    pub fn tell(self, head: &mut ResponseHead) {
        let mut tag = None;
        head.fields.retain(|known, name, value| {
            let is_tag = known == Known::Other && name.eq_ignore_ascii_case(b"etag");
            if is_tag && value.starts_with(b"\"") {
                tag = Some([&b"W/"[..], value].concat());
            }
            let stays_weak = is_tag && value.starts_with(b"W/\"");
            let goes = known == Known::ContentLength || name.eq_ignore_ascii_case(b"accept-ranges");
            stays_weak || !(is_tag || goes)
        });
        // The bytes are others, and those of the next time may be others again (RFC 9110 §8.8.1).
        if let Some(tag) = tag {
            head.fields.push(b"ETag", &tag);
        }
        head.fields.push(b"Content-Encoding", self.coding.name());
    }
}

impl ContentCoding {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Gzip => b"gzip",
            Self::Brotli => b"br",
        }
    }
}

/// What matters of an answer that may be compressed.
struct Answer {
    /// Its type without parameters, in lower case.
    kind: Vec<u8>,
    length: Option<u64>,
    /// Whether its head says already that others may get another one.
    says_it_varies: bool,
}

impl Answer {
    /// `None` if it shall stay as it is.
    fn of(head: &ResponseHead) -> Option<Self> {
        // ingress-nginx: these are the statuses whose bodies nginx compresses.
        if !matches!(head.status, 200 | 403 | 404) {
            return None;
        }
        let kind = head.fields.get(Known::ContentType)?;
        let kind = kind.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        // Its messages are compressed one by one, if at all.
        if kind.starts_with(b"application/grpc") {
            return None;
        }
        let length = match head.fields.get(Known::ContentLength) {
            None => None,
            Some(text) => Some(std::str::from_utf8(text).ok()?.parse().ok()?),
        };
        let mut says_it_varies = false;
        for (name, value) in head
            .fields
            .iter_known()
            .filter_map(|(known, name, value)| (known == Known::Other).then_some((name, value)))
        {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            // Digests are those of the bytes as they are (RFC 9530).
            if is(b"content-encoding") || is(b"content-range") || is(b"content-digest") || is(b"repr-digest")
            {
                return None;
            }
            if is(b"cache-control") && lists(value, b"no-transform") {
                return None;
            }
            says_it_varies |= is(b"vary") && (lists(value, b"*") || lists(value, b"accept-encoding"));
        }
        Some(Self { kind, length, says_it_varies })
    }

    fn fits(&self, what: &Compressible) -> bool {
        let is_one = |kind: &Arc<str>| &**kind == "*" || kind.as_bytes() == self.kind;
        self.length.is_none_or(|length| length > 0 && length >= what.min_bytes)
            && what.types.iter().any(is_one)
    }
}

/// What a client says of each coding in `Accept-Encoding`, in thousandths (RFC 9110 §12.4.2, §12.5.3). Who says nothing
/// gets answers as they are.
#[derive(Default)]
struct Wanted {
    gzip: Option<u16>,
    brotli: Option<u16>,
    identity: Option<u16>,
    other: Option<u16>,
}

impl Wanted {
    fn of(asked: &RequestHead) -> Self {
        let mut wanted = Self::default();
        for member in asked.fields.all_by_name("accept-encoding").flat_map(members) {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let weight = parts.next().map_or(1000, weight);
            let is = |name: &[u8]| coding.eq_ignore_ascii_case(name);
            let place = match coding {
                b"*" => &mut wanted.other,
                _ if is(b"gzip") || is(b"x-gzip") => &mut wanted.gzip,
                _ if is(b"br") => &mut wanted.brotli,
                _ if is(b"identity") => &mut wanted.identity,
                _ => continue,
            };
            place.get_or_insert(weight);
        }
        wanted
    }

    fn gzip(&self) -> u16 {
        self.gzip.or(self.other).unwrap_or(0)
    }

    fn brotli(&self) -> u16 {
        self.brotli.or(self.other).unwrap_or(0)
    }
}

/// The weight in `q=0.5`, in thousandths; one that cannot be read is none.
fn weight(parameter: &[u8]) -> u16 {
    let value = match parameter.split_at_checked(2) {
        Some((b"q=" | b"Q=", value)) => value,
        _ => return 0,
    };
    let (whole, rest) = match value.split_first() {
        Some((whole, [])) => (whole, &b""[..]),
        Some((whole, [b'.', rest @ ..])) if rest.len() <= 3 => (whole, rest),
        _ => return 0,
    };
    if !rest.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    match whole {
        b'1' if rest.iter().all(|digit| *digit == b'0') => 1000,
        b'0' => rest.iter().zip([100, 10, 1]).map(|(digit, of)| u16::from(digit - b'0') * of).sum(),
        _ => 0,
    }
}

/// The members of a list.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressible(level: u8, min_bytes: u64, types: &[&str]) -> Option<Compressible> {
        Some(Compressible { level, min_bytes, types: types.iter().map(|&text| text.into()).collect() })
    }

    fn both() -> Compression {
        let types = ["text/html", "application/json"];
        Compression {
            gzip: compressible(1, 256, &types),
            brotli: compressible(4, 20, &types),
            no_gzip_for: Some(SearchPattern::new("old").unwrap()),
        }
    }

    fn asked(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.version = Version::Http11;
        fields.iter().for_each(|(name, value)| head.fields.push(name.as_bytes(), value.as_bytes()));
        head
    }

    fn answer(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::default();
        head.status = status;
        fields.iter().for_each(|(name, value)| head.fields.push(name.as_bytes(), value.as_bytes()));
        head
    }

    fn coding(compression: &Compression, accept: &[(&str, &str)]) -> Option<&'static str> {
        let mut head = answer(200, &[("content-type", "text/html")]);
        let choice = compression.choose(&asked(accept), &mut head);
        assert_eq!(head.fields.get_by_name("vary"), Some(&b"Accept-Encoding"[..]), "{accept:?}");
        choice.map(|choice| std::str::from_utf8(choice.coding.name()).unwrap())
    }

    #[test]
    fn the_client_says_which_coding_it_takes() {
        let rows = [
            ("gzip", Some("gzip")),
            ("X-GZIP", Some("gzip")),
            ("gzip, deflate, br", Some("br")),
            ("gzip;q=1.0, br;q=0.9", Some("gzip")),
            ("gzip;q=0.5,br;q=0.5", Some("br")),
            ("br;q=0, gzip", Some("gzip")),
            ("*", Some("br")),
            ("*;q=0.1, br;q=0", Some("gzip")),
            ("gzip;q=0, *", Some("br")),
            ("*;q=0", None),
            ("identity", None),
            ("gzip;q=0.5, identity", None),
            ("gzip;q=0.5, identity;q=0.4", Some("gzip")),
            ("gzip;q=0.001", Some("gzip")),
            ("gzip;q=0.0001", None),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=", None),
            ("gzip;x=1", None),
            ("gzip ; q=0.3", Some("gzip")),
            ("deflate, zstd", None),
            ("gzipped", None),
            (",,", None),
        ];
        for (value, wanted) in rows {
            assert_eq!(coding(&both(), &[("Accept-Encoding", value)]), wanted, "{value}");
        }
        assert_eq!(coding(&both(), &[]), None);
        let two = [("accept-encoding", "deflate"), ("accept-encoding", "gzip")];
        assert_eq!(coding(&both(), &two), Some("gzip"));
        let old = [("accept-encoding", "gzip"), ("user-agent", "an Old one")];
        assert_eq!(coding(&both(), &old), None);
        let old = [("accept-encoding", "gzip, br"), ("user-agent", "an Old one")];
        assert_eq!(coding(&both(), &old), Some("br"));
    }

    /// Status and fields of an answer, and whether it is compressed.
    type Row<'a> = (u16, &'a [(&'a str, &'a str)], bool);

    #[test]
    fn what_is_not_to_be_changed_stays_as_it_is() {
        let html = ("content-type", "text/html; charset=utf-8");
        let rows: [Row<'_>; 24] = [
            (200, &[html], true),
            (403, &[html], true),
            (404, &[html], true),
            (201, &[html], false),
            (204, &[html], false),
            (206, &[html], false),
            (304, &[html], false),
            (500, &[html], false),
            (200, &[], false),
            (200, &[("content-type", "TEXT/HTML")], true),
            (200, &[("content-type", "text/html ;a=b")], true),
            (200, &[("content-type", "text/htmlx")], false),
            (200, &[("content-type", "image/png")], false),
            (200, &[html, ("content-length", "256")], true),
            (200, &[html, ("content-length", "255")], false),
            (200, &[html, ("content-length", "0")], false),
            (200, &[html, ("content-length", "x")], false),
            (200, &[html, ("content-encoding", "identity")], false),
            (200, &[html, ("content-range", "bytes 0-1/2")], false),
            (200, &[html, ("cache-control", "public, No-Transform")], false),
            (200, &[html, ("cache-control", "no-cache")], true),
            (200, &[html, ("repr-digest", "sha-256=:a:")], false),
            (200, &[html, ("content-digest", "sha-256=:a:")], false),
            (200, &[html, ("vary", "accept-encoding, cookie")], true),
        ];
        let gzip = Compression { brotli: None, ..both() };
        for (status, fields, wanted) in rows {
            let mut head = answer(status, fields);
            let choice = gzip.choose(&asked(&[("accept-encoding", "gzip")]), &mut head);
            assert_eq!(choice.is_some(), wanted, "{status} {fields:?}");
            let varies = head.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"vary")).count();
            assert_eq!(varies, usize::from(wanted), "{status} {fields:?}");
        }
        let any = Compression { gzip: compressible(1, 0, &["*"]), ..Compression::default() };
        for (kind, wanted) in [("image/png", true), ("application/grpc+proto", false)] {
            let mut head = answer(200, &[("content-type", kind)]);
            let choice = any.choose(&asked(&[("accept-encoding", "gzip")]), &mut head);
            assert_eq!(choice.is_some(), wanted, "{kind}");
        }
    }

    #[test]
    fn each_coding_has_answers_of_its_own() {
        let mut head = answer(200, &[("content-type", "text/html"), ("content-length", "100")]);
        let choice = both().choose(&asked(&[("accept-encoding", "gzip, br")]), &mut head).unwrap();
        let wanted = Choice { coding: ContentCoding::Brotli, level: 4, length: Some(100) };
        assert_eq!(choice, wanted);
        assert_eq!(both().choose(&asked(&[("accept-encoding", "gzip")]), &mut head), None);
        let mut old = asked(&[("accept-encoding", "gzip, br")]);
        old.version = Version::Http10;
        assert_eq!(both().choose(&old, &mut head), None);
    }

    #[test]
    fn the_head_says_what_the_body_is() {
        let rows = [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", Some("W/\"a\"")), ("a", None)];
        for (tag, wanted) in rows {
            let mut head = answer(
                200,
                &[("content-length", "9"), ("Accept-Ranges", "bytes"), ("etag", tag), ("x-a", "1")],
            );
            Choice { coding: ContentCoding::Gzip, level: 1, length: Some(9) }.tell(&mut head);
            let text = |name| head.fields.get_by_name(name).map(|value| str::from_utf8(value).unwrap());
            assert_eq!((text("etag"), text("x-a")), (wanted, Some("1")));
            assert_eq!((text("content-encoding"), text("content-length")), (Some("gzip"), None));
            assert_eq!(text("accept-ranges"), None);
        }
    }
}
