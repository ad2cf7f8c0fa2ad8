//! Filter: sends clients to a URL that is made for each request.

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Reply, ReplyBody, ReplyKind, Template};
use crate::message::{RequestHead, ResponseHead};

/// A redirect of every request, before it is looked whether it came over HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedirectTo {
    /// Where to, such as `https://new.test/` or `$scheme://www.a.test:$server_port$request_uri`.
    pub location: Template,
    /// Status code: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Whether one slash at the very end is cut off, be it one of the path or of the query.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub cut_slash: bool,
}

impl RedirectTo {
    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        let mut location = Vec::with_capacity(64);
        self.location.render((cx, head), &[], &mut location);
        if self.cut_slash && location.last() == Some(&b'/') {
            location.pop();
        }
        if location.is_empty() {
            return Flow::Reply(Reply::refusal(400, "redirect_to_nowhere"));
        }
        Flow::Reply(Reply {
            status: self.status,
            fields: vec![("Location", location)],
            body: ReplyBody::Words,
            reason: "redirect",
            kind: ReplyKind::Answer,
        })
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};
    use crate::message::Scheme;

    fn redirect(location: &str, cut_slash: bool) -> RedirectTo {
        RedirectTo { location: Template::parse(location).unwrap(), status: 308, cut_slash }
    }

    fn location(redirect: &RedirectTo, (host, target): (&str, &str)) -> Result<String, u16> {
        let given = Given::default();
        let cx = FilterContext { scheme: Scheme::Https, port: 443, ..given.cx() };
        let mut head = RequestHead::default();
        if !host.is_empty() {
            head.set_host(host.as_bytes()).unwrap();
        }
        head.set_origin(target.as_bytes(), false).unwrap();
        match redirect.request(&cx, &mut head) {
            Flow::Reply(reply) if reply.status == 308 => {
                Ok(String::from_utf8(reply.fields[0].1.clone()).unwrap())
            }
            Flow::Reply(reply) => Err(reply.status),
            flow => panic!("{flow:?}"),
        }
    }

    #[test]
    fn the_location_is_made_of_the_request() {
        let www = redirect("$scheme://a.test:$server_port$request_uri", true);
        let root = redirect("$scheme://$http_host/app", false);
        let rows = [
            (redirect("https://new.test/to", false), ("a.test", "/x?y"), "https://new.test/to"),
            (redirect("/new", false), ("a.test", "/x"), "/new"),
            (root, ("A.test:8443", "/?x=1"), "https://A.test:8443/app"),
            (www.clone(), ("www.a.test", "/"), "https://a.test:443"),
            (www.clone(), ("www.a.test", "/x//"), "https://a.test:443/x/"),
            (www.clone(), ("www.a.test", "/x?y=/"), "https://a.test:443/x?y="),
            (www, ("www.a.test", "/a%20b/%2F?"), "https://a.test:443/a%20b/%2F?"),
        ];
        for (redirect, asked, wanted) in rows {
            assert_eq!(location(&redirect, asked).as_deref(), Ok(wanted), "{asked:?}");
        }
    }

    #[test]
    fn a_redirect_to_nothing_is_refused() {
        assert_eq!(location(&redirect("$arg_to", false), ("a.test", "/x")), Err(400));
        assert_eq!(location(&redirect("/", true), ("a.test", "/x")), Err(400));
    }
}
