//! Header fields on their way: what is kept, taken away and added, and whom the proxy believes.

use std::io::Write;

use selvedge_common::model::{ClientFields, Listener};
use selvedge_tests::{
    client::{Answer, Client},
    origin::{After, Origin, Seen},
    proxy::Proxy,
};

/// What the backend sees of a GET with these fields.
fn seen_with(listener: fn(&mut Listener), fields: &str) -> Seen {
    let origin = Origin::named("ok");
    let mut proxy = crate::proxy_with(|setup| setup.listener = listener);
    proxy.route_all(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(format!("GET /p HTTP/1.1\r\nHost: a.example:81\r\n{fields}\r\n"));
    assert_eq!(client.answer().status, 200);
    origin.only()
}

fn trusting(listener: &mut Listener) {
    listener.trusted_cidrs = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
}

const CLAIMS: &str = "X-Forwarded-For: 9.9.9.9, 10.1.2.3\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.example\r\n\
                      X-Forwarded-Port: 444\r\nX-Real-IP: 8.8.8.8\r\nX-Request-ID: mine\r\nForwarded: for=7.7.7.7\r\n";

fn all<'a>(seen: &'a Seen, name: &str) -> Vec<&'a str> {
    let same = |other: &str| other.eq_ignore_ascii_case(name);
    seen.fields.iter().filter(|(n, _)| same(n)).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn forwarded_fields_are_believed_only_from_trusted_proxies() {
    let rows: [(&str, &str, &str); 6] = [
        ("x-forwarded-for", "127.0.0.1", "9.9.9.9, 10.1.2.3, 127.0.0.1"),
        ("x-forwarded-proto", "http", "https"),
        ("x-forwarded-host", "a.example:81", "b.example"),
        ("x-forwarded-port", "80", "444"),
        ("x-real-ip", "127.0.0.1", "9.9.9.9"),
        ("forwarded", "", "for=7.7.7.7"),
    ];
    let (doubted, believed) = (seen_with(|_| {}, CLAIMS), seen_with(trusting, CLAIMS));
    for (name, ours, theirs) in rows {
        assert_eq!(all(&doubted, name).join("|"), ours, "{name} from anybody");
        assert_eq!(all(&believed, name), [theirs], "{name} from a trusted proxy");
    }
    let (own, kept) = (all(&doubted, "x-request-id"), all(&believed, "x-request-id"));
    assert_eq!(kept, ["mine"]);
    assert!(own.len() == 1 && own[0].len() == 32 && own[0] != "mine");
}

/// The same for a route that tells of clients as ingress-nginx does.
fn seen_as_with_nginx(listener: fn(&mut Listener), fields: &str) -> Seen {
    let origin = Origin::named("ok");
    let mut proxy = crate::proxy_with(|setup| setup.listener = listener);
    proxy.route_all(&[origin.address]);
    proxy.edit_host("*", |host| host.routes[0].client_fields = ClientFields::IngressNginx);
    proxy.apply(&[("test/origin:80", &[origin.address])]);
    let mut client = Client::connect(proxy.http());
    client.send(format!("GET /p HTTP/1.1\r\nHost: a.example:81\r\n{fields}\r\n"));
    assert_eq!(client.answer().status, 200);
    origin.only()
}

#[test]
fn a_route_may_tell_of_clients_as_ingress_nginx_does() {
    let own =
        "X-Scheme: https\r\nX-Forwarded-Scheme: https\r\nX-Original-Forwarded-For: 6.6.6.6\r\nProxy: x\r\n";
    let claims = format!("{CLAIMS}{own}");
    let rows: [(&str, &str, &str); 12] = [
        ("x-forwarded-for", "127.0.0.1", "9.9.9.9"),
        ("x-real-ip", "127.0.0.1", "9.9.9.9"),
        ("x-forwarded-proto", "http", "https"),
        ("x-forwarded-scheme", "http", "https"),
        ("x-scheme", "http", "https"),
        ("x-forwarded-host", "a.example:81", "b.example"),
        ("x-forwarded-port", "80", "444"),
        ("x-original-forwarded-for", "9.9.9.9, 10.1.2.3", "9.9.9.9, 10.1.2.3"),
        ("x-original-forwarded-host", "b.example", "b.example"),
        ("x-request-id", "mine", "mine"),
        ("forwarded", "", ""),
        ("proxy", "", ""),
    ];
    let doubted = seen_as_with_nginx(|_| {}, &claims);
    let believed = seen_as_with_nginx(trusting, &claims);
    for (name, ours, theirs) in rows {
        assert_eq!(all(&doubted, name).join("|"), ours, "{name} from anybody");
        assert_eq!(all(&believed, name).join("|"), theirs, "{name} from a trusted proxy");
    }
    let plain = seen_as_with_nginx(|_| {}, "X-Request-ID:\r\n");
    assert_eq!(all(&plain, "x-original-forwarded-for"), [""; 0]);
    assert!(all(&plain, "x-request-id").iter().all(|id| id.len() == 32));
}

#[test]
fn who_opened_a_connection_is_told_in_a_field_of_its_own() {
    fn named(listener: &mut Listener) {
        listener.proxied_client = Some("X-Client".into());
        listener.forwarded_host = Some("X-Named".into());
    }
    let claims = format!("{CLAIMS}x-client: 5.5.5.5\r\nX-Named: c.example\r\n");
    let doubted = seen_as_with_nginx(named, &claims);
    let believed = seen_as_with_nginx(
        |listener| {
            named(listener);
            trusting(listener);
        },
        &claims,
    );
    assert_eq!(
        (all(&doubted, "x-client"), all(&believed, "x-client")),
        (vec!["127.0.0.1"], vec!["9.9.9.9, 10.1.2.3"])
    );
    for seen in [&doubted, &believed] {
        assert_eq!(all(seen, "x-original-forwarded-host"), ["c.example"]);
    }
    assert_eq!(
        (all(&doubted, "x-forwarded-host"), all(&believed, "x-forwarded-host")),
        (vec!["a.example:81"], vec!["b.example"])
    );
    let other = seen_as_with_nginx(
        |listener| {
            named(listener);
            trusting(listener);
            listener.forwarded_for = Some("CF-Connecting-IP".into());
        },
        "CF-Connecting-IP: 4.4.4.4\r\nX-Forwarded-Host: b.example\r\n",
    );
    assert_eq!(
        (all(&other, "x-client"), all(&other, "x-original-forwarded-host")),
        (vec!["4.4.4.4"], vec![])
    );
}

#[test]
fn of_several_schemes_that_trusted_proxies_add_the_first_is_the_clients() {
    let rows = [
        ("https, http", "https"),
        ("https,https", "https"),
        (" HTTPS ,http", "https"),
        ("http, https", "http"),
        (", https", "http"),
        ("", "http"),
        ("ftp, https", "http"),
    ];
    for (said, wanted) in rows {
        let seen = seen_as_with_nginx(trusting, &format!("X-Forwarded-Proto: {said}\r\n"));
        assert_eq!(all(&seen, "x-forwarded-proto"), [wanted], "{said:?}");
    }
}

#[test]
fn a_trusted_proxy_that_says_nothing_is_not_made_to() {
    let seen = seen_with(trusting, "");
    assert_eq!(all(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(all(&seen, "x-real-ip"), ["127.0.0.1"]);
    assert_eq!(all(&seen, "x-forwarded-host"), ["a.example:81"]);
}

#[test]
fn several_fields_of_a_chain_become_one() {
    let seen = seen_with(trusting, "X-Forwarded-For: 9.9.9.9\r\nA: b\r\nX-Forwarded-For: 10.0.0.1\r\n");
    assert_eq!(all(&seen, "x-forwarded-for"), ["9.9.9.9, 10.0.0.1, 127.0.0.1"]);
    assert_eq!(all(&seen, "x-real-ip"), ["9.9.9.9"]);
}

#[test]
fn nonsense_in_a_chain_stops_the_search_for_the_client() {
    let seen = seen_with(trusting, "X-Forwarded-For: 9.9.9.9, unknown, 10.0.0.1\r\n");
    assert_eq!(all(&seen, "x-real-ip"), ["10.0.0.1"]);
}

#[test]
fn the_standard_field_is_sent_when_it_is_asked_for() {
    let seen = seen_with(|listener| listener.forwarded_field = true, "Forwarded: for=6.6.6.6\r\n");
    assert_eq!(all(&seen, "forwarded"), ["for=127.0.0.1;host=\"a.example:81\";proto=http"]);
    let seen = seen_with(
        |listener| {
            trusting(listener);
            listener.forwarded_field = true;
        },
        "Forwarded: for=6.6.6.6\r\n",
    );
    assert_eq!(all(&seen, "forwarded"), ["for=6.6.6.6, for=127.0.0.1;host=\"a.example:81\";proto=http"]);
}

#[test]
fn fields_of_one_hop_go_and_protected_ones_stay() {
    let seen = seen_with(
        |_| {},
        "Connection: close, host, content-length, x-forwarded-for, X-Real-IP, x-request-id, cookie, authorization, \
         x-private\r\nconnection: X-More\r\nX-Private: 1\r\nx-more: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\
         Proxy: http://evil\r\nTE: trailers, gzip\r\nCookie: c\r\nAuthorization: d\r\nUpgrade: x\r\nX-Kept: 1\r\n",
    );
    for gone in ["x-private", "x-more", "keep-alive", "proxy-connection", "proxy", "connection", "upgrade"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    let kept = [
        ("host", "a.example:81"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("cookie", "c"),
        ("authorization", "d"),
        ("te", "trailers"),
        ("x-kept", "1"),
    ];
    for (name, value) in kept {
        assert_eq!(all(&seen, name), [value], "{name}");
    }
    assert_eq!(all(&seen, "x-request-id").len(), 1);
}

#[test]
fn names_keep_their_case_and_order() {
    let seen =
        seen_with(|_| {}, "X-B: 1\r\nx-a: 2\r\nX-b: 3\r\nACCEPT: */*\r\nX-Empty:\r\nX-Space: \t a  b \t\r\n");
    let sent: Vec<_> = seen.fields.iter().take(7).map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let expected = [
        ("Host", "a.example:81"),
        ("X-B", "1"),
        ("x-a", "2"),
        ("X-b", "3"),
        ("ACCEPT", "*/*"),
        ("X-Empty", ""),
        ("X-Space", "a  b"),
    ];
    assert_eq!(sent, expected);
}

fn answer_with(fields: &'static str) -> Answer {
    let origin = Origin::scripted(move |_, stream| {
        stream
            .write_all(format!("HTTP/1.1 200 Fine\r\n{fields}content-length: 0\r\n\r\n").as_bytes())
            .unwrap();
        After::KeepOpen
    });
    let proxy = Proxy::to(&[origin.address]);
    Client::connect(proxy.http()).get("a", "/")
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.fields.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn date_and_server_are_added_only_if_the_backend_sent_none() {
    let answer = answer_with("");
    assert_eq!(answer.field("server"), Some("selvedge"));
    assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")));
    let answer = answer_with("Server: theirs\r\nDate: then\r\n");
    let (server, date) = (answer.field("server"), answer.field("date"));
    assert_eq!((server, date), (Some("theirs"), Some("then")));
    assert_eq!(answer.fields.len(), 3);
}

#[test]
fn answers_lose_the_fields_of_one_hop_and_keep_the_rest_as_it_was() {
    let answer = answer_with(
        "SET-Cookie: a=1\r\nset-cookie: b=2\r\nConnection: x-hop, keep-alive, set-cookie2\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nX-Z: 1\r\nDate: d\r\nServer: s\r\nUpgrade: h2c\r\n",
    );
    assert_eq!(names(&answer), ["SET-Cookie", "set-cookie", "X-Z", "Date", "Server", "content-length"]);
}

#[test]
fn a_client_cannot_make_the_proxy_say_its_reason() {
    let answer = answer_with("");
    assert_eq!(answer.field("x-selvedge-reason"), None, "only answers of the proxy itself have a reason");
}
