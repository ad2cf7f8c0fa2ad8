//! Filter: answers plain requests with a redirect to the same URL over HTTPS.

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Reply, ReplyBody, ReplyKind};
use crate::message::{RequestHead, ResponseHead, Scheme};

/// Redirects `http` to `https`; host, path and query stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectHttps {
    /// Status code: 301, 302, 307 or 308.
    pub status: u16,
}

impl RedirectHttps {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        if cx.scheme == Scheme::Https || head.host().is_empty() {
            return Flow::Next;
        }
        let mut location = b"https://".to_vec();
        match head.host().contains(&b':') {
            true => location.extend([b"[", head.host(), b"]"].concat()),
            false => location.extend(head.host()),
        }
        if cx.https_port != 443 {
            location.extend(format!(":{}", cx.https_port).bytes());
        }
        location.extend(head.path());
        if let Some(query) = head.query() {
            location.push(b'?');
            location.extend(query);
        }
        Flow::Reply(Reply {
            status: self.status,
            fields: vec![("Location", location)],
            body: ReplyBody::Words,
            reason: "redirect_https",
            kind: ReplyKind::Answer,
        })
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    fn location(
        scheme: Scheme,
        https_port: u16,
        host: &str,
        path: &str,
        query: Option<&str>,
    ) -> Option<String> {
        let given = Given::default();
        let cx = FilterContext { scheme, https_port, ..given.cx() };
        let mut head = RequestHead::default();
        head.set_authority(host.as_bytes(), host.as_bytes());
        head.set_path(path.as_bytes());
        head.set_query(query.map(str::as_bytes));
        match (RedirectHttps { status: 308 }).request(&cx, &mut head) {
            Flow::Reply(reply) => {
                assert_eq!(reply.status, 308);
                Some(String::from_utf8(reply.fields[0].1.clone()).unwrap())
            }
            _ => None,
        }
    }

    #[test]
    fn plain_requests_are_sent_to_the_same_url_over_https() {
        let table = [
            (443, "shop.example", "/a", None, "https://shop.example/a"),
            (443, "shop.example", "/a", Some("b=c&d"), "https://shop.example/a?b=c&d"),
            (8443, "shop.example", "/", None, "https://shop.example:8443/"),
            (443, "2001:db8::1", "/", None, "https://[2001:db8::1]/"),
        ];
        for (port, host, path, query, want) in table {
            assert_eq!(location(Scheme::Http, port, host, path, query).as_deref(), Some(want));
        }
    }

    #[test]
    fn https_requests_and_requests_without_host_pass() {
        assert_eq!(location(Scheme::Https, 443, "shop.example", "/", None), None);
        assert_eq!(location(Scheme::Http, 443, "", "/", None), None);
    }
}
