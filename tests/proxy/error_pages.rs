//! Error pages: another backend answers instead of errors, and is told what went wrong.

use std::{io::Write, sync::Arc};

use selvedge_common::{
    filter::{BasicAuth, Filter, Networks, Users},
    model::{Backend, BackendTarget, ErrorPages, InvalidBackend, PathMatch},
};
use selvedge_tests::{
    client::Client,
    origin::{After, Origin, Seen},
    proxy::{Proxy, nowhere},
};

/// A backend that answers the status that its path names.
fn tool() -> Origin {
    Origin::scripted(|seen, stream| {
        let status =
            seen.line.split(['/', ' ', '?']).find(|word| word.len() == 3 && word.parse::<u16>().is_ok());
        answer(stream, status.unwrap_or("200"), "X-From: tool\r\nWWW-Authenticate: Tool\r\n", "tool", seen)
    })
}

/// A backend of error pages.
fn errors() -> Origin {
    Origin::scripted(|seen, stream| {
        let code = seen.field("x-code").unwrap_or("404").to_owned();
        answer(
            stream,
            &code,
            "Content-Type: text/html\r\nX-Errors: page\r\n",
            &format!("error page {code}"),
            seen,
        )
    })
}

fn answer(stream: &mut std::net::TcpStream, status: &str, fields: &str, body: &str, seen: &Seen) -> After {
    let body_sent = if seen.line.starts_with("HEAD") { "" } else { body };
    let text = format!("HTTP/1.1 {status} Said\r\n{fields}Content-Length: {}\r\n\r\n{body_sent}", body.len());
    match stream.write_all(text.as_bytes()) {
        Ok(()) => After::KeepOpen,
        Err(_) => After::Close,
    }
}

fn pages(statuses: &[u16]) -> ErrorPages {
    ErrorPages {
        target: BackendTarget::Backend("test/errors:80".into()),
        statuses: statuses.to_vec(),
        takes_empty: false,
        namespace: "default".into(),
        ingress: "main".into(),
        service: "tool".into(),
        port: "80".into(),
    }
}

fn with_pages(origins: &[std::net::SocketAddr], errors: std::net::SocketAddr, pages: ErrorPages) -> Proxy {
    let mut proxy = Proxy::start(Default::default());
    proxy.backend("test/origin:80", Backend::default());
    proxy.backend("test/errors:80", Backend::default());
    proxy.route("*", PathMatch::Prefix("/".into()), "test/origin:80");
    proxy.edit_host("*", |host| host.routes[0].error_pages = Some(Arc::new(pages)));
    proxy.apply(&[("test/origin:80", origins), ("test/errors:80", &[errors])]);
    proxy
}

#[test]
fn a_listed_status_of_a_backend_is_answered_by_another_one() {
    let (tool, errors) = (tool(), errors());
    let proxy = with_pages(&[tool.address], errors.address, pages(&[401, 404, 418, 503]));
    let mut client = Client::connect(proxy.http());
    client.send("GET /status/404?x=1 HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nX-Code: 200\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (404, "error page 404".to_owned()));
    assert_eq!((answer.field("x-errors"), answer.field("x-from")), (Some("page"), None));
    let asked = errors.only();
    assert_eq!(asked.line, "GET /?x=1 HTTP/1.1");
    let said = [
        ("host", "a"),
        ("x-code", "404"),
        ("x-format", "text/html"),
        ("x-original-uri", "/status/404?x=1"),
        ("x-namespace", "default"),
        ("x-ingress-name", "main"),
        ("x-service-name", "tool"),
        ("x-service-port", "80"),
        ("x-forwarded-for", "127.0.0.1"),
    ];
    for (name, value) in said {
        let values: Vec<_> =
            asked.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).collect();
        assert_eq!(values.len(), 1, "{name}");
        assert_eq!(values[0].1, value, "{name}");
    }
    assert_eq!(asked.field("x-request-id"), tool.only().field("x-request-id"));
    for (path, wanted, page) in [("/200", 200, false), ("/500", 500, false), ("/503", 503, true)] {
        let answer = client.get("a", path);
        assert_eq!((answer.status, answer.field("x-errors").is_some()), (wanted, page), "{path}");
    }
    let answer = client.get("a", "/401");
    assert_eq!((answer.field("x-errors"), answer.field("www-authenticate")), (Some("page"), Some("Tool")));
    client.send("HEAD /404 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().field("x-errors"), Some("page"));
    client.send("POST /418 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().text(), "error page 418");
    let asked = errors.seen().pop().unwrap();
    assert_eq!((&*asked.line, asked.field("content-length")), ("POST / HTTP/1.1", Some("0")));
    assert_eq!((tool.connections(), errors.connections()), (1, 1), "connections are used again");
}

#[test]
fn answers_of_the_proxy_itself_are_replaced_too() {
    let errors = errors();
    let proxy = with_pages(&[nowhere()], errors.address, pages(&[401, 502]));
    let answer = Client::connect(proxy.http()).get("a", "/x");
    assert_eq!((answer.status, answer.text()), (502, "error page 502".to_owned()));

    let mut proxy = with_pages(&[nowhere()], errors.address, pages(&[401]));
    let users = Arc::new(Users::parse("foo:{PLAIN}bar").0);
    let basic = Filter::BasicAuth(BasicAuth { realm: "".into(), users, spared: Networks::default() });
    proxy.edit_host("*", |host| host.routes[0].filters = vec![basic]);
    proxy.apply(&[]);
    let mut client = Client::connect(proxy.http());
    let answer = client.get("a", "/");
    assert_eq!((answer.status, answer.text()), (401, "error page 401".to_owned()));
    assert_eq!(answer.field("www-authenticate"), Some("Basic realm=\"\""));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic Zm9vOmJhcg==\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("x-errors")), (502, None), "one that is not listed");
}

#[test]
fn a_backend_without_endpoints_leaves_its_requests_to_another_one() {
    let errors = errors();
    let takes = ErrorPages { takes_empty: true, ..pages(&[]) };
    let mut proxy = with_pages(&[], errors.address, takes);
    let mut client = Client::connect(proxy.http());
    client.send("POST /x?y=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().text(), "error page 503");
    let asked = errors.only();
    assert_eq!((&*asked.line, &asked.body[..]), ("POST /x?y=1 HTTP/1.1", &b"hello"[..]));
    let fields = ["x-code", "x-original-uri", "x-service-name"].map(|name| asked.field(name));
    assert_eq!(fields, [Some("503"), None, Some("tool")]);
    proxy.edit_host("*", |host| {
        host.routes[0].backends[0].target = BackendTarget::Invalid(InvalidBackend::ServiceNotFound);
    });
    proxy.apply(&[]);
    assert_eq!(client.get("a", "/").text(), "error page 503");
    proxy.edit_host("*", |host| host.routes[0].error_pages = Some(Arc::new(pages(&[404]))));
    proxy.apply(&[]);
    assert_eq!(client.get("a", "/").field("x-errors"), None, "only where it is said");
}

#[test]
fn error_pages_that_are_not_there_leave_the_status_as_it_is() {
    let tool = tool();
    let proxy = with_pages(&[tool.address], nowhere(), pages(&[404]));
    let mut client = Client::connect(proxy.http());
    let answer = client.get("a", "/404");
    assert_eq!((answer.status, answer.field("x-selvedge-reason")), (404, Some("replaced")));
    // One that has an error of its own is asked once.
    let proxy = with_pages(&[tool.address], tool.address, pages(&[404, 200]));
    assert_eq!(Client::connect(proxy.http()).get("a", "/404").status, 200);
    let invalid =
        ErrorPages { target: BackendTarget::Invalid(InvalidBackend::ServiceNotFound), ..pages(&[404]) };
    let proxy = with_pages(&[tool.address], tool.address, invalid);
    assert_eq!(Client::connect(proxy.http()).get("a", "/404").status, 404);
}
