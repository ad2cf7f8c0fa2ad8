//! Request and response heads: the one form of both that filters and the proxy work on.

use serde::{Deserialize, Serialize};

use super::authority::{self, AuthorityError};
use super::path::{self, PathError};
use super::{Fields, Known, Span};

/// Request methods (RFC 9110 §9); others keep their text in the head's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// `TRACE`
    Trace,
    /// `CONNECT`
    Connect,
    /// Any other token.
    Other(Span),
}

impl Method {
    /// The method of this name, if it is one of RFC 9110 or RFC 5789; methods are case-sensitive.
    pub fn known(name: &[u8]) -> Option<Method> {
        Some(match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => return None,
        })
    }

    /// Whether sending it twice has the effect of sending it once (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }

    /// Whether every server looks for the body of such a request. With others some do not, and take a body for the
    /// next request (RFC 9110 §9.3.1).
    pub fn usually_has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// Protocol version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
    /// No HTTP at all: a TCP connection.
    None,
}

impl Version {
    /// As written in an access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
            Self::None => "-",
        }
    }
}

/// How the client reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The usual port (RFC 9110 §4.2).
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The head of a request.
///
/// The path is in canonical form: matching, access control, rewriting and the upstream request all use it.
/// Host and path are normalised once, by whoever fills the head.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Method.
    pub method: Method,
    /// Version that the client spoke.
    pub version: Version,
    /// Header fields, `Host` included; for HTTP/2 it is made from `:authority`.
    pub fields: Fields,
    /// Whether `:scheme` of HTTP/2 is `https`.
    pub https_scheme: bool,
    target: Span,
    path: Span,
    query: Option<Span>,
    authority: Span,
    host: Span,
}

/// Where the parts of a request lie in the buffer of its fields.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    /// The request target as sent.
    pub target: Span,
    /// The path in canonical form.
    pub path: Span,
    /// The query without `?`.
    pub query: Option<Span>,
    /// Host and port as sent.
    pub authority: Span,
    /// The host as matched.
    pub host: Span,
}

impl Default for RequestHead {
    fn default() -> Self {
        let empty = Span::default();
        Self {
            method: Method::Get,
            version: Version::Http11,
            fields: Fields::default(),
            https_scheme: false,
            target: empty,
            path: empty,
            query: None,
            authority: empty,
            host: empty,
        }
    }
}

impl RequestHead {
    /// Makes it empty and keeps the memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        let empty = Span::default();
        (self.target, self.path, self.query) = (empty, empty, None);
        (self.authority, self.host, self.https_scheme) = (empty, empty, false);
        (self.method, self.version) = (Method::Get, Version::Http11);
    }

    /// Method as text.
    pub fn method_name(&self) -> &[u8] {
        match self.method {
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            Method::Post => b"POST",
            Method::Put => b"PUT",
            Method::Delete => b"DELETE",
            Method::Options => b"OPTIONS",
            Method::Patch => b"PATCH",
            Method::Trace => b"TRACE",
            Method::Connect => b"CONNECT",
            Method::Other(span) => self.fields.at(span),
        }
    }

    /// Sets the method from its text, which must be a token (RFC 9110 §5.6.2).
    pub fn set_method(&mut self, name: &[u8]) {
        self.method = match Method::known(name) {
            Some(method) => method,
            None => Method::Other(self.fields.store(name)),
        };
    }

    /// The request target as the client sent it, for logs.
    pub fn target(&self) -> &[u8] {
        self.fields.at(self.target)
    }

    /// Whether the client asks for something of scheme `https`, by an absolute target or by `:scheme`.
    pub fn is_https(&self) -> bool {
        let begin = self.target().get(..8);
        self.https_scheme || begin.is_some_and(|begin| begin.eq_ignore_ascii_case(b"https://"))
    }

    /// Stores the request target as it was sent.
    pub fn set_target(&mut self, target: &[u8]) {
        self.target = self.fields.store(target);
    }

    /// The path in canonical form; begins with `/`, or is `*` (for `OPTIONS *`).
    pub fn path(&self) -> &[u8] {
        self.fields.at(self.path)
    }

    /// Replaces the path; it must be in canonical form.
    pub fn set_path(&mut self, path: &[u8]) {
        self.path = self.fields.store(path);
    }

    /// The query without `?`, as the client sent it.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|span| self.fields.at(span))
    }

    /// Replaces the query.
    pub fn set_query(&mut self, query: Option<&[u8]>) {
        self.query = query.map(|query| self.fields.store(query));
    }

    /// Host and port as the client sent them (`Host` or `:authority`); empty if HTTP/1.0 sent none.
    pub fn authority(&self) -> &[u8] {
        self.fields.at(self.authority)
    }

    /// Where [`RequestHead::authority`] is stored, for a field with the same value.
    pub(crate) fn authority_span(&self) -> Span {
        self.authority
    }

    /// The host for matching: lower case, without port and trailing dot; an IPv6 address without brackets.
    pub fn host(&self) -> &[u8] {
        self.fields.at(self.host)
    }

    /// Stores authority (as sent) and host (as matched).
    pub fn set_authority(&mut self, authority: &[u8], host: &[u8]) {
        self.authority = self.fields.store(authority);
        self.host = self.fields.store(host);
    }

    /// Reads a request target in origin form, `/path?query`, or `*` for `OPTIONS`: stores it as sent, its path
    /// in canonical form and its query. The method must be set before.
    ///
    /// # Errors
    /// When the path has no canonical form.
    pub fn set_origin(&mut self, target: &[u8], reject_escaped_slash: bool) -> Result<(), PathError> {
        let stored = self.fields.store(target);
        let mark = memchr::memchr(b'?', target).unwrap_or(target.len());
        let (raw_path, after) = stored.split(mark);
        self.target = stored;
        self.query = (!after.is_empty()).then(|| after.split(1).1);
        if self.query().is_some_and(|query| query.contains(&b'#')) {
            return Err(PathError::Byte);
        }
        let is_server = target == b"*" && self.method == Method::Options;
        self.path = match is_server || path::is_canonical(&target[..mark]) {
            true => raw_path,
            false => self.canonical(&target[..mark], reject_escaped_slash)?,
        };
        Ok(())
    }

    /// Reads `Host` or `:authority`: stores it as sent, and the host as it is matched.
    ///
    /// # Errors
    /// When it is not a host with an optional port.
    pub fn set_host(&mut self, authority: &[u8]) -> Result<(), AuthorityError> {
        let parsed = authority::parse(authority)?;
        self.set_authority(authority, &parsed.host);
        Ok(())
    }

    /// Stores the canonical form of a path and says where.
    pub(crate) fn canonical(&mut self, raw: &[u8], reject_escaped_slash: bool) -> Result<Span, PathError> {
        let (span, result) = self.fields.store_with(|out| path::canonicalize(raw, reject_escaped_slash, out));
        result.map(|()| span)
    }

    /// Takes parts of the request that are in the buffer of its fields already.
    pub(crate) fn place(&mut self, parts: Parts) {
        let Parts { target, path, query, authority, host } = parts;
        (self.target, self.path, self.query) = (target, path, query);
        (self.authority, self.host) = (authority, host);
    }

    /// Whether the request asks for a switch of protocols (RFC 9110 §7.8).
    pub fn wants_upgrade(&self) -> bool {
        self.version == Version::Http11
            && self.fields.contains(Known::Upgrade)
            && self.fields.all(Known::Connection).any(|value| lists(value, b"upgrade"))
    }
}

/// The head of a response.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// Status code, 100 to 999.
    pub status: u16,
    /// Version that the backend spoke.
    pub version: Version,
    /// Header fields.
    pub fields: Fields,
    reason: Span,
}

impl ResponseHead {
    /// Most interim answers (RFC 9110 §15.2) of a backend to one request; more are a fault of it.
    pub const MOST_INTERIM: usize = 15;

    /// Makes it empty and keeps the memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        (self.status, self.version, self.reason) = (0, Version::Http11, Span::default());
    }

    /// The reason phrase, maybe empty.
    pub fn reason(&self) -> &[u8] {
        self.fields.at(self.reason)
    }

    /// Takes a reason phrase that is in the buffer of the fields already.
    pub(crate) fn place_reason(&mut self, reason: Span) {
        self.reason = reason;
    }

    /// Stores the reason phrase.
    pub fn set_reason(&mut self, reason: &[u8]) {
        self.reason = self.fields.store(reason);
    }
}

/// Whether a comma-separated list holds this token, whatever its case (RFC 9110 §5.6.1).
pub fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_stored_as_sent_and_in_canonical_form() {
        let rows: [(&str, &str, Option<&str>); 4] = [
            ("/a/b", "/a/b", None),
            ("/a/../%62?c=../d", "/b", Some("c=../d")),
            ("/?", "/", Some("")),
            ("*", "*", None),
        ];
        let mut head = RequestHead::default();
        for (target, path, query) in rows {
            head.clear();
            head.set_method(b"OPTIONS");
            assert_eq!(head.set_origin(target.as_bytes(), false), Ok(()));
            assert_eq!((head.target(), head.path()), (target.as_bytes(), path.as_bytes()));
            assert_eq!(head.query(), query.map(str::as_bytes));
        }
    }

    #[test]
    fn an_origin_without_canonical_form_is_refused() {
        let mut head = RequestHead::default();
        assert_eq!(head.set_origin(b"*", false), Err(PathError::NotAbsolute));
        assert_eq!(head.set_origin(b"/a#b", false), Err(PathError::Byte));
        assert_eq!(head.set_origin(b"/a?b#c", false), Err(PathError::Byte));
        assert_eq!(head.set_origin(b"/a%2fb", true), Err(PathError::EscapedSlash));
    }

    #[test]
    fn a_host_is_stored_as_sent_and_as_matched() {
        let mut head = RequestHead::default();
        assert_eq!(head.set_host(b"A.example.:80"), Ok(()));
        assert_eq!((head.authority(), head.host()), (&b"A.example.:80"[..], &b"a.example"[..]));
        assert_eq!(head.set_host(b"a@b"), Err(AuthorityError::Byte));
    }
}
