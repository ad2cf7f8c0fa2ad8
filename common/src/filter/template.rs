//! Templates: texts with variables of a request in them, taken apart once and filled in for each request.

use std::{fmt, io::Write, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::FilterContext;
use crate::{
    message::{Known, RequestHead},
    near,
    quote::shorten,
};

/// Longest text of a template, in bytes.
const MAX_TEXT_BYTES: usize = 4096;
/// Most variables in one template. Each is at most three times as long as the head of a request.
const MAX_VARIABLES: usize = 32;

/// What stands for a dollar sign.
const DOLLAR: &str = "${$}";

/// Variables without a name of the user's behind them.
const PLAIN: [(&str, Variable); 16] = [
    ("args", Variable::Query),
    ("best_http_host", Variable::Authority),
    ("escaped_request_uri", Variable::EscapedTarget),
    ("host", Variable::Host),
    ("http_host", Variable::Authority),
    ("is_args", Variable::QuestionMark),
    ("pass_access_scheme", Variable::Scheme),
    ("pass_server_port", Variable::Port),
    ("query_string", Variable::Query),
    ("remote_addr", Variable::Client),
    ("request_method", Variable::Method),
    ("request_uri", Variable::Target),
    ("scheme", Variable::Scheme),
    ("server_port", Variable::Port),
    ("uri", Variable::Path),
    ("pass_port", Variable::Port),
];

/// A text with variables, such as `https://$host$request_uri`.
///
/// It is taken apart once; nothing in it is ever evaluated. A variable is `$name` or `${name}`: `args` and
/// `query_string`, `host`, `http_host` and `best_http_host`, `is_args`, `remote_addr`, `request_method`,
/// `request_uri` and `escaped_request_uri`, `scheme` and `pass_access_scheme`, `server_port`, `pass_server_port` and
/// `pass_port`, `uri`, and `arg_NAME`, `cookie_NAME` and `http_NAME` with a name behind them. Where the caller has
/// matched a pattern, `$1` to `$9` are what its groups matched. What a request does not have is empty. `${$}` is a
/// dollar sign.
///
/// What comes out never holds CR, LF or NUL. Printed and serialised it is the text that it came from.
#[derive(Clone)]
pub struct Template {
    text: Arc<str>,
    pieces: Arc<[Piece]>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It is longer than 4096 bytes.
    #[error("the text is longer than {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// It has more than 32 variables.
    #[error("the text has more than {MAX_VARIABLES} variables")]
    TooManyVariables,
    /// It holds a byte that neither a header field nor a URL can hold.
    #[error("the text holds a control character, such as the end of a line")]
    ControlCharacter,
    /// A `$` has no name behind it.
    #[error("a '$' has no name of a variable behind it")]
    NoName,
    /// A `${` has no `}`.
    #[error("a '${{' has no '}}' behind it")]
    Unclosed,
    /// Nothing has that name; the second text suggests another one, or is empty.
    #[error("there is no variable ${0}{1}")]
    Unknown(String, String),
    /// It names a group of a pattern where no pattern is matched.
    #[error("${0} stands for a group of a pattern, and no pattern is matched here")]
    NoPattern(u8),
}

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    Variable(Variable),
}

/// What of a request stands in the place of a variable.
#[derive(Clone, Debug)]
enum Variable {
    /// The parameter of the query with this name, as it was sent.
    Argument(Box<str>),
    /// Host and port as they were sent.
    Authority,
    /// What this group of a pattern matched.
    Capture(u8),
    /// Address of the client.
    Client,
    /// The cookie of this name.
    Cookie(Box<str>),
    /// The request target, so that it can stand in a query.
    EscapedTarget,
    /// The field of this name, in lower case and with `_` for `-`.
    Field(Box<str>),
    /// The host as it is matched.
    Host,
    Method,
    /// The path in canonical form, as filters have left it.
    Path,
    Port,
    Query,
    /// `?` if there is a query.
    QuestionMark,
    Scheme,
    /// The request target in origin form, as it was sent.
    Target,
}

impl Template {
    /// Takes a text apart in which no group of a pattern may be named.
    ///
    /// # Errors
    /// When it is no template: why.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let template = Self::with_captures(text)?;
        let capture = template.pieces.iter().find_map(|piece| match piece {
            Piece::Variable(Variable::Capture(number)) => Some(*number),
            _ => None,
        });
        capture.map_or(Ok(template), |number| Err(TemplateError::NoPattern(number)))
    }

    /// Takes a text apart in which `$1` to `$9` are what the groups of a pattern matched.
    ///
    /// # Errors
    /// When it is no template: why.
    pub fn with_captures(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TemplateError::TooLong);
        }
        if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(TemplateError::ControlCharacter);
        }
        let (mut pieces, mut rest, mut variables) = (Vec::new(), text, 0);
        while let Some(at) = rest.find('$') {
            push_text(&mut pieces, &rest[..at]);
            if let Some(after) = rest[at..].strip_prefix(DOLLAR) {
                push_text(&mut pieces, "$");
                rest = after;
                continue;
            }
            let (variable, after) = take_variable(&rest[at + 1..])?;
            pieces.push(Piece::Variable(variable));
            variables += 1;
            rest = after;
        }
        push_text(&mut pieces, rest);
        match variables > MAX_VARIABLES {
            true => Err(TemplateError::TooManyVariables),
            false => Ok(Self { text: text.into(), pieces: pieces.into() }),
        }
    }

    /// The text of a template that is this text for all requests, whatever is in it.
    pub fn escape(text: &str) -> String {
        text.replace('$', DOLLAR)
    }

    /// The text that it came from.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether it is the same for all requests.
    pub fn is_plain(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// What stands before the first variable.
    pub(super) fn begin(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            Some(Piece::Variable(_)) | None => "",
        }
    }

    /// The largest number of a group of a pattern that it names; 0 if it names none.
    pub fn captures(&self) -> u8 {
        let numbers = self.pieces.iter().map(|piece| match piece {
            Piece::Variable(Variable::Capture(number)) => *number,
            _ => 0,
        });
        numbers.max().unwrap_or(0)
    }

    /// Appends the text for a request. `captures` is what the groups of a pattern matched, `$1` first.
    pub fn render(
        &self,
        (cx, head): (&FilterContext<'_>, &RequestHead),
        captures: &[&[u8]],
        out: &mut Vec<u8>,
    ) {
        for piece in self.pieces.iter() {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(Variable::Capture(number)) => {
                    let captured = captures.get(usize::from(*number) - 1);
                    push_safe(captured.copied().unwrap_or_default(), out);
                }
                Piece::Variable(variable) => variable.render(cx, head, out),
            }
        }
    }
}

impl Variable {
    fn named(name: &str) -> Result<Self, TemplateError> {
        if let Some((_, variable)) = PLAIN.iter().find(|(known, _)| *known == name) {
            return Ok(variable.clone());
        }
        let behind = |prefix| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        if let Some(name) = behind("arg_") {
            return Ok(Self::Argument(name.into()));
        }
        if let Some(name) = behind("http_") {
            return Ok(Self::Field(name.to_ascii_lowercase().into()));
        }
        if let Some(name) = behind("cookie_") {
            return Ok(Self::Cookie(name.into()));
        }
        let hint = near::suggest(name, PLAIN.iter().map(|(name, _)| *name));
        Err(TemplateError::Unknown(shorten(name).into_owned(), hint))
    }

    fn render(&self, cx: &FilterContext<'_>, head: &RequestHead, out: &mut Vec<u8>) {
        match self {
            Self::Argument(name) => push_safe(argument(head, name).unwrap_or_default(), out),
            Self::Authority => push_safe(head.authority(), out),
            Self::Cookie(name) => push_safe(cookie(head, name).unwrap_or_default(), out),
            Self::EscapedTarget => escape(origin_form(head.target()), out),
            Self::Field(name) => push_field(head, name, out),
            Self::Host => push_host(head.host(), out),
            Self::Method => push_safe(head.method_name(), out),
            Self::Path => push_safe(head.path(), out),
            Self::Query => push_safe(head.query().unwrap_or_default(), out),
            Self::QuestionMark => {
                out.extend_from_slice(if head.query().unwrap_or_default().is_empty() { b"" } else { b"?" })
            }
            Self::Scheme => out.extend_from_slice(cx.scheme.as_str().as_bytes()),
            Self::Target => push_safe(origin_form(head.target()), out),
            Self::Client => push_number(&cx.client.to_canonical(), out),
            Self::Port => push_number(&cx.port, out),
            Self::Capture(_) => {}
        }
    }
}

/// The variable behind a `$`, and what follows it. One digit is a group of a pattern, whatever follows.
fn take_variable(text: &str) -> Result<(Variable, &str), TemplateError> {
    if let Some(inner) = text.strip_prefix('{') {
        let (name, after) = inner.split_once('}').ok_or(TemplateError::Unclosed)?;
        return match name.as_bytes() {
            [digit @ b'1'..=b'9'] => Ok((Variable::Capture(digit - b'0'), after)),
            [] => Err(TemplateError::NoName),
            _ => Ok((Variable::named(name)?, after)),
        };
    }
    if let Some(digit @ b'1'..=b'9') = text.bytes().next() {
        return Ok((Variable::Capture(digit - b'0'), &text[1..]));
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let end = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
    match &text[..end] {
        "" => Err(TemplateError::NoName),
        name => Ok((Variable::named(name)?, &text[end..])),
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
}

/// Appends bytes of a request. They hold none that would end a line, as whoever read the request looked; but what comes
/// out depends on nobody having done so.
pub(super) fn push_safe(bytes: &[u8], out: &mut Vec<u8>) {
    match memchr::memchr3(b'\r', b'\n', b'\0', bytes) {
        None => out.extend_from_slice(bytes),
        Some(_) => out.extend(bytes.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | b'\0'))),
    }
}

/// Appends a number or address.
fn push_number(number: &dyn fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}

/// Appends a host, which is an IPv6 address if there is a colon in it.
pub(super) fn push_host(host: &[u8], out: &mut Vec<u8>) {
    match host.contains(&b':') {
        true => out.extend([b"[", host, b"]"].concat()),
        false => push_safe(host, out),
    }
}

/// Escapes all but the bytes that mean nothing anywhere in a URL (RFC 3986 §2.3).
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ => out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        }
    }
}

/// A target without the scheme and host that it may begin with (RFC 9112 §3.2.2).
pub(super) fn origin_form(target: &[u8]) -> &[u8] {
    if matches!(target.first(), None | Some(b'/' | b'*')) {
        return target;
    }
    let Some(at) = memchr::memmem::find(target, b"://") else { return target };
    match target[at + 3..].iter().position(|byte| matches!(byte, b'/' | b'?')) {
        Some(begin) => &target[at + 3 + begin..],
        None => b"/",
    }
}

/// The value of the first parameter of this name, whatever its case, not decoded.
fn argument<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    let mut pairs = head.query()?.split(|byte| *byte == b'&');
    pairs.find_map(|pair| value_of(pair, name))
}

/// The value of the first cookie of this name, whatever its case.
fn cookie<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    let pairs = head.fields.all(Known::Cookie).flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| value_of(pair, name))
}

fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let (key, value) = pair.split_at(memchr::memchr(b'=', pair)?);
    key.eq_ignore_ascii_case(name.as_bytes()).then(|| &value[1..])
}

/// Appends the values of all fields of a name as one list (RFC 9110 §5.3); cookies are joined as RFC 9113 §8.2.3 says.
fn push_field(head: &RequestHead, name: &str, out: &mut Vec<u8>) {
    let is_named = |found: &[u8]| {
        let same = |(found, wanted): (&u8, u8)| match found {
            b'-' => wanted == b'_',
            byte => byte.to_ascii_lowercase() == wanted,
        };
        found.len() == name.len() && found.iter().zip(name.bytes()).all(same)
    };
    let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
    let values = head.fields.iter().filter(|(found, _)| is_named(found));
    for (number, (_, value)) in values.enumerate() {
        if number > 0 {
            out.extend_from_slice(separator);
        }
        push_safe(value, out);
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::with_captures(text)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::with_captures(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Given, request},
        *,
    };
    use crate::message::Scheme;

    fn rendered(text: &str, head: &RequestHead, captures: &[&[u8]]) -> String {
        let given = Given::default();
        let client = "::ffff:192.0.2.7".parse().unwrap();
        let cx = FilterContext { scheme: Scheme::Https, port: 8443, client, ..given.cx() };
        let mut out = b">".to_vec();
        Template::with_captures(text).unwrap().render((&cx, head), captures, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn usual() -> RequestHead {
        let mut head = request("a.test", "/b c", None);
        head.set_host(b"A.test:8443").unwrap();
        head.set_method(b"POST");
        head.set_origin(b"/x/../b%20c?d=1&E=/%2F&e=2&d", false).unwrap();
        for (name, value) in
            [("X-One-Two", "1"), ("x-one-two", "2"), ("Cookie", "Sid=a=b; other=c"), ("cookie", "sid=z")]
        {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn variables_are_what_the_request_says() {
        let rows = [
            ("", ""),
            ("plain / 100%", "plain / 100%"),
            ("$host", "a.test"),
            ("$http_host|$best_http_host", "A.test:8443|A.test:8443"),
            ("$request_uri", "/x/../b%20c?d=1&E=/%2F&e=2&d"),
            ("$escaped_request_uri", "%2Fx%2F..%2Fb%2520c%3Fd%3D1%26E%3D%2F%252F%26e%3D2%26d"),
            ("$uri$is_args$args", "/b%20c?d=1&E=/%2F&e=2&d"),
            ("$query_string", "d=1&E=/%2F&e=2&d"),
            ("$scheme $pass_access_scheme", "https https"),
            ("$remote_addr", "192.0.2.7"),
            ("$request_method", "POST"),
            ("$server_port $pass_server_port $pass_port", "8443 8443 8443"),
            ("$arg_d,$arg_e,$arg_f", "1,/%2F,"),
            ("$http_x_one_two|$http_X_One_Two|$http_none", "1, 2|1, 2|"),
            ("$cookie_sid $cookie_other $cookie_oth", "a=b c "),
            ("$http_cookie", "Sid=a=b; other=c; sid=z"),
            ("${host}name", "a.testname"),
            ("$host.$scheme", "a.test.https"),
            ("/$2$1${3}$9", "/twoone"),
            ("$10", "one0"),
            ("/x(.*)${$}|${$}{host}|5${$}", "/x(.*)$|${host}|5$"),
        ];
        for (text, wanted) in rows {
            assert_eq!(rendered(text, &usual(), &[b"one", b"two"]), format!(">{wanted}"), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let text = "$host$http_host$request_uri$is_args$args$arg_a$http_a$cookie_a$1";
        assert_eq!(rendered(text, &RequestHead::default(), &[]), ">");
    }

    #[test]
    fn a_target_in_absolute_form_loses_its_host_and_an_ipv6_host_has_brackets() {
        let rows = [
            ("http://a.test/b?c", "/b?c"),
            ("http://a.test?c", "?c"),
            ("http://a.test", "/"),
            ("/http://b", "/http://b"),
            ("*", "*"),
            ("a:80", "a:80"),
        ];
        for (target, wanted) in rows {
            let mut head = RequestHead::default();
            head.set_target(target.as_bytes());
            head.set_authority(b"[::1]:80", b"::1");
            assert_eq!(rendered("$host$request_uri", &head, &[]), format!(">[::1]{wanted}"), "{target}");
        }
    }

    #[test]
    fn no_line_ends_in_what_comes_out() {
        let mut head = RequestHead::default();
        head.set_target(b"/a\r\nb\0");
        head.set_path(b"/p\n");
        head.set_query(Some(b"x=\ny"));
        head.fields.push(b"x-a", b"\r1");
        head.set_authority(b"h\n", b"h\r");
        let text = "$request_uri$uri$args$arg_x$http_x_a$host$http_host$1";
        assert_eq!(rendered(text, &head, &[b"c\nd"]), ">/ab/px=yy1hhcd");
        assert_eq!(rendered("$escaped_request_uri", &head, &[]), ">%2Fa%0D%0Ab%00");
    }

    #[test]
    fn what_is_escaped_comes_out_as_it_was() {
        for text in ["", "/x(.*)$", "$host", "${host}$$", "${$}"] {
            let escaped = Template::escape(text);
            assert_eq!(rendered(&escaped, &usual(), &[]), format!(">{text}"), "{escaped}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        let rows = [
            ("$hots", "there is no variable $hots (did you mean \"host\"?)"),
            ("$server_name_of_all", "there is no variable $server_name_of_all"),
            ("${request_url}", "there is no variable $request_url (did you mean \"request_uri\"?)"),
            ("$http_", "there is no variable $http_"),
            ("${host", "a '${' has no '}' behind it"),
            ("${}", "a '$' has no name of a variable behind it"),
            ("5 $", "a '$' has no name of a variable behind it"),
            ("$$host", "a '$' has no name of a variable behind it"),
            ("$0", "there is no variable $0"),
            ("a\r\nb", "the text holds a control character, such as the end of a line"),
            ("a$1", "$1 stands for a group of a pattern, and no pattern is matched here"),
        ];
        for (text, wanted) in rows {
            assert_eq!(Template::parse(text).unwrap_err().to_string(), wanted, "{text:?}");
        }
        assert_eq!(Template::parse(&"a".repeat(4097)), Err(TemplateError::TooLong));
        assert_eq!(Template::parse(&"$uri".repeat(33)), Err(TemplateError::TooManyVariables));
        assert!(Template::parse(&"$uri".repeat(32)).is_ok());
    }

    #[test]
    fn it_is_written_as_the_text_that_it_came_from() {
        let text = r#""https://${host}/$1$request_uri""#;
        let template: Template = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&template).unwrap(), text);
        assert_eq!(template.to_string(), "https://${host}/$1$request_uri");
        assert_eq!((template.captures(), template.is_plain()), (1, false));
        assert!(Template::parse("/a").is_ok_and(|plain| plain.is_plain() && plain.captures() == 0));
        assert!(serde_json::from_str::<Template>(r#""$nothing""#).is_err());
    }
}
