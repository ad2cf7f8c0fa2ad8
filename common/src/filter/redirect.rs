//! Filter: sends clients to another URL (Gateway API `HTTPRequestRedirectFilter`).

use std::{io::Write, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, PathChange, Reply, ReplyBody, ReplyKind};
use crate::message::{RequestHead, ResponseHead, Scheme};

/// A redirect; what it does not name stays as the client asked for it, the query always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The new scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The new host, without port; an IPv6 address without brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// The new port. Without it, it is the usual one of the scheme if that is named, and else the one that the
    /// client came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The new path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathChange>,
    /// Status code: 301, 302, 303, 307 or 308.
    pub status: u16,
}

impl Redirect {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        let host = self.host.as_ref().map_or(head.host(), |host| host.as_bytes());
        if host.is_empty() {
            return Flow::Reply(Reply::refusal(400, "redirect_without_host"));
        }
        let path = match self.path.as_ref().map(|path| path.apply(head.path())) {
            Some(Ok(new)) => new,
            Some(Err(_)) => return Flow::Reply(Reply::refusal(400, "redirect_escapes")),
            None => None,
        };
        let path = path.as_deref().unwrap_or(head.path());
        let location = self.location(cx, host, path, head.query());
        Flow::Reply(Reply {
            status: self.status,
            fields: vec![("Location", location)],
            body: ReplyBody::Words,
            reason: "redirect",
            kind: ReplyKind::Answer,
        })
    }

    fn location(&self, cx: &FilterContext<'_>, host: &[u8], path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
        let scheme = self.scheme.unwrap_or(cx.scheme);
        let port = self.port.unwrap_or(match self.scheme {
            Some(scheme) => scheme.port(),
            None => cx.port,
        });
        let mut location = Vec::with_capacity(64);
        location.extend_from_slice(scheme.as_str().as_bytes());
        location.extend_from_slice(b"://");
        match host.contains(&b':') {
            true => location.extend([b"[", host, b"]"].concat()),
            false => location.extend_from_slice(host),
        }
        if port != scheme.port() {
            // Writing to a Vec cannot fail.
            let _ = write!(location, ":{port}");
        }
        location.extend_from_slice(path);
        if let Some(query) = query {
            location.push(b'?');
            location.extend_from_slice(query);
        }
        location
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Given, request},
        *,
    };

    const SAME: Redirect = Redirect { scheme: None, host: None, port: None, path: None, status: 302 };

    fn location(redirect: &Redirect, (scheme, port): (Scheme, u16), path: &str) -> String {
        let given = Given::default();
        let cx = FilterContext { scheme, port, ..given.cx() };
        let mut head = request("shop.example", path, Some("q=1"));
        match redirect.request(&cx, &mut head) {
            Flow::Reply(reply) => String::from_utf8(reply.fields[0].1.clone()).unwrap(),
            flow => panic!("{flow:?}"),
        }
    }

    #[test]
    fn scheme_host_and_port_follow_gateway_api() {
        let (plain, secure) = ((Scheme::Http, 80), (Scheme::Https, 443));
        let to = |scheme, port| Redirect { scheme, port, ..SAME };
        let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
        let rows = [
            (to(None, None), plain, "http://shop.example/a?q=1"),
            (to(None, None), secure, "https://shop.example/a?q=1"),
            // Without scheme and port, the port is that of the listener.
            (to(None, None), (Scheme::Http, 8080), "http://shop.example:8080/a?q=1"),
            (to(None, None), (Scheme::Https, 8443), "https://shop.example:8443/a?q=1"),
            // With a scheme, it is the usual one of the scheme.
            (to(https, None), (Scheme::Http, 8080), "https://shop.example/a?q=1"),
            (to(http, None), (Scheme::Https, 8443), "http://shop.example/a?q=1"),
            // A port that is named counts, and is left out where it is the usual one.
            (to(https, Some(8443)), plain, "https://shop.example:8443/a?q=1"),
            (to(https, Some(443)), plain, "https://shop.example/a?q=1"),
            (to(None, Some(80)), (Scheme::Http, 8080), "http://shop.example/a?q=1"),
            (to(None, Some(80)), secure, "https://shop.example:80/a?q=1"),
        ];
        for (redirect, came, wanted) in rows {
            assert_eq!(location(&redirect, came, "/a"), wanted, "{redirect:?} {came:?}");
        }
        let elsewhere = |host: &str| Redirect { host: Some(host.into()), ..SAME };
        assert_eq!(location(&elsewhere("b.example"), plain, "/a"), "http://b.example/a?q=1");
        assert_eq!(location(&elsewhere("2001:db8::1"), plain, "/a"), "http://[2001:db8::1]/a?q=1");
    }

    #[test]
    fn the_path_changes_and_the_query_stays() {
        let to = |path: Result<PathChange, String>| Redirect { path: Some(path.unwrap()), ..SAME };
        let rows = [
            (to(PathChange::full("/new")), "/old/x", "http://shop.example/new?q=1"),
            (to(PathChange::prefix("/old", "/new")), "/old/x", "http://shop.example/new/x?q=1"),
            (to(PathChange::prefix("/old", "")), "/old", "http://shop.example/?q=1"),
            (to(PathChange::prefix("/old", "/new")), "/older", "http://shop.example/older?q=1"),
        ];
        for (redirect, path, wanted) in rows {
            assert_eq!(location(&redirect, (Scheme::Http, 80), path), wanted, "{path}");
        }
    }

    #[test]
    fn a_request_without_host_is_refused_unless_one_is_named() {
        let given = Given::default();
        let refused = Flow::Reply(Reply::refusal(400, "redirect_without_host"));
        assert_eq!(SAME.request(&given.cx(), &mut request("", "/", None)), refused);
        let named = Redirect { host: Some("a".into()), ..SAME };
        assert_ne!(named.request(&given.cx(), &mut request("", "/", None)), refused);
    }
}
