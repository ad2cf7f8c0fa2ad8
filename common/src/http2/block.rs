//! Block: the fields of a head or of trailers as they are decoded, and what HTTP/2 forbids of them (RFC 9113 §8.2, §8.3).

use super::hpack::{Field, Name, Pseudo};
use crate::{
    http1::parse_length,
    message::{Fields, Known, Span, token::is_token},
};

/// What each field counts beside its bytes (RFC 9113 §6.5.2).
const FIELD_COST: usize = 32;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// The head of a request.
    Request,
    /// The head of an answer.
    Answer,
    /// What stands behind a body.
    Trailers,
}

/// Fields that were decoded. Made to be filled again and again.
#[derive(Default)]
pub struct Block {
    /// All but the pseudo-headers, in their order; for a request with what `:authority` says as `Host` in front, without
    /// other hosts, and its cookies as one behind all others.
    pub fields: Fields,
    /// Number of fields, pseudo-headers not counted.
    pub count: usize,
    /// Number of `Host` fields beside `:authority`.
    pub hosts: usize,
    /// Whether each of them says the same.
    pub hosts_agree: bool,
    /// Number of fields that say how long the body is.
    pub lengths: usize,
    /// Whether any name has an underscore.
    pub has_underscore: bool,
    /// Whether there were more fields than are taken, so that some are missing.
    pub is_too_large: bool,
    pseudo: Vec<u8>,
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    /// Status of an answer.
    pub status: u16,
    cookies: Vec<u8>,
    /// Length of the body that the fields announce.
    pub length: Option<u64>,
    /// What all of them count (RFC 9113 §6.5.2).
    pub(super) bytes: usize,
    is_malformed: bool,
}

impl Block {
    /// Makes it empty and keeps the memory.
    pub(super) fn clear(&mut self) {
        let (mut fields, mut pseudo, mut cookies) = (
            std::mem::take(&mut self.fields),
            std::mem::take(&mut self.pseudo),
            std::mem::take(&mut self.cookies),
        );
        fields.clear();
        pseudo.clear();
        cookies.clear();
        *self = Self { fields, pseudo, cookies, hosts_agree: true, ..Self::default() };
    }

    /// Takes the next field.
    pub(super) fn take(&mut self, kind: BlockKind, most_bytes: usize, field: Field<'_>) {
        self.bytes += field.name.len() + field.value.len() + FIELD_COST;
        if self.bytes > most_bytes {
            self.is_too_large = true;
            return;
        }
        self.is_malformed |= !field.is_sound;
        match field.kind {
            Name::Field(known) => self.take_field(kind, known, field),
            Name::Malformed => self.is_malformed = true,
            name => self.take_pseudo(kind, name, field.value),
        }
    }

    fn take_pseudo(&mut self, kind: BlockKind, name: Name, value: &[u8]) {
        // They stand in front of all others (RFC 9113 §8.3).
        self.is_malformed |= self.count > 0;
        if (kind, name) == (BlockKind::Answer, Name::Pseudo(Pseudo::Status)) {
            self.is_malformed |= self.status != 0;
            return match status(value) {
                Some(status) => self.status = status,
                None => self.is_malformed = true,
            };
        }
        let place = match (kind, name) {
            (BlockKind::Request, Name::Pseudo(Pseudo::Method)) => &mut self.method,
            (BlockKind::Request, Name::Pseudo(Pseudo::Scheme)) => &mut self.scheme,
            (BlockKind::Request, Name::Pseudo(Pseudo::Authority)) => &mut self.authority,
            (BlockKind::Request, Name::Pseudo(Pseudo::Path)) => &mut self.path,
            _ => return self.is_malformed = true,
        };
        let start = self.pseudo.len();
        self.pseudo.extend_from_slice(value);
        self.is_malformed |= place.replace(Span::new(start, start + value.len())).is_some();
    }

    fn take_field(&mut self, kind: BlockKind, known: Known, field: Field<'_>) {
        let Field { name, value, .. } = field;
        // White space around a value means nothing, as in HTTP/1.1; RFC 9113 §8.2.1 forbids it, but it is met.
        let text = value.trim_ascii();
        if self.count == 0
            && let Some(authority) = self.authority
        {
            self.fields.push_known(Known::Host, authority.of(&self.pseudo));
        }
        self.count += 1;
        match known {
            Known::Other => {
                self.has_underscore |= name.contains(&b'_');
                self.fields.push_other(name, text);
                self.keep_out(&field);
            }
            Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade => self.is_malformed = true,
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => self.is_malformed = true,
            Known::Host if kind == BlockKind::Request => self.take_host(value),
            Known::Cookie if kind == BlockKind::Request => {
                // A cookie may be cut into several fields, which have to be one again for whoever does not know of that
                // (RFC 9113 §8.2.3).
                if !self.cookies.is_empty() {
                    self.cookies.extend_from_slice(b"; ");
                }
                self.cookies.extend_from_slice(text);
            }
            known => {
                if known == Known::ContentLength {
                    self.take_length(value);
                }
                self.fields.push_known(known, text);
                self.keep_out(&field);
            }
        }
    }

    /// What its sender wants in no table is in none further on either.
    fn keep_out(&mut self, field: &Field<'_>) {
        if field.is_never_indexed {
            self.fields.never_index_last();
        }
    }

    fn take_host(&mut self, value: &[u8]) {
        self.hosts += 1;
        match self.authority {
            Some(authority) => self.hosts_agree &= authority.of(&self.pseudo).eq_ignore_ascii_case(value),
            None => {
                let start = self.pseudo.len();
                self.pseudo.extend_from_slice(value);
                self.authority = Some(Span::new(start, start + value.len()));
                self.fields.push_known(Known::Host, value);
            }
        }
    }

    /// Several that say the same are told apart from one by their number.
    fn take_length(&mut self, value: &[u8]) {
        let length = parse_length(value).ok();
        self.is_malformed |= length.is_none() || (self.lengths > 0 && self.length != length);
        self.length = length;
        self.lengths += 1;
    }

    /// Ends the block; false if HTTP/2 forbids what it says.
    pub(super) fn finish(&mut self, kind: BlockKind) -> bool {
        if self.count == 0
            && let Some(authority) = self.authority
        {
            self.fields.push_known(Known::Host, authority.of(&self.pseudo));
        }
        if !self.cookies.is_empty() {
            self.fields.push_known(Known::Cookie, &self.cookies);
        }
        let is_whole = match kind {
            BlockKind::Request => self.is_whole_request(),
            BlockKind::Answer => self.status != 0,
            BlockKind::Trailers => true,
        };
        (is_whole || self.is_too_large) && !self.is_malformed
    }

    /// RFC 9113 §8.3.1, §8.5.
    fn is_whole_request(&self) -> bool {
        let has = |span: Option<Span>| span.is_some_and(|span| !span.is_empty());
        if !is_token(self.method()) {
            return false;
        }
        if self.method() == b"CONNECT" {
            return has(self.authority) && self.scheme.is_none() && self.path.is_none();
        }
        let is_known_scheme = matches!(self.part(self.scheme), b"http" | b"https");
        is_known_scheme && has(self.path) && is_target(self.path())
    }

    fn part(&self, span: Option<Span>) -> &[u8] {
        span.map_or(b"", |span| span.of(&self.pseudo))
    }

    /// Method of a request.
    pub fn method(&self) -> &[u8] {
        self.part(self.method)
    }

    /// Target of a request; empty for `CONNECT`.
    pub fn path(&self) -> &[u8] {
        self.part(self.path)
    }

    /// Host and port of a request, by `:authority` or else by `Host`.
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.map(|span| span.of(&self.pseudo))
    }

    /// Whether `:scheme` is `https`.
    pub fn is_https(&self) -> bool {
        self.part(self.scheme) == b"https"
    }
}

/// A status of three digits (RFC 9113 §8.3.2).
fn status(value: &[u8]) -> Option<u16> {
    match value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    }
}

/// Whether a path is in origin form, or all there is to ask of a server: nothing in it ends a request line.
fn is_target(path: &[u8]) -> bool {
    (path[0] == b'/' || path == b"*") && path.iter().all(|byte| matches!(byte, b'!'..=0x7e | 0x80..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        match name {
            ":method" => Name::Pseudo(Pseudo::Method),
            ":scheme" => Name::Pseudo(Pseudo::Scheme),
            ":authority" => Name::Pseudo(Pseudo::Authority),
            ":path" => Name::Pseudo(Pseudo::Path),
            ":status" => Name::Pseudo(Pseudo::Status),
            _ if name.starts_with(':') => Name::OtherPseudo,
            _ => Name::Field(Known::of(name.as_bytes())),
        }
    }

    fn block(kind: BlockKind, fields: &[(&str, &str)]) -> (Block, bool) {
        let mut block = Block::default();
        block.clear();
        for (text, value) in fields {
            let (text, value) = (text.as_bytes(), value.as_bytes());
            let kind_of = name(std::str::from_utf8(text).unwrap());
            block.take(
                kind,
                1000,
                Field { kind: kind_of, name: text, value, is_sound: true, is_never_indexed: false },
            );
        }
        let is_sound = block.finish(kind);
        (block, is_sound)
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "http"), (":path", "/a?b"), (":authority", "a:1")];

    #[test]
    fn a_request_is_read_with_its_host_in_front_and_its_cookies_behind() {
        let fields =
            [("cookie", "a=1"), ("x-a", "1"), ("host", "A:1"), ("cookie", "b=2"), ("te", "trailers")];
        let (block, is_sound) = block(BlockKind::Request, &[&GET[..], &fields].concat());
        assert!(is_sound && block.hosts == 1 && block.hosts_agree && block.count == 5);
        assert_eq!((block.method(), block.path(), block.is_https()), (&b"GET"[..], &b"/a?b"[..], false));
        let seen: Vec<_> = block.fields.iter().collect();
        let wanted: [(&[u8], &[u8]); 4] =
            [(b"host", b"a:1"), (b"x-a", b"1"), (b"te", b"trailers"), (b"cookie", b"a=1; b=2")];
        assert_eq!(seen, wanted);
    }

    #[test]
    fn requests_that_are_not_whole_or_say_too_much_are_malformed() {
        let without = |left_out: &str| -> Vec<_> {
            GET.iter().copied().filter(|(name, _)| *name != left_out).collect()
        };
        let with = |name, value| [&GET[..], &[(name, value)]].concat();
        let replaced = |name, value| [&without(name)[..], &[(name, value)]].concat();
        let rows = [
            without(":method"),
            without(":scheme"),
            without(":path"),
            with(":path", "/"),
            with(":status", "200"),
            with(":protocol", "websocket"),
            with("connection", "close"),
            with("upgrade", "h2c"),
            with("transfer-encoding", "chunked"),
            with("te", "gzip"),
            with("content-length", "+1"),
            with("content-length", ""),
            [with("content-length", "1"), vec![("content-length", "2")]].concat(),
            [with("x", "1"), vec![(":path", "/")]].concat(),
            replaced(":method", "G T"),
            replaced(":method", "CONNECT"),
            replaced(":scheme", "ftp"),
            replaced(":path", ""),
            replaced(":path", "a"),
            replaced(":path", "/a b"),
            replaced(":path", "/\u{7f}"),
        ];
        for row in rows {
            assert!(!block(BlockKind::Request, &row).1, "{row:?}");
        }
        for row in [
            without(":authority"),
            replaced(":path", "/\u{e9}"),
            replaced(":path", "*"),
            vec![(":method", "CONNECT"), (":authority", "a:1")],
            [with("content-length", "1"), vec![("content-length", "1")]].concat(),
        ] {
            assert!(block(BlockKind::Request, &row).1, "{row:?}");
        }
    }

    #[test]
    fn answers_have_a_status_and_trailers_no_pseudo_header() {
        for (status, is_sound) in
            [("200", true), ("099", false), ("20", false), ("2000", false), ("2x0", false)]
        {
            let (block, sound) = block(BlockKind::Answer, &[(":status", status)]);
            assert_eq!((sound, block.status == 200), (is_sound, is_sound), "{status}");
        }
        assert!(!block(BlockKind::Answer, &[("x", "1")]).1);
        assert!(!block(BlockKind::Answer, &[(":status", "200"), (":status", "200")]).1);
        assert!(!block(BlockKind::Trailers, &[(":status", "200")]).1);
        assert!(block(BlockKind::Trailers, &[("x", "1"), ("host", "b")]).1);
    }

    #[test]
    fn too_many_bytes_are_told_and_not_kept() {
        let long = "x".repeat(500);
        let (block, is_sound) =
            block(BlockKind::Request, &[&GET[..], &[("a", &long), ("b", &long)]].concat());
        assert!(is_sound && block.is_too_large && block.fields.len() == 2);
    }
}
