//! What tests of filters are given, and facts about all filters.

use std::{cell::RefCell, net::IpAddr, time::Duration, time::Instant};

use super::*;
use crate::message::pattern::SearchPattern;

/// A memory that answers as it is told and notes the keys it was asked for.
#[derive(Debug, Default)]
pub struct Told {
    /// How long to wait, if at all.
    pub wait: Option<Duration>,
    /// The keys so far.
    pub keys: RefCell<Vec<String>>,
}

impl RateMemory for Told {
    fn take(&self, _: &RateLimit, key: &[u8], _: Instant) -> Result<(), Duration> {
        self.keys.borrow_mut().push(String::from_utf8_lossy(key).into_owned());
        self.wait.map_or(Ok(()), Err)
    }
}

/// What a context borrows.
#[derive(Default)]
pub struct Given {
    /// The memory of limits.
    pub rates: Told,
}

impl Given {
    /// A plain request on port 80 from a client that is no known caller.
    pub fn cx(&self) -> FilterContext<'_> {
        FilterContext {
            client: IpAddr::from([192, 0, 2, 1]),
            caller: None,
            certificate: None,
            scheme: Scheme::Http,
            port: 80,
            https_port: 443,
            now: Instant::now(),
            random: 0,
            rates: &self.rates,
            asked: None,
        }
    }
}

/// A request for this host (without port), path and query.
pub fn request(host: &str, path: &str, query: Option<&str>) -> RequestHead {
    let mut head = RequestHead::default();
    head.set_authority(host.as_bytes(), host.as_bytes());
    head.fields.push(b"Host", host.as_bytes());
    head.set_path(path.as_bytes());
    head.set_query(query.map(str::as_bytes));
    head
}

/// A text with variables, which must be one.
pub fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

/// A filter that asks a service and says nothing else.
pub fn auth_request() -> AuthRequest {
    AuthRequest {
        service: "auth/auth:80".into(),
        target: template("/auth"),
        host: "auth.example".into(),
        method: None,
        redirect: None,
        signin: None,
        response_fields: Vec::new(),
        request_fields: Vec::new(),
        always_set_cookie: false,
        cache: None,
        timeout: Duration::from_secs(60),
        spared: Networks::default(),
    }
}

fn whole_auth_request() -> AuthRequest {
    let time = CacheTime { statuses: vec![200], duration: Duration::from_secs(60) };
    AuthRequest {
        method: Some("POST".into()),
        redirect: Some(template("$request_uri")),
        signin: Some(template("/signin")),
        response_fields: vec!["X-User".into()],
        request_fields: vec![TemplateField { name: "x-a".into(), value: template("$host") }],
        always_set_cookie: true,
        cache: Some(AuthCache { id: "a".into(), key: template("$http_x_user"), times: vec![time] }),
        ..auth_request()
    }
}

fn client_certificate() -> ClientCertificate {
    ClientCertificate {
        need: CertificateNeed::Optional,
        error_page: Some("https://help.example/".into()),
        subject: Some(SubjectPattern::new("CN=shop").unwrap()),
        pass_certificate: true,
    }
}

fn field_templates() -> FieldTemplates {
    FieldTemplates { fields: vec![TemplateField { name: "x-a".into(), value: template("$host") }] }
}

fn strict_transport() -> StrictTransport {
    StrictTransport { max_age_seconds: 60, include_subdomains: true, preload: false }
}

fn compression() -> Compression {
    let gzip = Compressible { level: 5, min_bytes: 256, types: vec!["text/html".into()] };
    let no_gzip_for = Some(SearchPattern::new("old").unwrap());
    Compression { gzip: Some(gzip), brotli: None, no_gzip_for }
}

fn one_of_each() -> Vec<Filter> {
    let limit = RateLimit {
        id: "shop/orders".into(),
        requests: 10,
        per: Duration::from_secs(1),
        burst: 20,
        key: RateKey::Header("x-tenant".into()),
        except: ["192.0.2.0/24".parse().unwrap()].into_iter().collect(),
        status: 429,
    };
    let changes = FieldChanges {
        set: vec![Field { name: "x-a".into(), value: "1".into() }],
        ..FieldChanges::default()
    };
    let path = PathChange::prefix("/v1", "/").unwrap();
    let with_groups = |text: &str| Template::with_captures(text).unwrap();
    let change = || Some(Replacement { from: "/a".into(), to: template("/b") });
    vec![
        Filter::BodyLimit(BodyLimit { bytes: 1 << 20 }),
        Filter::Cors(Cors {
            origins: vec![CorsOrigin::parse("https://*.shop.example").unwrap()],
            methods: "GET".into(),
            headers: "x-a".into(),
            expose_headers: Some("x-b".into()),
            credentials: true,
            max_age_seconds: 60,
        }),
        Filter::RedirectTo(RedirectTo {
            location: template("$scheme://b$uri"),
            status: 301,
            cut_slash: true,
        }),
        Filter::RedirectHttps(RedirectHttps { status: 308, as_sent: false }),
        Filter::ClientCertificate(client_certificate()),
        Filter::RateLimit(limit),
        Filter::RequestLimit(RequestLimit {
            id: "shop/orders".into(),
            most: 5,
            key: Some(template("$http_x_user")),
            except: Networks::default(),
            status: 503,
        }),
        Filter::Access(Access { allow: Some(Networks::default()), deny: Networks::default() }),
        Filter::FieldBlock(FieldBlock {
            name: "referer".into(),
            values: vec![SubjectPattern::new("spam").unwrap()],
        }),
        Filter::Fault(Fault {
            abort: Some(Abort { share: Share(10_000), with: AbortWith::Grpc(14) }),
            delay: Some(Delay { share: Share::ALL, duration: Duration::from_millis(200) }),
        }),
        Filter::Redirect(Redirect {
            scheme: Some(Scheme::Https),
            host: Some("shop.example".into()),
            port: Some(8443),
            path: Some(PathChange::full("/a").unwrap()),
            status: 302,
        }),
        Filter::BasicAuth(BasicAuth {
            realm: "shop".into(),
            users: Arc::new(Users::default()),
            spared: Networks::default(),
        }),
        Filter::AuthRequest(Box::new(whole_auth_request())),
        Filter::Respond(Respond { status: 200, body: "hi".into(), content_type: Some("text/html".into()) }),
        Filter::Rewrite(Rewrite { path: Some(path), host: Some("orders.internal".into()) }),
        Filter::RewriteRegex(RewriteRegex {
            pattern: SearchPattern::new("/a/(.*)").unwrap(),
            replacement: with_groups("/$1"),
            forwarded_prefix: Some(template("/a")),
        }),
        Filter::RequestHeaders(RequestHeaders { changes: changes.clone() }),
        Filter::FieldTemplates(field_templates()),
        Filter::ResponseHeaders(ResponseHeaders { changes }),
        Filter::LocationRewrite(LocationRewrite { from: "http://a".into(), to: template("$scheme://$host") }),
        Filter::CookieRewrite(CookieRewrite { domain: None, path: change() }),
        Filter::StrictTransport(strict_transport()),
        Filter::ResponseRate(ResponseRate { bytes_per_second: 1000, after_bytes: 0 }),
        Filter::Compression(Arc::new(compression())),
    ]
}

#[test]
fn filters_are_sorted_by_the_order_of_the_list_and_those_of_a_kind_keep_theirs() {
    let sorted = one_of_each();
    let mut filters: Vec<Filter> = sorted.iter().rev().cloned().collect();
    Filter::sort(&mut filters);
    assert_eq!(filters, sorted);
    let kinds: Vec<usize> = sorted.iter().map(Filter::order).collect();
    assert!(kinds.is_sorted_by(|one, other| one < other), "{kinds:?}");

    let status = |status| Filter::RedirectHttps(RedirectHttps { status, as_sent: false });
    let limit = sorted.iter().find(|filter| matches!(filter, Filter::RateLimit(_))).unwrap();
    let mut filters = vec![limit.clone(), status(301), status(308)];
    Filter::sort(&mut filters);
    assert_eq!(filters, [status(301), status(308), limit.clone()]);
}

#[test]
fn what_is_written_of_a_filter_is_read_again() {
    // Users are redacted, so that they are not written at all.
    for filter in one_of_each().into_iter().filter(|filter| !matches!(filter, Filter::BasicAuth(_))) {
        let text = serde_json::to_string(&filter).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), filter, "{text}");
    }
}

#[test]
fn debug_shows_no_value_of_a_field() {
    let changes = FieldChanges {
        add: vec![Field { name: "authorization".into(), value: "s3cret".into() }],
        ..FieldChanges::default()
    };
    let shown = format!("{:?}", Filter::RequestHeaders(RequestHeaders { changes }));
    assert!(shown.contains("authorization") && !shown.contains("s3cret"), "{shown}");
}
