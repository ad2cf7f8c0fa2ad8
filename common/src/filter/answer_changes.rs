//! Filters: change where answers of backends lead, the cookies in them, and what browsers are told of HTTPS.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FilterContext, Flow, Template, template::push_safe};
use crate::message::{RequestHead, ResponseHead, Scheme};

/// Changes the begin of `Location` and of the URL in `Refresh`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationRewrite {
    /// The begin that is changed, such as `http://inside.test/`; others stay.
    pub from: Arc<str>,
    /// What comes in its place.
    pub to: Template,
}

/// Changes the attributes `Domain` and `Path` of cookies that a backend sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CookieRewrite {
    /// The domain that is changed, whatever its case and with or without a dot before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Replacement>,
    /// The begin of paths that is changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Replacement>,
}

/// A text and what comes in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The text that is changed; other texts stay.
    pub from: Arc<str>,
    /// What comes in its place.
    pub to: Template,
}

/// Tells browsers that came over HTTPS to do so for some time (RFC 6797), in every answer of the route, failures
/// included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StrictTransport {
    /// For how long, in seconds.
    pub max_age_seconds: u64,
    /// Whether that holds for all names below the host's too.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub include_subdomains: bool,
    /// Whether browsers may know it from the start.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub preload: bool,
}

impl LocationRewrite {
    pub(super) fn request(&self, _: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        Flow::Next
    }

    pub(super) fn response(&self, cx: &FilterContext<'_>, head: &mut ResponseHead) {
        change_fields(head, &[b"location", b"refresh"], |name, value| {
            let at = match name.eq_ignore_ascii_case(b"refresh") {
                true => url_of_refresh(value)?,
                false => 0,
            };
            let rest = value[at..].strip_prefix(self.from.as_bytes())?;
            let mut new = value[..at].to_vec();
            render(&self.to, cx, &mut new);
            new.extend_from_slice(rest);
            Some(new)
        });
    }
}

impl CookieRewrite {
    pub(super) fn request(&self, _: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        Flow::Next
    }

    pub(super) fn response(&self, cx: &FilterContext<'_>, head: &mut ResponseHead) {
        change_fields(head, &[b"set-cookie"], |_, value| self.cookie(cx, value));
    }

    /// The new cookie; `None` leaves it as it is.
    fn cookie(&self, cx: &FilterContext<'_>, value: &[u8]) -> Option<Vec<u8>> {
        let (mut new, mut is_other) = (Vec::with_capacity(value.len()), false);
        for (number, part) in value.split(|byte| *byte == b';').enumerate() {
            if number > 0 {
                new.push(b';');
            }
            let changed = (number > 0).then(|| self.attribute(cx, part)).flatten();
            is_other |= changed.is_some();
            new.extend_from_slice(changed.as_deref().unwrap_or(part));
        }
        is_other.then_some(new)
    }

    /// The new attribute with the spaces before it; `None` leaves it as it is.
    fn attribute(&self, cx: &FilterContext<'_>, part: &[u8]) -> Option<Vec<u8>> {
        let (name, value) = part.split_at(memchr::memchr(b'=', part)? + 1);
        let key = name[..name.len() - 1].trim_ascii();
        let value = value.trim_ascii();
        let (to, rest) = if key.eq_ignore_ascii_case(b"domain") {
            let bare = |domain: &[u8]| domain.strip_prefix(b".").unwrap_or(domain).to_ascii_lowercase();
            let change = self.domain.as_ref()?;
            (bare(value) == bare(change.from.as_bytes())).then_some((&change.to, &b""[..]))?
        } else if key.eq_ignore_ascii_case(b"path") {
            let change = self.path.as_ref()?;
            (&change.to, value.strip_prefix(change.from.as_bytes())?)
        } else {
            return None;
        };
        let mut new = name.to_vec();
        let begin = new.len();
        render(to, cx, &mut new);
        // Nothing in it may begin another attribute.
        if memchr::memchr(b';', &new[begin..]).is_some() {
            return None;
        }
        new.extend_from_slice(rest);
        Some(new)
    }
}

impl StrictTransport {
    pub(super) fn request(&self, _: &FilterContext<'_>, _: &mut RequestHead) -> Flow {
        Flow::Next
    }

    pub(super) fn response(&self, cx: &FilterContext<'_>, head: &mut ResponseHead) {
        const NAME: &[u8] = b"Strict-Transport-Security";
        if cx.scheme != Scheme::Https {
            return;
        }
        head.fields.retain(|_, name, _| !name.eq_ignore_ascii_case(NAME));
        head.fields.push_with(NAME, |out| {
            let mut text = itoa::Buffer::new();
            out.extend_from_slice(b"max-age=");
            out.extend_from_slice(text.format(self.max_age_seconds).as_bytes());
            if self.include_subdomains {
                out.extend_from_slice(b"; includeSubDomains");
            }
            if self.preload {
                out.extend_from_slice(b"; preload");
            }
        });
    }
}

/// Changes the values of fields of these names, in lower case; the fields keep their order among each other.
fn change_fields(
    head: &mut ResponseHead,
    names: &[&[u8]],
    mut change: impl FnMut(&[u8], &[u8]) -> Option<Vec<u8>>,
) {
    let is_one = |name: &[u8]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let (mut fields, mut is_other) = (Vec::new(), false);
    for (name, value) in head.fields.iter().filter(|(name, _)| is_one(name)) {
        let changed = change(name, value);
        is_other |= changed.is_some();
        fields.push((name.to_vec(), changed.unwrap_or_else(|| value.to_vec())));
    }
    if is_other {
        head.fields.retain(|_, name, _| !is_one(name));
        fields.iter().for_each(|(name, value)| head.fields.push(name, value));
    }
}

/// Where the URL of a `Refresh` begins: `5; url=/there`.
fn url_of_refresh(value: &[u8]) -> Option<usize> {
    let found = value.windows(4).position(|part| part.eq_ignore_ascii_case(b"url="))?;
    Some(found + 4)
}

fn render(template: &Template, cx: &FilterContext<'_>, out: &mut Vec<u8>) {
    match cx.asked {
        Some(asked) => template.render((cx, asked), &[], out),
        None => push_safe(template.text().as_bytes(), out),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Given, request},
        *,
    };

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    /// The answer's lines after a filter has seen an answer with these.
    fn lines(filter: impl Fn(&FilterContext<'_>, &mut ResponseHead), given: &[(&str, &str)]) -> Vec<String> {
        let (context, asked) = (Given::default(), request("a.test", "/", None));
        let cx = FilterContext { asked: Some(&asked), ..context.cx() };
        let mut head = ResponseHead::default();
        given.iter().for_each(|(name, value)| head.fields.push(name.as_bytes(), value.as_bytes()));
        filter(&cx, &mut head);
        let line = |(name, value): (&[u8], &[u8])| String::from_utf8([name, b": ", value].concat()).unwrap();
        head.fields.iter().map(line).collect()
    }

    #[test]
    fn the_begin_of_a_location_changes() {
        let inside = ("http://inside.test/", "https://outside.test/base/");
        let rows = [
            (inside, "Location", "http://inside.test/x", "https://outside.test/base/x"),
            (inside, "location", "http://other.test/x", "http://other.test/x"),
            (inside, "Location", "/rel", "/rel"),
            (inside, "Refresh", "5; URL=http://inside.test/x", "5; URL=https://outside.test/base/x"),
            (inside, "Refresh", "5", "5"),
            (("/", "https://$host/"), "Location", "/rel", "https://a.test/rel"),
            (("", "/b"), "Location", "/c", "/b/c"),
        ];
        for ((from, to), name, value, wanted) in rows {
            let filter = LocationRewrite { from: from.into(), to: template(to) };
            let got = lines(|cx, head| filter.response(cx, head), &[("x-a", "1"), (name, value)]);
            assert_eq!(got, ["x-a: 1".to_owned(), format!("{name}: {wanted}")]);
        }
    }

    #[test]
    fn domains_and_paths_of_cookies_change_and_all_else_stays() {
        let change = |from: &str, to: &str| Some(Replacement { from: from.into(), to: template(to) });
        let filter =
            CookieRewrite { domain: change("inside.test", "outside.test"), path: change("/in", "/out") };
        let rows = [
            (
                "a=b; Domain=inside.test; Path=/in/x; HttpOnly",
                "a=b; Domain=outside.test; Path=/out/x; HttpOnly",
            ),
            ("a=b; domain=.Inside.test", "a=b; domain=outside.test"),
            ("a=b; Domain=other.test; Path=/", "a=b; Domain=other.test; Path=/"),
            ("a=b", "a=b"),
            ("Path=/in; Path=/in", "Path=/in; Path=/out"),
            ("a=b;Secure;Path=/in", "a=b;Secure;Path=/out"),
        ];
        for (value, wanted) in rows {
            let given = [("Set-Cookie", value), ("x-a", "1"), ("set-cookie", "c=d; Path=/in")];
            let mut got = lines(|cx, head| filter.response(cx, head), &given);
            got.sort();
            let mut all =
                [format!("Set-Cookie: {wanted}"), "x-a: 1".into(), "set-cookie: c=d; Path=/out".into()];
            all.sort();
            assert_eq!(got, all);
        }
        let off = CookieRewrite { path: change("/", "$arg_x;"), ..CookieRewrite::default() };
        let got = lines(|cx, head| off.response(cx, head), &[("set-cookie", "a=b; Path=/")]);
        assert_eq!(got, ["set-cookie: a=b; Path=/"]);
    }

    #[test]
    fn only_answers_over_https_tell_of_it() {
        let filter = |include_subdomains, preload| StrictTransport {
            max_age_seconds: 100,
            include_subdomains,
            preload,
        };
        let rows = [
            (filter(true, false), "max-age=100; includeSubDomains"),
            (filter(false, true), "max-age=100; preload"),
            (filter(false, false), "max-age=100"),
        ];
        for (filter, wanted) in rows {
            let given = [("strict-transport-security", "max-age=5")];
            let plain = lines(|cx, head| filter.response(cx, head), &given);
            assert_eq!(plain, ["strict-transport-security: max-age=5"]);
            let secure = |cx: &FilterContext<'_>, head: &mut ResponseHead| {
                filter.response(&FilterContext { scheme: Scheme::Https, ..*cx }, head)
            };
            assert_eq!(lines(secure, &given), [format!("Strict-Transport-Security: {wanted}")]);
        }
    }
}
