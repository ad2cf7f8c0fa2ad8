//! Filter: answers plain requests with a redirect to the same URL over HTTPS.

use serde::{Deserialize, Serialize};

use super::{
    FilterContext, Flow, Reply, ReplyBody, ReplyKind,
    template::{origin_form, push_safe},
};
use crate::message::{RequestHead, ResponseHead, Scheme};

/// Redirects `http` to `https`; host, path and query stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedirectHttps {
    /// Status code: 301, 302, 307 or 308.
    pub status: u16,
    /// Whether host and target are passed on as the client sent them and not in canonical form; but for one slash at
    /// the end of the target, be it one of the path or of the query, which is cut off (ingress-nginx).
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub as_sent: bool,
}

impl RedirectHttps {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        if cx.scheme == Scheme::Https || head.host().is_empty() {
            return Flow::Next;
        }
        let mut location = b"https://".to_vec();
        match head.host().contains(&b':') {
            true => location.extend([b"[", head.host(), b"]"].concat()),
            false if self.as_sent => push_safe(without_port(head.authority()), &mut location),
            false => location.extend(head.host()),
        }
        if cx.https_port != 443 {
            location.extend(format!(":{}", cx.https_port).bytes());
        }
        match self.as_sent {
            true => {
                let target = origin_form(head.target());
                push_safe(target.strip_suffix(b"/").unwrap_or(target), &mut location);
            }
            false => push_canonical(head, &mut location),
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

/// A host as it was sent, which is no IPv6 address.
fn without_port(authority: &[u8]) -> &[u8] {
    authority.split(|byte| *byte == b':').next().unwrap_or_default()
}

fn push_canonical(head: &RequestHead, out: &mut Vec<u8>) {
    out.extend(head.path());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend(query);
    }
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
        match (RedirectHttps { status: 308, as_sent: false }).request(&cx, &mut head) {
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
    fn host_and_target_may_stay_as_they_were_sent_but_for_a_slash_at_the_end() {
        let rows = [
            ("a.test", "/", "https://a.test"),
            ("A.TEST:8080", "/foo/", "https://A.TEST/foo"),
            ("a.test", "//x", "https://a.test//x"),
            ("a.test", "/a/../b", "https://a.test/a/../b"),
            ("a.test", "/?", "https://a.test/?"),
            ("a.test", "/x?a=%20&b=/", "https://a.test/x?a=%20&b="),
            ("a.test", "http://a.test/x/", "https://a.test/x"),
            ("[::1]:80", "/x", "https://[::1]/x"),
        ];
        for (host, target, wanted) in rows {
            let mut head = RequestHead::default();
            head.set_host(host.as_bytes()).unwrap();
            head.set_target(target.as_bytes());
            let flow =
                RedirectHttps { status: 308, as_sent: true }.request(&Given::default().cx(), &mut head);
            let Flow::Reply(reply) = flow else { panic!("{flow:?}") };
            assert_eq!(String::from_utf8_lossy(&reply.fields[0].1), wanted, "{host} {target}");
        }
    }

    #[test]
    fn https_requests_and_requests_without_host_pass() {
        assert_eq!(location(Scheme::Https, 443, "shop.example", "/", None), None);
        assert_eq!(location(Scheme::Http, 443, "", "/", None), None);
    }
}
