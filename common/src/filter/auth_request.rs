//! Filter: lets in whom a service lets in, which is asked about each request.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Answer, FilterContext, Flow, Networks, Question, Reply, Template, template};
use crate::{
    duration,
    id::BackendId,
    message::{Known, KnownSet, RequestHead, ResponseHead},
};

/// A service that is asked whether a request may pass. What it is told of the request, and what becomes of its answer,
/// is as ingress-nginx does it: 2xx lets the request pass, 401 and 403 are the answer, and everything else, also
/// no answer at all, is 500.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthRequest {
    /// Who is asked: a backend of the snapshot.
    pub service: BackendId,
    /// Path and query that it is asked for; begins with `/`.
    pub target: Template,
    /// `Host` that it is asked for.
    pub host: Arc<str>,
    /// Method that it is asked with; without one it is `GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Arc<str>>,
    /// What it is told in `X-Auth-Request-Redirect`; without it that is the target of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Template>,
    /// Where clients are sent instead of being answered 401.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signin: Option<Template>,
    /// Fields of its answer that the backend gets. What the client sends under these names never reaches the backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_fields: Vec<Arc<str>>,
    /// Further fields that it is told; they replace those of the client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_fields: Vec<TemplateField>,
    /// Cookies that it sets reach the client whatever the answer is; else only with usual ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always_set_cookie: bool,
    /// What is remembered of its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<AuthCache>,
    /// Longest time that it may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Clients from these networks come in without asking the service.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub spared: Networks,
}

/// A field whose value is a template, which may hold a secret and is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateField {
    /// Name.
    pub name: Arc<str>,
    /// Value.
    pub value: Template,
}

/// How long answers of a service are remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthCache {
    /// Names the memory: filters with the same id share it.
    pub id: Arc<str>,
    /// Requests with the same key get the same answer.
    pub key: Template,
    /// How long, by status; the first one that names it, or names none, decides. Others are not remembered.
    pub times: Vec<CacheTime>,
}

/// How long answers with some statuses are remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheTime {
    /// The statuses; none means all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
    /// How long.
    #[serde(with = "duration")]
    pub duration: Duration,
}

/// What a service is to be asked about a request. The rest is said by the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceQuestion {
    /// Path and query.
    pub target: Vec<u8>,
    /// Fields that replace those of the client.
    pub fields: Vec<(Arc<str>, Vec<u8>)>,
    /// Key by which the answer may be remembered.
    pub key: Option<Vec<u8>>,
}

/// What a service answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAnswer {
    /// Status code.
    pub status: u16,
    /// Those fields of the answer that the filter [wants](AuthRequest::wants), in lower case.
    pub fields: Vec<(Box<str>, Vec<u8>)>,
}

impl fmt::Debug for TemplateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemplateField").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ServiceAnswer {
    /// Values of the fields of this name, which is in lower case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |(found, _)| **found == *name).map(|(_, value)| &value[..])
    }
}

impl AuthRequest {
    /// Text of a template for `signin`: this URL with a parameter that tells where the client wanted to go, unless the
    /// URL has it already.
    pub fn signin_text(url: &str, parameter: &str) -> String {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let has = query.split('&').any(|pair| pair.split('=').next() == Some(parameter));
        if has && !parameter.is_empty() {
            return url.to_owned();
        }
        let before = if url.contains('?') { '&' } else { '?' };
        format!("{url}{before}{parameter}=$pass_access_scheme://$http_host$escaped_request_uri")
    }

    /// Whether the filter wants this field of an answer, whatever the case of its name.
    pub fn wants(&self, name: &str) -> bool {
        let always = ["www-authenticate", "set-cookie"];
        always.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
            || self.response_fields.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    }

    /// How long an answer with this status is remembered.
    pub fn remembered(&self, status: u16) -> Option<Duration> {
        let times = &self.cache.as_ref()?.times;
        let time = times.iter().find(|time| time.statuses.is_empty() || time.statuses.contains(&status));
        time.map(|time| time.duration)
    }

    pub(super) fn request(&self, cx: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        if self.spared.contains(cx.client) {
            self.drop_said(head);
            return Flow::Next;
        }
        let render = |template: &Template| {
            let mut text = Vec::new();
            template.render((cx, head), &[], &mut text);
            text
        };
        let asked_for = template::origin_form(head.target()).to_vec();
        let mut fields: Vec<(Arc<str>, Vec<u8>)> = Vec::new();
        let mut push = |name: &str, value: Vec<u8>| fields.push((name.into(), value));
        push("Host", self.host.as_bytes().to_vec());
        if self.method.is_some() {
            push("X-Original-URI", asked_for.clone());
            push("X-Scheme", cx.scheme.as_str().into());
        }
        let begin = [cx.scheme.as_str().as_bytes(), b"://", head.authority()].concat();
        push("X-Original-URL", [&begin[..], &asked_for].concat());
        push("X-Original-Method", head.method_name().to_vec());
        push("X-Sent-From", b"nginx-ingress-controller".to_vec());
        push("X-Real-IP", cx.client.to_canonical().to_string().into());
        push("X-Forwarded-For", cx.client.to_canonical().to_string().into());
        push("X-Auth-Request-Redirect", self.redirect.as_ref().map_or(asked_for, render));
        for field in self.request_fields.iter().filter(|field| may_replace(&field.name)) {
            let is_same = |(name, _): &(Arc<str>, Vec<u8>)| name.eq_ignore_ascii_case(&field.name);
            fields.retain(|known| !is_same(known));
            fields.push((field.name.clone(), render(&field.value)));
        }
        let target = escaped(render(&self.target));
        let key = self.cache.as_ref().map(|cache| render(&cache.key));
        Flow::Ask(Box::new(Question::Service(ServiceQuestion { target, fields, key })))
    }

    pub(super) fn answered(&self, cx: &FilterContext<'_>, head: &mut RequestHead, answer: &Answer) -> Flow {
        let Answer::Service(Some(answer)) = answer else {
            return Flow::Reply(Reply::refusal(500, "auth_unreachable"));
        };
        match answer.status {
            200..=299 => {
                self.pass_on(head, answer);
                Flow::Next
            }
            401 => Flow::Reply(self.unauthenticated(cx, head, answer)),
            403 => Flow::Reply(self.with_cookies(Reply::refusal(403, "auth_forbidden"), answer)),
            _ => Flow::Reply(self.with_cookies(Reply::refusal(500, "auth_failed"), answer)),
        }
    }

    /// Gives the backend what the service says, and not what the client does.
    fn pass_on(&self, head: &mut RequestHead, answer: &ServiceAnswer) {
        self.drop_said(head);
        for name in self.response_fields.iter().filter(|name| may_replace(name)) {
            for value in answer.all(&name.to_ascii_lowercase()).filter(|value| !value.is_empty()) {
                head.fields.push(name.as_bytes(), value);
            }
        }
    }

    /// Takes away what the client sends under names of the service.
    fn drop_said(&self, head: &mut RequestHead) {
        let is_said =
            |name: &[u8]| self.response_fields.iter().any(|said| said.as_bytes().eq_ignore_ascii_case(name));
        if !self.response_fields.is_empty() {
            head.fields.retain(|known, name, _| FRAMING.contains(known) || !is_said(name));
        }
    }

    fn unauthenticated(&self, cx: &FilterContext<'_>, head: &RequestHead, answer: &ServiceAnswer) -> Reply {
        let challenges = answer.all("www-authenticate").map(|value| ("WWW-Authenticate", value.to_vec()));
        let challenges = challenges.collect();
        let Some(signin) = &self.signin else {
            let reply = Reply { fields: challenges, ..Reply::refusal(401, "unauthenticated") };
            return self.with_cookies(reply, answer);
        };
        let mut location = Vec::new();
        signin.render((cx, head), &[], &mut location);
        // A blank would cut the URL off for some clients.
        let mut location = escape_all(location, |byte| !byte.is_ascii_graphic());
        if location.starts_with(b"/") && !location.starts_with(b"//") {
            let begin = [cx.scheme.as_str().as_bytes(), b"://", head.authority()].concat();
            location.splice(0..0, begin);
        }
        let mut reply = Reply { fields: challenges, ..Reply::refusal(302, "signin") };
        reply.fields.push(("Location", location));
        reply.fields.extend(answer.all("set-cookie").map(|value| ("Set-Cookie", value.to_vec())));
        reply
    }

    fn with_cookies(&self, mut reply: Reply, answer: &ServiceAnswer) -> Reply {
        if self.always_set_cookie {
            reply.fields.extend(answer.all("set-cookie").map(|value| ("Set-Cookie", value.to_vec())));
        }
        reply
    }

    pub(super) fn response(&self, _: &FilterContext<'_>, _: &mut ResponseHead) {}
}

/// Fields that say where a message ends or goes, which nobody replaces.
const FRAMING: KnownSet = KnownSet::HOP_BY_HOP.with(KnownSet::of(&[Known::ContentLength, Known::Host]));

fn may_replace(name: &str) -> bool {
    !FRAMING.contains(Known::of(name.as_bytes()))
}

/// A request target in which nothing ends it too early, and no byte stands that a URL cannot hold.
fn escaped(text: Vec<u8>) -> Vec<u8> {
    escape_all(text, |byte| !byte.is_ascii_graphic() || byte == b'#')
}

/// A text with these bytes as escapes of a URL.
fn escape_all(text: Vec<u8>, is_odd: impl Fn(u8) -> bool) -> Vec<u8> {
    if !text.iter().any(|byte| is_odd(*byte)) {
        return text;
    }
    let pieces = text.iter().flat_map(|byte| match is_odd(*byte) {
        true => format!("%{byte:02X}").into_bytes(),
        false => vec![*byte],
    });
    pieces.collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Given, auth_request, request, template},
        *,
    };

    fn head() -> RequestHead {
        let mut head = request("shop.example", "/x", Some("y=1"));
        head.set_target(b"/x?y=1");
        head
    }

    fn asked(filter: &AuthRequest) -> ServiceQuestion {
        let flow = filter.request(&Given::default().cx(), &mut head());
        let Flow::Ask(question) = flow else { panic!("{flow:?}") };
        let Question::Service(question) = *question else { panic!("{question:?}") };
        question
    }

    fn answer(status: u16, fields: &[(&str, &str)]) -> Answer {
        let fields = fields.iter().map(|(name, value)| ((*name).into(), value.as_bytes().to_vec()));
        Answer::Service(Some(Arc::new(ServiceAnswer { status, fields: fields.collect() })))
    }

    #[test]
    fn the_service_is_told_what_is_asked() {
        let names = |question: &ServiceQuestion| {
            let text =
                |(name, value): &(Arc<str>, Vec<u8>)| format!("{name}: {}", String::from_utf8_lossy(value));
            question.fields.iter().map(text).collect::<Vec<_>>()
        };
        let usual = [
            "Host: auth.example",
            "X-Original-URL: http://shop.example/x?y=1",
            "X-Original-Method: GET",
            "X-Sent-From: nginx-ingress-controller",
            "X-Real-IP: 192.0.2.1",
            "X-Forwarded-For: 192.0.2.1",
            "X-Auth-Request-Redirect: /x?y=1",
        ];
        let question = asked(&auth_request());
        assert_eq!(
            (names(&question), &question.target[..]),
            (usual.map(str::to_owned).into(), &b"/auth"[..])
        );
        let more = asked(&AuthRequest {
            method: Some("POST".into()),
            redirect: Some(template("https://else.example/x")),
            target: template("/auth/$host?uri=$request_uri"),
            request_fields: vec![
                TemplateField { name: "X-Tenant".into(), value: template("$host") },
                TemplateField { name: "x-real-ip".into(), value: template("none") },
            ],
            ..auth_request()
        });
        assert_eq!(more.target, b"/auth/shop.example?uri=/x?y=1");
        for line in [
            "X-Original-URI: /x?y=1",
            "X-Scheme: http",
            "X-Auth-Request-Redirect: https://else.example/x",
            "X-Tenant: shop.example",
            "x-real-ip: none",
        ] {
            assert!(names(&more).iter().any(|name| name == line), "{line}: {more:?}");
        }
        assert!(!names(&more).iter().any(|name| name == "X-Real-IP: 192.0.2.1"));
    }

    #[test]
    fn only_2xx_lets_a_request_pass_and_no_answer_never_does() {
        let rows = [
            (answer(200, &[]), None),
            (answer(204, &[]), None),
            (answer(299, &[]), None),
            (answer(401, &[]), Some(401)),
            (answer(403, &[]), Some(403)),
            (answer(302, &[]), Some(500)),
            (answer(404, &[]), Some(500)),
            (answer(503, &[]), Some(500)),
            (Answer::Service(None), Some(500)),
            (Answer::Busy, Some(500)),
            (Answer::Password(true), Some(500)),
        ];
        for (answer, wanted) in rows {
            let status = match auth_request().answered(&Given::default().cx(), &mut head(), &answer) {
                Flow::Next => None,
                Flow::Reply(reply) => Some(reply.status),
                flow => panic!("{flow:?}"),
            };
            assert_eq!(status, wanted, "{answer:?}");
        }
    }

    #[test]
    fn the_backend_is_told_what_the_service_says_and_never_what_the_client_says() {
        let filter = AuthRequest {
            response_fields: vec![
                "X-User".into(),
                "X-Missing".into(),
                "Content-Length".into(),
                "Host".into(),
            ],
            ..auth_request()
        };
        let mut head = head();
        head.fields.push(b"Content-Length", b"3");
        for name in ["x-user", "X-Missing", "X-Other"] {
            head.fields.push(name.as_bytes(), b"forged");
        }
        let answer = answer(200, &[("x-user", "alice"), ("set-cookie", "a=b"), ("content-length", "9")]);
        assert_eq!(filter.answered(&Given::default().cx(), &mut head, &answer), Flow::Next);
        assert_eq!(head.fields.get_by_name("x-user"), Some(&b"alice"[..]));
        assert_eq!(head.fields.get_by_name("x-missing"), None);
        assert_eq!(head.fields.get_by_name("x-other"), Some(&b"forged"[..]));
        assert_eq!(head.fields.all(Known::ContentLength).collect::<Vec<_>>(), [b"3"]);
        assert_eq!(head.fields.get(Known::Host), Some(&b"shop.example"[..]));
    }

    #[test]
    fn who_must_sign_in_is_sent_there() {
        let fields = [("www-authenticate", "Bearer"), ("set-cookie", "a=b")];
        let reply = |filter: &AuthRequest, status| {
            let flow = filter.answered(&Given::default().cx(), &mut head(), &answer(status, &fields));
            let Flow::Reply(reply) = flow else { panic!("{flow:?}") };
            reply
        };
        let field = |reply: &Reply, wanted: &str| {
            let found = reply.fields.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let plain = reply(&auth_request(), 401);
        assert_eq!(field(&plain, "WWW-Authenticate").as_deref(), Some("Bearer"));
        assert_eq!(field(&plain, "Set-Cookie"), None);
        let always = AuthRequest { always_set_cookie: true, ..auth_request() };
        for status in [401, 403, 500] {
            assert_eq!(field(&reply(&always, status), "Set-Cookie").as_deref(), Some("a=b"), "{status}");
        }
        let rd = "http://shop.example%2Fx%3Fy%3D1";
        let rows = [
            ("https://login/start", "rd", format!("https://login/start?rd={rd}")),
            ("https://login/start?x=1", "next", format!("https://login/start?x=1&next={rd}")),
            ("https://login/start?rd=https://b/", "rd", "https://login/start?rd=https://b/".to_owned()),
            ("https://login/a b\u{e9}", "rd", format!("https://login/a%20b%C3%A9?rd={rd}")),
            ("/local", "rd", format!("http://shop.example/local?rd={rd}")),
        ];
        for (url, parameter, wanted) in rows {
            let signin = Some(template(&AuthRequest::signin_text(url, parameter)));
            let sent = reply(&AuthRequest { signin, ..auth_request() }, 401);
            assert_eq!((sent.status, field(&sent, "Location")), (302, Some(wanted)), "{url}");
            assert_eq!(field(&sent, "Set-Cookie").as_deref(), Some("a=b"));
            assert_eq!(field(&sent, "WWW-Authenticate").as_deref(), Some("Bearer"));
        }
    }

    #[test]
    fn who_is_spared_is_not_asked_about_and_forges_nothing() {
        let filter = AuthRequest {
            response_fields: vec!["X-User".into()],
            spared: Networks::from_iter(["192.0.2.0/24".parse().unwrap()]),
            ..auth_request()
        };
        let mut head = head();
        head.fields.push(b"x-user", b"forged");
        assert_eq!(filter.request(&Given::default().cx(), &mut head), Flow::Next);
        assert_eq!(head.fields.get_by_name("x-user"), None);
        let other =
            AuthRequest { spared: Networks::from_iter(["198.51.100.0/24".parse().unwrap()]), ..filter };
        assert!(matches!(other.request(&Given::default().cx(), &mut head), Flow::Ask(_)));
    }

    #[test]
    fn answers_are_remembered_by_status() {
        let seconds = Duration::from_secs;
        let times = vec![
            CacheTime { statuses: vec![200, 204], duration: seconds(600) },
            CacheTime { statuses: Vec::new(), duration: seconds(1) },
        ];
        let cache = AuthCache { id: "a".into(), key: template("$http_x_user"), times };
        let filter = AuthRequest { cache: Some(cache), ..auth_request() };
        let rows = [(200, 600), (204, 600), (401, 1)];
        for (status, wanted) in rows {
            assert_eq!(filter.remembered(status), Some(seconds(wanted)), "{status}");
        }
        assert_eq!(asked(&filter).key.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn nothing_of_a_request_ends_the_target_early() {
        let rows = [("/a?b", "/a?b"), ("/a b#c\u{7f}", "/a%20b%23c%7F"), ("/\u{e9}", "/%C3%A9")];
        for (given, wanted) in rows {
            assert_eq!(escaped(given.as_bytes().to_vec()), wanted.as_bytes());
        }
    }
}
