//! Filter: tells browsers which other sites may use this one (CORS, the Fetch standard).

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{FilterContext, Flow, Reply, ReplyBody, ReplyKind};
use crate::message::{Fields, Method, RequestHead, ResponseHead};

/// Which origins may use a site and how. A preflight (any `OPTIONS`) of an origin that may is answered with 204
/// before anything else is asked; one of another origin goes to the backend as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Origins that may; without any, all may, and are told so even if they do not ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<CorsOrigin>,
    /// Value of `Access-Control-Allow-Methods`.
    pub methods: Arc<str>,
    /// Value of `Access-Control-Allow-Headers`.
    pub headers: Arc<str>,
    /// Value of `Access-Control-Expose-Headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose_headers: Option<Arc<str>>,
    /// Whether cookies and the like may be sent along.
    pub credentials: bool,
    /// For how many seconds a browser may remember the answer to a preflight.
    pub max_age_seconds: u64,
}

/// An origin that may use a site: `https://a.test`, `http://a.test:8080`, or `https://*.a.test`, whose star is one
/// label of letters, digits and dashes. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigin {
    text: Arc<str>,
    /// What stands before and after the star; without one, all of it and nothing.
    before: Box<str>,
    after: Option<Box<str>>,
}

/// Names of the fields that a site may not set itself beside a filter.
const FIELDS: [&str; 6] = [
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
];

impl Cors {
    pub(super) fn request(&self, _: &FilterContext<'_>, head: &mut RequestHead) -> Flow {
        match head.method == Method::Options && self.allowed(head).is_some() {
            true => Flow::Reply(Reply {
                status: 204,
                fields: Vec::new(),
                body: ReplyBody::Words,
                reason: "cors_preflight",
                kind: ReplyKind::Answer,
            }),
            false => Flow::Next,
        }
    }

    pub(super) fn response(&self, cx: &FilterContext<'_>, head: &mut ResponseHead) {
        let Some(origin) = cx.asked.and_then(|asked| self.allowed(asked)) else { return };
        let fields = &mut head.fields;
        let is_ours = |name: &[u8]| FIELDS.iter().any(|field| field.as_bytes().eq_ignore_ascii_case(name));
        fields.retain(|_, name, _| !is_ours(name));
        self.push_fields(&origin, fields);
    }

    fn push_fields(&self, origin: &[u8], fields: &mut Fields) {
        let [name, credentials, methods, headers, expose, age] = FIELDS.map(str::as_bytes);
        fields.push(name, origin);
        if self.credentials {
            fields.push(credentials, b"true");
        }
        fields.push(methods, self.methods.as_bytes());
        fields.push(headers, self.headers.as_bytes());
        if let Some(names) = &self.expose_headers {
            fields.push(expose, names.as_bytes());
        }
        let mut text = itoa::Buffer::new();
        fields.push(age, text.format(self.max_age_seconds).as_bytes());
    }

    /// The origin that is told that it may; `None` if the one that asks may not.
    fn allowed<'h>(&self, head: &'h RequestHead) -> Option<Cow<'h, [u8]>> {
        if self.origins.is_empty() {
            return Some(Cow::Borrowed(b"*"));
        }
        let asking = head.fields.get_by_name("origin")?;
        self.origins.iter().any(|origin| origin.is(asking)).then_some(Cow::Borrowed(asking))
    }
}

impl CorsOrigin {
    /// Reads an origin.
    ///
    /// # Errors
    /// When it is none: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let told = |why: &str| Err(format!("{text:?} is no origin: {why}"));
        let Some((scheme, host)) = text.split_once("://") else {
            return told("it has no scheme, such as \"https://\" before its host");
        };
        if scheme.is_empty()
            || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            return told("its scheme is none");
        }
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let rest = host.strip_prefix("*.").unwrap_or(host);
        if rest.is_empty() || !rest.bytes().all(is_host) {
            return told(
                "only a host, with \"*.\" before it and a port behind it if wanted, may follow the scheme",
            );
        }
        let (before, after) = match host.len() == rest.len() {
            true => (text.into(), None),
            false => (format!("{scheme}://").into(), Some(format!(".{rest}").into())),
        };
        Ok(Self { text: text.into(), before, after })
    }

    /// Whether it is the one that asks.
    fn is(&self, asking: &[u8]) -> bool {
        let Some(after) = &self.after else {
            return asking.eq_ignore_ascii_case(self.before.as_bytes());
        };
        let Some(middle) = asking.len().checked_sub(self.before.len() + after.len()) else { return false };
        let (before, rest) = asking.split_at(self.before.len());
        let (label, end) = rest.split_at(middle);
        let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        before.eq_ignore_ascii_case(self.before.as_bytes())
            && end.eq_ignore_ascii_case(after.as_bytes())
            && !label.is_empty()
            && label.iter().all(is_label)
    }
}

impl Serialize for CorsOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for CorsOrigin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Given, *};

    fn cors(origins: &[&str]) -> Cors {
        Cors {
            origins: origins.iter().map(|text| CorsOrigin::parse(text).unwrap()).collect(),
            methods: "GET, PUT".into(),
            headers: "X-One".into(),
            expose_headers: None,
            credentials: true,
            max_age_seconds: 60,
        }
    }

    fn asking(method: &[u8], origin: Option<&str>) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_method(method);
        origin.iter().for_each(|origin| head.fields.push(b"Origin", origin.as_bytes()));
        head
    }

    /// What is told to one that asks.
    fn told(cors: &Cors, origin: Option<&str>) -> Option<String> {
        let (given, asked) = (Given::default(), asking(b"GET", origin));
        let cx = FilterContext { asked: Some(&asked), ..given.cx() };
        let mut head = ResponseHead::default();
        cors.response(&cx, &mut head);
        let value = head.fields.get_by_name("access-control-allow-origin")?;
        Some(String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn an_origin_is_compared_whole_and_without_case() {
        let list: &[&str] = &["https://one.test", "http://two.test:8080", "https://*.three.test"];
        let rows = [
            (list, Some("https://one.test"), true),
            (list, Some("HTTPS://ONE.TEST"), true),
            (list, Some("https://one.test:443"), false),
            (list, Some("https://one.test.evil.test"), false),
            (list, Some("http://one.test"), false),
            (list, Some("http://two.test:8080"), true),
            (list, Some("http://two.test"), false),
            (list, Some("https://a.three.test"), true),
            (list, Some("https://A-1.Three.test"), true),
            (list, Some("https://b.a.three.test"), false),
            (list, Some("https://three.test"), false),
            (list, Some("https://.three.test"), false),
            (list, Some("https://a-three.test"), false),
            (list, Some("https://a.three.test:8443"), false),
            (list, Some("https://a.three.test.evil"), false),
            (list, Some("https:"), false),
            (list, Some("null"), false),
            (list, None, false),
        ];
        for (origins, origin, wanted) in rows {
            let wanted = origin.filter(|_| wanted).map(str::to_owned);
            assert_eq!(told(&cors(origins), origin), wanted, "{origin:?}");
        }
        for origin in [Some("https://any.test"), Some("null"), None] {
            assert_eq!(told(&cors(&[]), origin).as_deref(), Some("*"), "{origin:?}");
        }
    }

    #[test]
    fn a_preflight_is_answered_where_the_origin_may() {
        let rows = [
            (&["https://a.test"][..], "OPTIONS", Some("https://a.test"), true),
            (&["https://a.test"], "OPTIONS", Some("https://b.test"), false),
            (&["https://a.test"], "OPTIONS", None, false),
            (&["https://a.test"], "GET", Some("https://a.test"), false),
            (&[], "OPTIONS", None, true),
            (&[], "options", None, false),
        ];
        for (origins, method, origin, answered) in rows {
            let mut head = asking(method.as_bytes(), origin);
            let flow = cors(origins).request(&Given::default().cx(), &mut head);
            let status = match &flow {
                Flow::Reply(reply) => Some((reply.status, reply.kind)),
                _ => None,
            };
            let wanted = answered.then_some((204, ReplyKind::Answer));
            assert_eq!(status, wanted, "{origins:?} {method} {origin:?}");
        }
    }

    #[test]
    fn fields_take_the_place_of_those_of_the_backend() {
        let (given, asked) = (Given::default(), asking(b"GET", None));
        let cx = FilterContext { asked: Some(&asked), ..given.cx() };
        let lines = |cors: &Cors| {
            let mut head = ResponseHead::default();
            head.fields.push(b"access-control-allow-origin", b"backend");
            head.fields.push(b"x-a", b"1");
            cors.response(&cx, &mut head);
            let line =
                |(name, value): (&[u8], &[u8])| String::from_utf8([name, b": ", value].concat()).unwrap();
            head.fields.iter().map(line).collect::<Vec<_>>()
        };
        let mut wanted = vec![
            "x-a: 1",
            "Access-Control-Allow-Origin: *",
            "Access-Control-Allow-Credentials: true",
            "Access-Control-Allow-Methods: GET, PUT",
            "Access-Control-Allow-Headers: X-One",
            "Access-Control-Max-Age: 60",
        ];
        assert_eq!(lines(&cors(&[])), wanted);
        let other = Cors { credentials: false, expose_headers: Some("X-Two".into()), ..cors(&[]) };
        wanted[2] = "Access-Control-Allow-Methods: GET, PUT";
        wanted[3] = "Access-Control-Allow-Headers: X-One";
        wanted[4] = "Access-Control-Expose-Headers: X-Two";
        assert_eq!(lines(&other), wanted);
        let strict = cors(&["https://a.test"]);
        assert_eq!(lines(&strict), ["access-control-allow-origin: backend", "x-a: 1"]);
    }

    #[test]
    fn what_is_no_origin_is_told() {
        for text in
            ["one.test", "https://one.test/path", "https://", "https://*", "https://a.*.test", "https://a b"]
        {
            assert!(CorsOrigin::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            CorsOrigin::parse("one.test").unwrap_err(),
            "\"one.test\" is no origin: it has no scheme, such as \"https://\" before its host"
        );
        let text = r#""https://*.a.test""#;
        let origin: CorsOrigin = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&origin).unwrap(), text);
    }
}
