//! Differences: what two answers say that a client could notice.

use std::collections::BTreeSet;

use super::{Difference, ask::Answer, body};

/// What a difference in status is called.
pub(super) const STATUS: &str = "status";
/// Fields that differ with each answer, or with whoever gives it, and concern no client; the length is that of the body.
const ALWAYS: [&str; 10] = [
    "age",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "set-cookie",
    "transfer-encoding",
    "x-request-id",
    REASON,
];
/// The field by which an answer of the edge itself is known, and what the pages of nginx itself hold.
const REASON: &str = "x-selvedge-reason";
const NGINX: &[u8] = b"<center>nginx</center>";
const CONTENT_TYPE: &str = "content-type";
/// What stands for something that is not there.
pub(super) const NONE: &str = "(none)";

/// What differs; nothing if neither was answered.
pub(super) fn find(a: &Result<Answer, String>, b: &Result<Answer, String>) -> Vec<Difference> {
    let (a, b) = match (a, b) {
        (Err(_), Err(_)) => return Vec::new(),
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            let said = |answer: &Result<Answer, String>| match answer {
                Ok(answer) => answer.status.to_string(),
                Err(why) => why.clone(),
            };
            return different("answer", said(a), said(b)).into_iter().collect();
        }
    };
    let mut found = Vec::new();
    found.extend(different(STATUS, a.status.to_string(), b.status.to_string()));
    let names = a.fields.iter().chain(&b.fields).map(|(name, _)| name.as_str());
    let are_own = are_own(a, b);
    let is_no_matter = |name: &str| is_always_different(name) || (are_own && name == CONTENT_TYPE);
    let names: BTreeSet<_> = names.filter(|name| !is_no_matter(name)).collect();
    found.extend(names.into_iter().filter_map(|name| different(name, field(a, name), field(b, name))));
    found.extend(different("set-cookie", cookies(a), cookies(b)));
    if !are_own && a.status == b.status && field(a, CONTENT_TYPE) == field(b, CONTENT_TYPE) {
        found.extend(body::find(a, b));
    }
    found
}

/// Whether both proxies answered by themselves, and alike: their pages for people have other words. An answer without a
/// body, as to HEAD, may be anybody's.
fn are_own(a: &Answer, b: &Answer) -> bool {
    let of_edge = |answer: &Answer| answer.fields.iter().any(|(name, _)| name == REASON);
    let may_be_own = |answer: &Answer| {
        let body = &answer.body;
        of_edge(answer) || body.is_empty() || body.windows(NGINX.len()).any(|part| part == NGINX)
    };
    a.status == b.status && (of_edge(a) || of_edge(b)) && may_be_own(a) && may_be_own(b)
}

/// Whether a field says nothing where it differs.
pub(super) fn is_always_different(name: &str) -> bool {
    ALWAYS.contains(&name.to_ascii_lowercase().as_str())
}

pub(super) fn different(what: &str, a: String, b: String) -> Option<Difference> {
    (a != b).then(|| Difference { what: what.to_owned(), a, b })
}

/// All values of a field.
pub(super) fn field(answer: &Answer, name: &str) -> String {
    let values = answer.fields.iter().filter(|(named, _)| named == name).map(|(_, value)| value.as_str());
    let values: Vec<_> = values.collect();
    if values.is_empty() { NONE.into() } else { values.join(", ") }
}

/// Names and attributes of the cookies that are set. Their values are secrets, and differ anyway.
fn cookies(answer: &Answer) -> String {
    let set = answer.fields.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| {
        let mut parts = value.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().split('=').next().unwrap_or_default();
        let mut attributes: Vec<_> = parts.map(attribute).filter(|part| !part.is_empty()).collect();
        attributes.sort();
        std::iter::once(name.to_owned()).chain(attributes).collect::<Vec<_>>().join("; ")
    });
    let mut set: Vec<_> = set.collect();
    set.sort();
    if set.is_empty() { NONE.into() } else { set.join(", ") }
}

/// An attribute of a cookie; a point in time differs with each answer.
fn attribute(text: &str) -> String {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let name = name.trim().to_ascii_lowercase();
    match value.trim() {
        value if name == "expires" || value.is_empty() => name,
        value => format!("{name}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)], length: u64) -> Result<Answer, String> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Answer { status, fields, length, sum: length, body: Vec::new() })
    }

    fn names(a: &Result<Answer, String>, b: &Result<Answer, String>) -> Vec<String> {
        find(a, b).into_iter().map(|difference| difference.what).collect()
    }

    #[test]
    fn what_a_client_could_notice_is_found() {
        let (set, plain) = ("set-cookie", ("content-type", "text/plain"));
        let usual = answer(200, &[plain, (set, "a=1; Path=/; Expires=Mon")], 3);
        let cases: [(Result<Answer, String>, &[&str]); 8] = [
            (answer(200, &[(set, "a=2; expires=Tue; path=/"), plain, ("date", "x")], 3), &[]),
            (answer(200, &[plain, (set, "b=1; Path=/; Expires=Mon")], 3), &["set-cookie"]),
            (answer(200, &[plain, (set, "a=1; Path=/; Expires=Mon; Secure")], 4), &["set-cookie", "body"]),
            (answer(404, &[plain, (set, "a=1; Path=/; Expires=Mon"), ("server", "x")], 9), &["status"]),
            (answer(200, &[], 3), &["content-type", "set-cookie"]),
            (
                answer(200, &[plain, (set, "a=1; Path=/; Expires=Mon"), ("access-control-max-age", "1")], 3),
                &["access-control-max-age"],
            ),
            (Err("cannot connect".into()), &["answer"]),
            (answer(200, &[plain, (set, "a=1; Path=/; Expires=Mon"), ("x-any", "1")], 3), &["x-any"]),
        ];
        for (other, want) in cases {
            assert_eq!(names(&usual, &other), want, "{other:?}");
        }
        assert_eq!(names(&Err("a".into()), &Err("b".into())), [""; 0]);
    }

    #[test]
    fn pages_of_the_proxies_themselves_may_have_other_words() {
        let page = |status, reason: &[(&str, &str)], kind, body: &str| {
            let mut answer = answer(status, &[reason, &[("content-type", kind)]].concat(), body.len() as u64);
            answer.as_mut().unwrap().body = body.into();
            answer
        };
        let edge = page(404, &[("x-selvedge-reason", "no_route")], "text/plain", "404");
        let nginx = |status| page(status, &[], "text/html", "<hr><center>nginx</center>");
        assert_eq!(names(&nginx(404), &edge), [""; 0]);
        assert_eq!(names(&edge, &nginx(404)), [""; 0]);
        assert_eq!(names(&edge, &page(404, &[], "text/html", "")), [""; 0]);
        assert_eq!(names(&nginx(403), &edge), ["status", "content-type"]);
        assert_eq!(names(&edge, &page(404, &[], "text/html", "ours")), ["content-type"]);
        let plain = page(404, &[], "text/plain", "404");
        assert_eq!(names(&nginx(404), &plain), ["content-type"]);
    }

    #[test]
    fn values_of_cookies_are_not_told() {
        let (one, other) = (answer(200, &[("set-cookie", "a=secret")], 0), answer(200, &[], 0));
        let told = find(&one, &other);
        assert_eq!((&*told[0].a, &*told[0].b), ("a", NONE));
    }
}
