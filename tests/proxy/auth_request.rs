//! External authentication: what the service is asked, who it lets in, and what the backend and the client see of it.

use std::{io::Write, sync::Arc, time::Duration};

use selvedge_common::{
    filter::{
        AuthCache, AuthRequest, BasicAuth, CacheTime, Filter, Networks, Template, TemplateField, Users,
    },
    model::{Backend, PathMatch},
};
use selvedge_tests::{
    client::{Answer, Client},
    origin::{After, Origin},
    proxy::{Proxy, nowhere},
    tls,
};

/// A service that answers the status in `X-Test-Auth` (401 without), and says more by it.
fn service() -> Origin {
    Origin::scripted(|seen, stream| {
        let status = seen.field("x-test-auth").unwrap_or("401");
        let more = match status {
            "200" => "X-Auth-User: alice\r\nX-Auth-Groups: dev,ops\r\n",
            "401" => "WWW-Authenticate: Bearer realm=\"auth\"\r\n",
            "302" => "Location: http://login.example/\r\n",
            _ => "",
        };
        let cookie = seen.field("x-test-cookie").map(|value| format!("Set-Cookie: {value}\r\n"));
        let head = format!("HTTP/1.1 {status} Said\r\n{more}{}", cookie.unwrap_or_default());
        let body = if status == "204" { "\r\n" } else { "Content-Length: 4\r\n\r\nsaid" };
        match stream.write_all(format!("{head}{body}").as_bytes()) {
            Ok(()) => After::KeepOpen,
            Err(_) => After::Close,
        }
    })
}

fn text(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn filter() -> AuthRequest {
    AuthRequest {
        service: "test/auth:80".into(),
        target: text("/auth"),
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

/// A proxy that asks the service as the filters say.
fn asking(origin: &Origin, service: std::net::SocketAddr, filters: Vec<Filter>) -> Proxy {
    let mut proxy = Proxy::start(Default::default());
    proxy.backend("test/origin:80", Backend::default());
    proxy.backend("test/auth:80", Backend::default());
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.edit_host("*", |host| host.routes[0].filters = filters);
    proxy.apply(&[("test/origin:80", &[origin.address]), ("test/auth:80", &[service])]);
    proxy
}

/// Asks for a path with these lines of fields, each with its end.
fn get(client: &mut Client, path: &str, fields: &str) -> Answer {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"));
    client.answer()
}

#[test]
fn the_service_decides_by_its_status_and_the_body_is_not_for_it() {
    let (origin, service) = (Origin::named("ok"), service());
    let proxy = asking(&origin, service.address, vec![Filter::AuthRequest(Box::new(filter()))]);
    let mut client = Client::connect(proxy.http());
    let rows = [
        ("200", 200),
        ("204", 200),
        ("201", 200),
        ("401", 401),
        ("403", 403),
        ("302", 500),
        ("404", 500),
        ("503", 500),
    ];
    for (said, wanted) in rows {
        let answer = get(&mut client, "/", &format!("X-Test-Auth: {said}\r\n"));
        assert_eq!(answer.status, wanted, "{said}");
        let challenge = (said == "401").then_some("Bearer realm=\"auth\"");
        assert_eq!(answer.field("www-authenticate"), challenge);
        assert_eq!(answer.field("location"), None);
    }
    client.send(
        "POST /x?y=1 HTTP/1.1\r\nHost: a.example\r\nX-Test-Auth: 200\r\nContent-Length: 5\r\nCookie: a=b\r\n\
        X-Forwarded-For: 9.9.9.9\r\nX-Original-Method: PUT\r\n\r\nhello",
    );
    assert_eq!(client.answer().text(), "ok");
    let (asked, sent) = (service.seen().pop().unwrap(), origin.seen().pop().unwrap());
    assert_eq!(
        (&*asked.line, asked.field("content-length"), asked.body.len()),
        ("GET /auth HTTP/1.1", None, 0)
    );
    let said = [
        ("host", "auth.example"),
        ("x-original-url", "http://a.example/x?y=1"),
        ("x-original-method", "POST"),
        ("x-sent-from", "nginx-ingress-controller"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-auth-request-redirect", "/x?y=1"),
        ("cookie", "a=b"),
    ];
    for (name, value) in said {
        assert_eq!(asked.field(name), Some(value), "{name}");
        assert_eq!(
            asked.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).count(),
            1,
            "{name}"
        );
    }
    assert_eq!((&*sent.line, &sent.body[..]), ("POST /x?y=1 HTTP/1.1", &b"hello"[..]));
    assert_eq!(sent.field("x-request-id"), asked.field("x-request-id"), "one id for both");
    assert!(asked.field("x-request-id").is_some() && sent.field("x-original-url").is_none());
    assert_eq!(service.connections(), 1, "connections are used again");
}

#[test]
fn what_the_service_says_of_the_client_reaches_the_backend_and_forgeries_do_not() {
    let (origin, service) = (Origin::named("ok"), service());
    let filter = AuthRequest {
        response_fields: ["X-Auth-User", "X-Auth-Groups", "X-Missing"].map(Into::into).into(),
        request_fields: vec![TemplateField { name: "X-Tenant".into(), value: text("$host") }],
        method: Some("POST".into()),
        ..filter()
    };
    let proxy = asking(&origin, service.address, vec![Filter::AuthRequest(Box::new(filter))]);
    let forged = "X-Test-Auth: 200\r\nX-Auth-User: forged\r\nX-Missing: forged\r\nX-Auth-Other: kept\r\n";
    assert_eq!(get(&mut Client::connect(proxy.http()), "/", forged).text(), "ok");
    let sent = origin.only();
    let fields = ["x-auth-user", "x-auth-groups", "x-missing", "x-auth-other"].map(|name| sent.field(name));
    assert_eq!(fields, [Some("alice"), Some("dev,ops"), None, Some("kept")]);
    let asked = service.only();
    assert_eq!((&*asked.line, asked.field("x-tenant")), ("POST /auth HTTP/1.1", Some("a.example")));
    assert_eq!((asked.field("x-original-uri"), asked.field("x-scheme")), (Some("/"), Some("http")));
}

#[test]
fn a_service_that_is_not_there_lets_nobody_in() {
    let origin = Origin::named("ok");
    let broken = Origin::answering("nonsense\r\n\r\n");
    for address in [nowhere(), broken.address] {
        let proxy = asking(&origin, address, vec![Filter::AuthRequest(Box::new(filter()))]);
        let mut client = Client::connect(proxy.http());
        assert_eq!(get(&mut client, "/", "X-Test-Auth: 200\r\n").status, 500);
    }
    let mut proxy = asking(&origin, nowhere(), vec![Filter::AuthRequest(Box::new(filter()))]);
    proxy.endpoints("test/auth:80", &[]);
    assert_eq!(get(&mut Client::connect(proxy.http()), "/", "").status, 500, "no endpoint");
    proxy.snapshot.backends.remove(&"test/auth:80".into());
    proxy.apply(&[]);
    assert_eq!(get(&mut Client::connect(proxy.http()), "/", "").status, 500, "no backend");
    let silent = Origin::scripted(|_, stream| {
        let _ = std::io::Read::read(stream, &mut [0]);
        After::Close
    });
    let slow = AuthRequest { timeout: Duration::from_millis(100), ..filter() };
    let proxy = asking(&origin, silent.address, vec![Filter::AuthRequest(Box::new(slow))]);
    assert_eq!(get(&mut Client::connect(proxy.http()), "/", "").status, 500, "no answer");
    assert!(origin.seen().is_empty());
}

#[test]
fn clients_are_sent_to_sign_in_and_get_the_cookies_of_the_service() {
    let (origin, service) = (Origin::named("ok"), service());
    let signin = text(&AuthRequest::signin_text("https://login.example/start", "rd"));
    let signing = AuthRequest { signin: Some(signin), ..filter() };
    let proxy = asking(&origin, service.address, vec![Filter::AuthRequest(Box::new(signing))]);
    let mut client = Client::connect(proxy.http());
    let answer = get(&mut client, "/x?y=1&z=%20", "X-Test-Cookie: a=b\r\n");
    let location = "https://login.example/start?rd=http://a.example%2Fx%3Fy%3D1%26z%3D%2520";
    assert_eq!((answer.status, answer.field("location")), (302, Some(location)));
    assert_eq!(answer.field("set-cookie"), Some("a=b"));
    let answer = get(&mut client, "/", "X-Test-Auth: 200\r\nX-Test-Cookie: a=b\r\n");
    assert_eq!((answer.status, answer.field("set-cookie")), (200, Some("a=b")));

    let failing = Origin::answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
    for (always, wanted) in [(false, None), (true, Some("a=b"))] {
        let filter = AuthRequest { always_set_cookie: always, ..filter() };
        let proxy = asking(&failing, service.address, vec![Filter::AuthRequest(Box::new(filter))]);
        let mut client = Client::connect(proxy.http());
        let answer = get(&mut client, "/", "X-Test-Auth: 200\r\nX-Test-Cookie: a=b\r\n");
        assert_eq!((answer.status, answer.field("set-cookie")), (500, wanted));
        let answer = get(&mut client, "/", "X-Test-Auth: 403\r\nX-Test-Cookie: a=b\r\n");
        assert_eq!((answer.status, answer.field("set-cookie")), (403, wanted));
    }
}

#[test]
fn answers_are_remembered_by_their_key_across_workers() {
    let (origin, service) = (Origin::named("ok"), service());
    let times = vec![CacheTime { statuses: vec![200, 401], duration: Duration::from_secs(600) }];
    let cache = AuthCache { id: "test/route/0".into(), key: text("$http_x_user"), times };
    let filter = AuthRequest { response_fields: vec!["X-Auth-User".into()], cache: Some(cache), ..filter() };
    let proxy = asking(&origin, service.address, vec![Filter::AuthRequest(Box::new(filter))]);
    let mut client = Client::connect(proxy.http());
    let rows = [
        ("u1", "200", 200, 1),
        ("u1", "401", 200, 1),
        ("u2", "401", 401, 2),
        ("u2", "200", 401, 2),
        ("u3", "403", 403, 3),
        ("u3", "200", 200, 4),
    ];
    for (user, said, wanted, asked) in rows {
        let answer = get(&mut client, "/", &format!("X-User: {user}\r\nX-Test-Auth: {said}\r\n"));
        assert_eq!((answer.status, service.seen().len()), (wanted, asked), "{user} {said}");
    }
    let told = origin.seen();
    assert_eq!((told.len(), told[1].field("x-auth-user")), (3, Some("alice")));
}

#[test]
fn a_password_comes_before_the_service_which_sees_it_and_the_backend_does_not() {
    let (origin, service) = (Origin::named("ok"), service());
    let users = Arc::new(Users::parse("foo:{PLAIN}bar").0);
    let basic = BasicAuth { realm: "".into(), users, spared: Networks::default() };
    let proxy = asking(
        &origin,
        service.address,
        vec![Filter::BasicAuth(basic), Filter::AuthRequest(Box::new(filter()))],
    );
    let mut client = Client::connect(proxy.http());
    let answer = get(&mut client, "/", "X-Test-Auth: 200\r\n");
    assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Basic realm=\"\"")));
    assert!(service.seen().is_empty());
    let password = "Authorization: Basic Zm9vOmJhcg==\r\n";
    assert_eq!(get(&mut client, "/", &format!("X-Test-Auth: 200\r\n{password}")).status, 200);
    assert_eq!(service.only().field("authorization"), Some("Basic Zm9vOmJhcg=="));
    assert_eq!(origin.only().field("authorization"), None);
    assert_eq!(get(&mut client, "/", &format!("X-Test-Auth: 401\r\n{password}")).status, 401);
}

#[test]
fn the_service_may_speak_tls() {
    let origin = Origin::named("ok");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let service = tls::TlsOrigin::answering(&["http/1.1"], answer);
    let mut proxy = asking(&origin, service.address, vec![Filter::AuthRequest(Box::new(filter()))]);
    let tls =
        selvedge_common::model::BackendTls { server_name: Some("auth.example".into()), ..Default::default() };
    proxy.backend("test/auth:80", Backend { tls: Some(tls), ..Backend::default() });
    proxy.apply(&[]);
    assert_eq!(get(&mut Client::connect(proxy.http()), "/", "").text(), "ok");
}
