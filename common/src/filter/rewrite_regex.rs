//! Filter: makes a new path out of what a regular expression finds in the old one.

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Reply, ReplyBody, ReplyKind, Template, path_change::below};
use crate::message::{RequestHead, ResponseHead, path, pattern::SearchPattern};

/// The field that tells a backend what was cut off its paths.
const PREFIX: &[u8] = b"x-forwarded-prefix";

/// A rewrite by a regular expression. The query stays. A path in which the expression is not found stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewriteRegex {
    /// What is looked for in the canonical path, whatever its case, anywhere in it.
    pub pattern: SearchPattern,
    /// The new path, with `$1` to `$9` for the groups of the expression; brought into canonical form. If it is a URL
    /// instead (`http://`, `https://` or `$scheme` at its begin) clients are sent there, with the query.
    pub replacement: Template,
    /// Value of `X-Forwarded-Prefix` to the backend; groups may be named here too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_prefix: Option<Template>,
}

impl RewriteRegex {
    /// Checks a replacement.
    ///
    /// # Errors
    /// When it can never become a path: why.
    pub fn check_replacement(replacement: &Template) -> Result<(), String> {
        match replacement.text().contains(['?', '#']) {
            true => {
                Err(format!("{replacement} holds a '?' or '#'; only the path is rewritten, the query stays"))
            }
            false => Ok(()),
        }
    }

    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        let Some(found) = self.pattern.regex().captures(head.path()) else { return Flow::Next };
        let mut groups = [&b""[..]; 9];
        for (number, group) in groups.iter_mut().enumerate() {
            *group = found.get(number + 1).map(|found| found.as_bytes()).unwrap_or_default();
        }
        let render = |template: &Template| {
            let mut out = Vec::with_capacity(64);
            template.render((cx, head), &groups, &mut out);
            out
        };
        let new = render(&self.replacement);
        let prefix = self.forwarded_prefix.as_ref().map(render);
        if self.is_url() {
            return redirect(new, head.query());
        }
        match self.canonical(new) {
            Some(new) => head.set_path(&new),
            None => return Flow::Reply(Reply::refusal(400, "rewrite_escapes")),
        }
        if let Some(prefix) = prefix {
            head.fields.retain(|_, name, _| !name.eq_ignore_ascii_case(PREFIX));
            head.fields.push(PREFIX, &prefix);
        }
        Flow::Next
    }

    fn is_url(&self) -> bool {
        let text = self.replacement.text();
        ["http://", "https://", "$scheme", "${scheme}"].iter().any(|begin| text.starts_with(begin))
    }

    /// The canonical form of a new path; `None` if it has none or does not lie where the replacement begins.
    fn canonical(&self, mut raw: Vec<u8>) -> Option<Vec<u8>> {
        if raw.first() != Some(&b'/') {
            raw.insert(0, b'/');
        }
        if path::is_canonical(&raw) {
            return Some(raw);
        }
        let canonical = |path: &[u8]| {
            let mut out = Vec::with_capacity(path.len());
            path::canonicalize(path, false, &mut out).map(|()| out).ok()
        };
        let new = canonical(&raw)?;
        let begin = self.replacement.begin();
        let folder = canonical(&begin.as_bytes()[..begin.rfind('/').unwrap_or(0)])?;
        let folder = folder.strip_suffix(b"/").unwrap_or(&folder);
        (self.replacement.is_plain() || below(&new, folder).is_some()).then_some(new)
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

fn redirect(mut location: Vec<u8>, query: Option<&[u8]>) -> Flow {
    if let Some(query) = query {
        location.push(if location.contains(&b'?') { b'&' } else { b'?' });
        location.extend_from_slice(query);
    }
    Flow::Reply(Reply {
        status: 302,
        fields: vec![("Location", location)],
        body: ReplyBody::Words,
        reason: "redirect",
        kind: ReplyKind::Answer,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Given, request},
        *,
    };

    fn rewrite(pattern: &str, replacement: &str) -> RewriteRegex {
        RewriteRegex {
            pattern: SearchPattern::new(pattern).unwrap(),
            replacement: Template::with_captures(replacement).unwrap(),
            forwarded_prefix: None,
        }
    }

    /// The new path, or the reason of a refusal.
    fn new_path(rewrite: &RewriteRegex, path: &str) -> Result<String, &'static str> {
        let mut head = request("a.test", path, Some("q=../1"));
        match rewrite.request(&Given::default().cx(), &mut head) {
            Flow::Next => {
                assert_eq!(head.query(), Some(&b"q=../1"[..]));
                Ok(String::from_utf8(head.path().to_vec()).unwrap())
            }
            Flow::Reply(reply) => Err(reply.reason),
            flow => panic!("{flow:?}"),
        }
    }

    #[test]
    fn groups_make_the_new_path() {
        let api = ("/api(/|$)(.*)", "/$2");
        let rows = [
            (api, "/api", "/"),
            (api, "/api/", "/"),
            (api, "/api/x/y", "/x/y"),
            (api, "/API/x", "/x"),
            (api, "/api/a%20b", "/a%20b"),
            (api, "/api/a%2Fb", "/a%2Fb"),
            (api, "/api/a%3Fb", "/a%3Fb"),
            (api, "/apix", "/apix"),
            (("/(.*)", "/base/$1"), "/", "/base/"),
            (("/(.*)", "/base/$1"), "/x/y", "/base/x/y"),
            (("/old", "/new"), "/old/x", "/new"),
            (("/a/(.*)", "/x/$3"), "/a/b", "/x/"),
            (("/a(/.*)", "/x$1"), "/a/b", "/x/b"),
            (("/a/(.*)", "$1"), "/a/b", "/b"),
            (("/(one|two)/(.*)", "/$2/$1/$host"), "/two/z", "/z/two/a.test"),
            (("/old", "/a/../b%2fc"), "/old", "/b%2Fc"),
        ];
        for ((pattern, replacement), path, wanted) in rows {
            let new = new_path(&rewrite(pattern, replacement), path);
            assert_eq!(new.as_deref(), Ok(wanted), "{pattern} {replacement} {path}");
        }
    }

    #[test]
    fn a_path_that_would_leave_the_replacement_is_refused() {
        let rows = [
            ("/x(.)/(.)(.*)", "/tenant/a/$1$2$3", "/x././b", Err("rewrite_escapes")),
            ("/x(.)/(.)(.*)", "/tenant/a/$1$2$3", "/xa/b/c", Ok("/tenant/a/ab/c")),
            ("/x/(.*)", "/a/$1", "/x/%zz", Err("rewrite_escapes")),
            ("/x/(.*)", "/a/$arg_q/$1", "/x/b", Err("rewrite_escapes")),
            ("/x/(.*)", "/a$arg_q/$1", "/x/b", Ok("/a../1/b")),
        ];
        for (pattern, replacement, path, wanted) in rows {
            let new = new_path(&rewrite(pattern, replacement), path);
            assert_eq!(new.as_deref(), wanted.as_ref().copied(), "{replacement} {path}");
        }
    }

    #[test]
    fn a_url_is_where_clients_are_sent() {
        for (target, wanted) in [("http://b.test/$1", "http://b.test/7"), ("$scheme://b/$1", "http://b/7")] {
            for (query, more) in [(None, ""), (Some("x=1"), "?x=1")] {
                let mut head = request("a.test", "/item/7", query);
                let flow = rewrite("/item/(.*)", target).request(&Given::default().cx(), &mut head);
                let Flow::Reply(reply) = flow else { panic!("{flow:?}") };
                assert_eq!(reply.status, 302);
                assert_eq!(String::from_utf8_lossy(&reply.fields[0].1), format!("{wanted}{more}"));
            }
        }
    }

    #[test]
    fn the_prefix_takes_the_place_of_one_that_the_client_sent() {
        let rewrite = RewriteRegex {
            forwarded_prefix: Some(Template::with_captures("/p/$1").unwrap()),
            ..rewrite("/(one|two)/(.*)", "/$2")
        };
        let mut head = request("a.test", "/one/x", None);
        head.fields.push(b"X-Forwarded-Prefix", b"/evil");
        assert_eq!(rewrite.request(&Given::default().cx(), &mut head), Flow::Next);
        assert_eq!(head.path(), b"/x");
        assert_eq!(head.fields.get_by_name("x-forwarded-prefix"), Some(&b"/p/one"[..]));
        assert_eq!(head.fields.len(), 2, "host and prefix");
    }

    #[test]
    fn a_replacement_has_no_query() {
        for (text, good) in [("/a/$1", true), ("/a?b=$1", false), ("/a?", false), ("/a#b", false)] {
            let replacement = Template::with_captures(text).unwrap();
            assert_eq!(RewriteRegex::check_replacement(&replacement).is_ok(), good, "{text}");
        }
    }
}
