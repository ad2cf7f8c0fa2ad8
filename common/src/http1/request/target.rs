//! Request targets: their four forms (RFC 9112 §3.2), held against `Host`.

use std::borrow::Cow;

use super::{HeadLimits, RequestError};
use crate::message::authority::{self, Authority};
use crate::message::path;
use crate::message::{Method, Parts, RequestHead, Span, Version};

/// A request target taken apart (RFC 9112 §3.2).
struct Target<'a> {
    /// Path as sent; `*` for the server as a whole, empty for `CONNECT`.
    path: &'a [u8],
    query: Option<&'a [u8]>,
    /// Authority and default port, if the target names them.
    authority: Option<(&'a [u8], Option<u16>)>,
}

/// Reads the target, holds it against `Host`, and stores what is found.
pub(super) fn place(
    text: &[u8],
    target: &[u8],
    host: Option<&[u8]>,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<(), RequestError> {
    let read = read_target(target, head.method)?;
    let mut parts = Parts { target: span(text, target), ..Parts::default() };
    parts.query = read.query.map(|query| span(text, query));
    parts.path = match read.path {
        path if path == b"*" || path::is_canonical(path) => span_of(text, path, head),
        b"" if head.method == Method::Connect => Span::default(),
        path => head.canonical(path, limits.reject_escaped_slash)?,
    };
    let sent = match (host, read.authority) {
        (Some(host), _) => host,
        (None, _) if head.version != Version::Http10 => return Err(RequestError::NoHost),
        (None, Some((authority, _))) => authority,
        (None, None) => {
            head.place(parts);
            return Ok(());
        }
    };
    let parsed = authority::parse(sent)?;
    if let Some((authority, default_port)) = read.authority {
        let named = authority::parse(authority)?;
        if !agree(&parsed, &named, default_port) {
            return Err(RequestError::HostDisagrees);
        }
    }
    parts.authority = span(text, sent);
    parts.host = match &parsed.host {
        Cow::Borrowed(host) => span(text, host),
        Cow::Owned(host) => head.fields.store(host),
    };
    head.place(parts);
    Ok(())
}

/// The place of a path that is a part of the head, or stored anew if it is a constant.
fn span_of(text: &[u8], path: &[u8], head: &mut RequestHead) -> Span {
    match text.as_ptr_range().contains(&path.as_ptr()) {
        true => span(text, path),
        false => head.fields.store(path),
    }
}

/// Whether `Host` and the target name the same host and port. `CONNECT` has no default port, so there a `Host`
/// without port is taken to agree.
fn agree(host: &Authority<'_>, target: &Authority<'_>, default_port: Option<u16>) -> bool {
    host.host == target.host
        && match default_port {
            Some(_) => host.port.or(default_port) == target.port.or(default_port),
            None => host.port.is_none() || host.port == target.port,
        }
}

fn read_target(target: &[u8], method: Method) -> Result<Target<'_>, RequestError> {
    if method == Method::Connect {
        let is_authority = authority::parse(target)?.port.is_some();
        let authority = Some((target, None));
        return if is_authority {
            Ok(Target { path: b"", query: None, authority })
        } else {
            Err(RequestError::BadTarget)
        };
    }
    let (origin, authority) = match target {
        [b'/', ..] => (target, None),
        b"*" if method == Method::Options => {
            return Ok(Target { path: target, query: None, authority: None });
        }
        _ => {
            let (rest, port) = after_scheme(target).ok_or(RequestError::BadTarget)?;
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            (&rest[end..], Some((&rest[..end], Some(port))))
        }
    };
    let (path, query) = match memchr::memchr(b'?', origin) {
        Some(mark) => (&origin[..mark], Some(&origin[mark + 1..])),
        None => (origin, None),
    };
    // A fragment is never sent; readers differ in where it ends the path.
    if query.is_some_and(|query| query.contains(&b'#')) || path.contains(&b'#') {
        return Err(RequestError::BadTarget);
    }
    let path = match (path, query) {
        (b"", None) if method == Method::Options => b"*",
        (b"", _) => b"/",
        (path, _) => path,
    };
    Ok(Target { path, query, authority })
}

/// What follows the scheme of an absolute target, and the scheme's port.
fn after_scheme(target: &[u8]) -> Option<(&[u8], u16)> {
    let schemes: [(&[u8], u16); 2] = [(b"http://", 80), (b"https://", 443)];
    schemes.into_iter().find_map(|(scheme, port)| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some((rest, port))
    })
}

/// The place of a part of the head in the buffer of the fields, where the head comes first.
fn span(text: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    debug_assert!(start + part.len() <= text.len(), "the part was cut from the head");
    Span::new(start, start + part.len())
}
