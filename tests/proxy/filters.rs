//! Filters of route rules on sockets: what clients and backends see of each.

use std::{sync::Arc, time::Duration};

use http::Request;
use selvedge_common::{
    filter::{
        Abort, AbortWith, Delay, Fault, Field, FieldChanges, Filter, Networks, PathChange, RateKey,
        RateLimit, Redirect, RequestHeaders, Respond, ResponseHeaders, Rewrite, Share,
    },
    message::Scheme,
    model::{Backend, BackendProtocol, PathMatch},
};
use selvedge_tests::{
    client::{Answer, Client},
    http2::{Http2Client, Http2Origin, full},
    origin::Origin,
    proxy::{Proxy, Setup},
};

/// An engine with one route to this origin that has these filters.
fn proxy_with(setup: Setup, origin: &Origin, filters: &[Filter]) -> Proxy {
    let mut proxy = Proxy::start(setup);
    proxy.route_all(&[origin.address]);
    set_filters(&mut proxy, filters);
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    proxy
}

fn filtered(origin: &Origin, filters: &[Filter]) -> Proxy {
    proxy_with(Setup::default(), origin, filters)
}

fn set_filters(proxy: &mut Proxy, filters: &[Filter]) {
    proxy.edit_host("*", |host| host.routes[0].filters = filters.to_vec());
}

fn get(proxy: &Proxy, path: &str) -> Answer {
    Client::connect(proxy.http()).get("shop.example", path)
}

fn reason(answer: &Answer) -> Option<&str> {
    answer.field("x-selvedge-reason")
}

fn fields(list: &[(&str, &str)]) -> Vec<Field> {
    list.iter().map(|(name, value)| Field { name: (*name).into(), value: (*value).into() }).collect()
}

fn response_headers() -> Filter {
    let changes = FieldChanges {
        set: fields(&[("server", "shop")]),
        add: fields(&[("x-b", "2")]),
        remove: vec!["X-Gone".into()],
    };
    Filter::ResponseHeaders(ResponseHeaders { changes })
}

fn limit(key: RateKey, burst: u32) -> RateLimit {
    let (id, per) = ("shop/limit".into(), Duration::from_secs(3600));
    RateLimit { id, requests: 1, per, burst, key, except: Networks::default(), status: 429 }
}

fn abort(with: AbortWith) -> Filter {
    Filter::Fault(Fault { abort: Some(Abort { share: Share::ALL, with }), delay: None })
}

fn delay(duration: Duration) -> Filter {
    Filter::Fault(Fault { abort: None, delay: Some(Delay { share: Share::ALL, duration }) })
}

#[test]
fn fields_of_requests_are_set_added_and_removed() {
    let origin = Origin::named("ok");
    let changes = FieldChanges {
        set: fields(&[("X-A", "new")]),
        add: fields(&[("x-b", "2")]),
        remove: vec!["cookie".into()],
    };
    let proxy = filtered(&origin, &[Filter::RequestHeaders(RequestHeaders { changes })]);
    let mut client = Client::connect(proxy.http());
    // What a client names in Connection is only what it has sent itself.
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\nx-a: 1\r\nX-A: 2\r\nX-B: 1\r\nCookie: c\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    let seen = origin.only();
    let all = |name: &str| {
        let same = seen.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (all("x-a"), all("x-b"), all("cookie")),
        (vec!["new".into()], vec!["1".into(), "2".into()], vec![])
    );
}

#[test]
fn fields_of_answers_change_but_not_those_of_failures() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nx-gone: 1\r\nx-b: 1\r\ncontent-length: 0\r\n\r\n");
    let proxy = filtered(&origin, &[response_headers()]);
    let answer = get(&proxy, "/");
    assert_eq!((answer.field("server"), answer.field("x-gone")), (Some("shop"), None));
    assert_eq!(answer.fields.iter().filter(|(name, _)| name == "x-b").count(), 2);

    let respond = Respond { status: 200, body: "".into(), content_type: None };
    let proxy = filtered(&origin, &[Filter::Respond(respond), response_headers()]);
    assert_eq!(get(&proxy, "/").field("server"), Some("shop"), "a direct response is an answer");

    let proxy = filtered(&origin, &[abort(AbortWith::Http(503)), response_headers()]);
    assert_eq!(get(&proxy, "/").field("server"), Some("selvedge"), "a refusal is the proxy's word");
    let proxy = filtered(&origin, &[response_headers()]);
    proxy.endpoints("test/origin:80", &[]);
    let answer = get(&proxy, "/");
    assert_eq!((reason(&answer), answer.field("server")), (Some("no_endpoint"), Some("selvedge")));
}

#[test]
fn path_and_host_are_rewritten_and_the_clients_host_is_told() {
    let origin = Origin::named("ok");
    let path = PathChange::prefix("/v1", "/").unwrap();
    let rewrite = Rewrite { path: Some(path), host: Some("orders.internal:8080".into()) };
    let proxy = filtered(&origin, &[Filter::Rewrite(rewrite)]);
    assert_eq!(get(&proxy, "/v1/a%7eb/../c?q=/v1").status, 200);
    let seen = origin.only();
    assert_eq!(seen.line, "GET /c?q=/v1 HTTP/1.1");
    assert_eq!(seen.field("host"), Some("orders.internal:8080"));
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example"));
    assert_eq!(seen.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count(), 1);
}

#[tokio::test]
async fn the_rewritten_host_is_the_authority_over_http_2() {
    let origin = Http2Origin::start(100, |request| async move {
        let host = request.headers()["x-forwarded-host"].to_str().unwrap().to_owned();
        http::Response::new(full(format!("{} {host}", request.uri())))
    });
    let mut proxy = Proxy::start(Setup::default());
    proxy.backend("test/origin:80", Backend { protocol: BackendProtocol::Http2, ..Backend::default() });
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    let path = PathChange::full("/all").unwrap();
    let rewrite = Rewrite { path: Some(path), host: Some("orders.internal".into()) };
    set_filters(&mut proxy, &[Filter::Rewrite(rewrite)]);
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    let answer = Client::connect(proxy.http()).get("shop.example:81", "/x?a=b");
    assert_eq!(answer.text(), "http://orders.internal/all?a=b shop.example:81");
    let request = Request::get("http://shop.example/x").body(full("")).unwrap();
    let answer = Http2Client::connect(proxy.http()).await.whole(request).await;
    assert_eq!(&answer.body[..], b"http://orders.internal/all shop.example");
}

#[test]
fn clients_are_redirected_and_no_backend_is_asked() {
    let origin = Origin::named("ok");
    let path = PathChange::prefix("/old", "/new").unwrap();
    let redirect = Redirect { scheme: None, host: None, port: None, path: Some(path), status: 302 };
    let secure = Redirect { scheme: Some(Scheme::Https), port: Some(8443), status: 307, ..redirect.clone() };
    let rows =
        [(redirect, 302, "http://shop.example/new/a?b"), (secure, 307, "https://shop.example:8443/new/a?b")];
    for (redirect, status, location) in rows {
        let proxy = filtered(&origin, &[Filter::Redirect(redirect)]);
        let answer = get(&proxy, "/old/a?b");
        assert_eq!((answer.status, answer.field("location")), (status, Some(location)));
        assert_eq!(reason(&answer), Some("redirect"));
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn a_direct_response_is_sent_as_configured() {
    let respond = |status, body: &str, kind: Option<&str>| {
        Filter::Respond(Respond { status, body: body.into(), content_type: kind.map(Into::into) })
    };
    let plain = "text/plain; charset=utf-8";
    let rows = [
        (respond(200, "{}", Some("application/json")), 200, "{}", "application/json"),
        (respond(503, "closed", None), 503, "closed", plain),
        (respond(200, "", None), 200, "", plain),
    ];
    let origin = Origin::named("ok");
    for (filter, status, body, kind) in rows {
        let answer = get(&filtered(&origin, &[filter]), "/");
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.field("content-type")),
            (status, body, Some(kind))
        );
        assert_eq!(reason(&answer), Some("respond"));
    }
    // Without a body the connection goes on: nothing of one is sent.
    let proxy = filtered(&origin, &[respond(200, "body", None)]);
    let mut client = Client::connect(proxy.http());
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().field("content-length"), Some("4"));
    assert_eq!(client.get("a", "/").text(), "body");
    for status in [204, 304] {
        let proxy = filtered(&origin, &[respond(status, "body", None)]);
        let mut client = Client::connect(proxy.http());
        for _ in 0..2 {
            let answer = client.get("a", "/");
            let of_a_body = ["content-length", "content-type"].map(|name| answer.field(name));
            assert_eq!((answer.status, of_a_body), (status, [None; 2]));
        }
    }
    assert!(origin.seen().is_empty());
}

/// A call of gRPC over HTTP/1.1, which is told the same as one over HTTP/2.
fn call(proxy: &Proxy) -> Answer {
    let mut client = Client::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
    client.answer()
}

#[test]
fn aborted_requests_are_told_so_in_their_own_words() {
    let origin = Origin::named("ok");
    let rows =
        [(AbortWith::Http(503), 503, "14"), (AbortWith::Grpc(8), 429, "8"), (AbortWith::Http(418), 418, "2")];
    for (with, status, grpc_status) in rows {
        let proxy = filtered(&origin, &[abort(with)]);
        let answer = get(&proxy, "/");
        assert_eq!((answer.status, reason(&answer)), (status, Some("fault_abort")));
        let answer = call(&proxy);
        assert_eq!((answer.status, answer.field("grpc-status")), (200, Some(grpc_status)));
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn a_delay_is_waited_for_and_the_next_filter_is_asked() {
    let origin = Origin::named("ok");
    let rewrite = Rewrite { path: Some(PathChange::full("/late").unwrap()), host: None };
    let proxy = filtered(&origin, &[delay(Duration::from_millis(20)), Filter::Rewrite(rewrite)]);
    assert_eq!(get(&proxy, "/").status, 200);
    assert_eq!(origin.only().line, "GET /late HTTP/1.1");
}

#[test]
fn a_delay_counts_against_the_time_of_the_request() {
    let origin = Origin::named("ok");
    let mut proxy = filtered(&origin, &[delay(Duration::from_secs(3600))]);
    proxy.edit_host("*", |host| host.routes[0].timeouts.request = Duration::from_millis(20));
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    let answer = get(&proxy, "/");
    assert_eq!((answer.status, reason(&answer)), (504, Some("timeout")));
    assert!(origin.seen().is_empty());
}

#[test]
fn a_client_that_leaves_ends_its_delay() {
    let origin = Origin::named("ok");
    let proxy = filtered(&origin, &[delay(Duration::from_secs(3600))]);
    let mut client = Client::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(client);
    let left = || proxy.engine.metrics().encode().contains("reason=\"client_closed\"").then_some(());
    selvedge_tests::waiting::until(left);
    assert!(origin.seen().is_empty());
}

#[test]
fn requests_beyond_the_burst_are_told_when_to_come_again() {
    let origin = Origin::named("ok");
    // Two workers share the buckets.
    let setup = Setup { workers: 2, ..Setup::default() };
    let mut proxy = proxy_with(setup, &origin, &[Filter::RateLimit(limit(RateKey::All, 3))]);
    let statuses: Vec<u16> = (0..5).map(|_| get(&proxy, "/").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let answer = get(&proxy, "/");
    assert_eq!(reason(&answer), Some("rate_limited"));
    let seconds: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{seconds}");
    let answer = call(&proxy);
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("14")));
    assert!(answer.field("retry-after").is_some());
    assert_eq!(origin.seen().len(), 3);

    // What is remembered outlives a change of the route.
    set_filters(&mut proxy, &[Filter::RateLimit(limit(RateKey::All, 3)), response_headers()]);
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    assert_eq!(get(&proxy, "/").status, 429);
}

#[test]
fn each_value_of_a_field_has_a_bucket_of_its_own() {
    let origin = Origin::named("ok");
    let key = RateKey::Header(Arc::from("x-tenant"));
    let proxy = filtered(&origin, &[Filter::RateLimit(limit(key, 1))]);
    let mut client = Client::connect(proxy.http());
    let mut status = |tenant: &str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\n\r\n"));
        client.answer().status
    };
    let statuses = ["blue", "red", "blue", "red", ""].map(&mut status);
    assert_eq!(statuses, [200, 200, 429, 429, 200]);
}
