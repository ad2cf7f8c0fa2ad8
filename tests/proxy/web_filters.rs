//! Filters for whole sites on sockets: who is let in, where clients are sent, how much comes and how fast.

use std::{
    io::Write,
    net::Ipv4Addr,
    sync::{Arc, Mutex, mpsc},
};

use selvedge_common::{
    filter::{
        Access, BodyLimit, CookieRewrite, Cors, CorsOrigin, Filter, LocationRewrite, Networks, RateKey,
        RateLimit, RedirectHttps, RedirectTo, Replacement, RequestLimit, ResponseRate, RewriteRegex,
        StrictTransport, Template,
    },
    message::pattern::SearchPattern,
    model::PathMatch,
};
use selvedge_tests::{
    client::{Answer, Client},
    http2::{Http2Client, pieces},
    origin::{After, Origin},
    proxy::{Proxy, Setup},
    tls,
};

/// An engine with one route to this origin that has these filters.
fn filtered(origin: &Origin, filters: &[Filter]) -> Proxy {
    let mut proxy = Proxy::start(Setup::default());
    proxy.route_all(&[origin.address]);
    let mut filters = filters.to_vec();
    Filter::sort(&mut filters);
    proxy.edit_host("*", |host| host.routes[0].filters = filters);
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    proxy
}

fn template(text: &str) -> Template {
    Template::with_captures(text).unwrap()
}

fn networks(list: &[&str]) -> Networks {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn get(proxy: &Proxy, path: &str) -> Answer {
    Client::connect(proxy.http()).get("a.test", path)
}

fn ask(proxy: &Proxy, text: &str) -> Answer {
    let mut client = Client::connect(proxy.http());
    client.send(text);
    client.answer()
}

fn reason(answer: &Answer) -> Option<&str> {
    answer.field("x-selvedge-reason")
}

fn cors(origins: &[&str]) -> Filter {
    Filter::Cors(Cors {
        origins: origins.iter().map(|text| CorsOrigin::parse(text).unwrap()).collect(),
        methods: "GET, PUT".into(),
        headers: "X-One".into(),
        expose_headers: None,
        credentials: true,
        max_age_seconds: 60,
    })
}

fn only_private() -> Filter {
    Filter::Access(Access { allow: Some(networks(&["10.0.0.0/8"])), deny: Networks::default() })
}

#[test]
fn clients_are_let_in_by_their_address() {
    let origin = Origin::named("ok");
    let access = Access { allow: Some(networks(&["127.0.0.0/24"])), deny: networks(&["127.0.0.3/32"]) };
    let proxy = filtered(&origin, &[Filter::Access(access)]);
    for (last, status) in [([127, 0, 0, 2], 200), ([127, 0, 0, 3], 403), ([127, 0, 1, 1], 403)] {
        let answer = Client::connect_from(Ipv4Addr::from(last), proxy.http()).get("a.test", "/");
        assert_eq!(answer.status, status, "{last:?}");
        assert_eq!(reason(&answer), (status == 403).then_some("address_denied"));
    }
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn a_preflight_is_answered_before_the_access_list_and_refusals_tell_browsers_too() {
    let origin = Origin::named("ok");
    let proxy = filtered(&origin, &[cors(&["https://*.site.test"]), only_private()]);
    let asked = |method: &str, site: &str| {
        let head = format!("{method} / HTTP/1.1\r\nHost: a.test\r\nOrigin: https://{site}\r\n\r\n");
        ask(&proxy, &head)
    };
    let allowed = |answer: &Answer| answer.field("access-control-allow-origin").map(str::to_owned);
    let preflight = asked("OPTIONS", "x.site.test");
    assert_eq!((preflight.status, reason(&preflight)), (204, Some("cors_preflight")));
    assert_eq!(allowed(&preflight).as_deref(), Some("https://x.site.test"));
    assert_eq!(preflight.field("access-control-max-age"), Some("60"));
    let refused = asked("GET", "x.site.test");
    assert_eq!((refused.status, allowed(&refused).as_deref()), (403, Some("https://x.site.test")));
    let other = asked("OPTIONS", "other.test");
    assert_eq!((other.status, allowed(&other)), (403, None));
    assert!(origin.seen().is_empty());
}

#[test]
fn answers_and_failures_tell_browsers_who_may_and_to_use_https() {
    let origin = Origin::answering(
        "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nAccess-Control-Allow-Origin: backend\r\n\r\n",
    );
    let strict = StrictTransport { max_age_seconds: 100, include_subdomains: true, preload: false };
    let mut proxy = filtered(&origin, &[cors(&[]), Filter::StrictTransport(strict)]);
    let certificate = tls::certificate(&["a.test"]);
    proxy.snapshot.certificates.insert("test/a".into(), certificate);
    proxy.edit_host("a.test", |host| host.certificate = Some("test/a".into()));
    let both = |proxy: &mut Proxy, endpoints: &[std::net::SocketAddr], status| {
        proxy.apply(&[("test/origin:80", endpoints)]);
        let secure = tls::client(proxy.https(), "a.test").get("a.test", "/");
        for (answer, wanted) in [(get(proxy, "/"), None), (secure, Some("max-age=100; includeSubDomains"))] {
            assert_eq!(answer.status, status);
            assert_eq!(answer.field("strict-transport-security"), wanted);
            let origins = answer.fields.iter().filter(|(name, _)| name == "Access-Control-Allow-Origin");
            assert_eq!(origins.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["*"]);
        }
    };
    both(&mut proxy, &[origin.address], 500);
    both(&mut proxy, &[], 503);
}

#[test]
fn clients_are_sent_to_what_the_template_says_before_https() {
    let origin = Origin::named("ok");
    let location = template("$scheme://b.test:$server_port$request_uri");
    let to = RedirectTo { location, status: 308, cut_slash: true };
    let https = Filter::RedirectHttps(RedirectHttps { status: 301, as_sent: true });
    let proxy = filtered(&origin, &[https.clone(), Filter::RedirectTo(to)]);
    for (path, wanted) in [("/", "http://b.test:80"), ("/x//../%41?y", "http://b.test:80/x//../%41?y")] {
        let answer = get(&proxy, path);
        assert_eq!((answer.status, answer.field("location")), (308, Some(wanted)));
    }
    let proxy = filtered(&origin, &[https]);
    for (path, wanted) in [("/", "https://a.test"), ("/x//../%41?y=/", "https://a.test/x//../%41?y=")] {
        let answer = get(&proxy, path);
        assert_eq!((answer.status, answer.field("location")), (301, Some(wanted)));
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn paths_are_found_and_rewritten_by_a_regular_expression() {
    let origin = Origin::named("ok");
    let rewrite = RewriteRegex {
        pattern: SearchPattern::new("/api(/|$)(.*)").unwrap(),
        replacement: template("/v1/$2"),
        forwarded_prefix: Some(template("/api")),
    };
    let mut proxy = Proxy::start(Setup::default());
    proxy.backend("test/origin:80", Default::default());
    proxy.route("a.test", PathMatch::RegexBegin("/api(/|$)(.*)".into()), "test/origin:80");
    proxy.edit_host("a.test", |host| host.routes[0].filters = vec![Filter::RewriteRegex(rewrite)]);
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    for (path, status) in [("/API/x/..%2fy?q=1", 200), ("/api", 200), ("/apix", 404)] {
        assert_eq!(get(&proxy, path).status, status, "{path}");
    }
    let seen = origin.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(lines, ["GET /v1/y?q=1 HTTP/1.1", "GET /v1/ HTTP/1.1"]);
    assert!(seen.iter().all(|seen| seen.field("x-forwarded-prefix") == Some("/api")));
}

#[test]
fn bodies_that_are_too_large_are_refused_by_their_length_and_while_they_come() {
    let origin = Origin::named("ok");
    let proxy = filtered(&origin, &[Filter::BodyLimit(BodyLimit { bytes: 10 })]);
    let post = |framing: &str, body: &str| {
        ask(&proxy, &format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n{body}"))
    };
    let chunked = "Transfer-Encoding: chunked";
    let rows = [
        ("Content-Length: 10", "0123456789", 200),
        ("Content-Length: 11", "", 413),
        (chunked, "5\r\n01234\r\n5\r\n01234\r\n0\r\n\r\n", 200),
        (chunked, "5\r\n01234\r\n6\r\n012345\r\n", 413),
    ];
    for (framing, body, status) in rows {
        let answer = post(framing, body);
        assert_eq!(answer.status, status, "{framing} {body}");
        assert_eq!(reason(&answer), (status == 413).then_some("body_too_large"));
    }
}

#[tokio::test]
async fn bodies_over_http2_that_say_no_length_are_limited_too() {
    let origin = Origin::named("ok");
    let proxy = filtered(&origin, &[Filter::BodyLimit(BodyLimit { bytes: 10 })]);
    let mut client = Http2Client::connect(proxy.http()).await;
    for (body, status) in [("0123456789", 200), ("0123456789a", 413)] {
        let (sender, pending) = pieces();
        let request = http::Request::post("http://a.test/").body(pending).unwrap();
        sender.send(Ok(hyper::body::Frame::data(body.into()))).await.unwrap();
        drop(sender);
        assert_eq!(client.send(request).await.unwrap().status(), status, "{body}");
    }
}

#[test]
fn a_client_has_only_so_many_requests_going_on() {
    let (arrived, arrivals) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let (arrived, left) = (Mutex::new(arrived), Mutex::new(left));
    let origin = Origin::scripted(move |_, stream| {
        arrived.lock().unwrap().send(()).unwrap();
        left.lock().unwrap().recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        After::KeepOpen
    });
    let limit = RequestLimit {
        id: "test".into(),
        most: 1,
        key: None,
        except: networks(&["127.0.0.9/32"]),
        status: 503,
    };
    let proxy = filtered(&origin, &[Filter::RequestLimit(limit)]);
    let connect = |last| Client::connect_from(Ipv4Addr::new(127, 0, 0, last), proxy.http());
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut first = connect(2);
    first.send(request);
    arrivals.recv().unwrap();
    let refused = connect(2).get("a.test", "/");
    assert_eq!((refused.status, reason(&refused)), (503, Some("too_many_requests")));
    // Neither another client nor one that is left out is counted with it.
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    assert_eq!(connect(3).get("a.test", "/").status, 200);
    let mut others = [connect(9), connect(9)];
    others.iter_mut().for_each(|client| client.send(request));
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    others.iter_mut().for_each(|client| assert_eq!(client.answer().status, 200));
    // Its place is free again.
    leave.send(()).unwrap();
    assert_eq!(first.get("a.test", "/").status, 200);
}

#[test]
fn clients_that_are_left_out_of_a_limit_of_the_rate_are_not_counted() {
    let origin = Origin::named("ok");
    let limit = RateLimit {
        id: "test/rate".into(),
        requests: 1,
        per: std::time::Duration::from_secs(3600),
        burst: 2,
        key: RateKey::Source,
        except: networks(&["127.0.0.9/32"]),
        status: 503,
    };
    let proxy = filtered(&origin, &[Filter::RateLimit(limit)]);
    for (last, wanted) in [(2, [200, 200, 503]), (9, [200; 3]), (3, [200, 200, 503])] {
        let mut client = Client::connect_from(Ipv4Addr::new(127, 0, 0, last), proxy.http());
        assert_eq!([(); 3].map(|()| client.get("a.test", "/").status), wanted);
    }
}

#[test]
fn locations_and_cookies_of_backends_change() {
    let origin = Origin::answering(concat!(
        "HTTP/1.1 302 Found\r\ncontent-length: 0\r\nLocation: http://inside.test/x\r\n",
        "Set-Cookie: a=b; Domain=inside.test; Path=/in/x\r\nSet-Cookie: c=d\r\n\r\n",
    ));
    let location =
        LocationRewrite { from: "http://inside.test/".into(), to: template("$scheme://$host/base/") };
    let change = |from: &str, to| Some(Replacement { from: from.into(), to: template(to) });
    let cookies =
        CookieRewrite { domain: change("inside.test", "outside.test"), path: change("/in", "/out") };
    let filters = [Filter::LocationRewrite(location), Filter::CookieRewrite(cookies)];
    let answer = get(&filtered(&origin, &filters), "/");
    assert_eq!(answer.field("location"), Some("http://a.test/base/x"));
    let cookies = answer.fields.iter().filter(|(name, _)| name == "Set-Cookie");
    let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=b; Domain=outside.test; Path=/out/x", "c=d"]);
}

#[test]
fn an_answer_that_is_slowed_down_comes_whole() {
    let body = Arc::new(vec![b'x'; 40_000]);
    let whole = body.clone();
    let origin = Origin::scripted(move |_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", whole.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&whole).unwrap();
        After::KeepOpen
    });
    // Some of it comes at once and the rest in pieces, soon.
    let rate = ResponseRate { bytes_per_second: 100_000, after_bytes: 0 };
    let proxy = filtered(&origin, &[Filter::ResponseRate(rate)]);
    let mut client = Client::connect(proxy.http());
    for _ in 0..4 {
        assert!(client.get("a.test", "/").body == *body);
    }
}
