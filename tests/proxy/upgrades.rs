//! Upgrades: a tunnel after the backend's 101 and never before.

use std::{
    io::{Read, Write},
    time::Duration,
};

use selvedge_tests::{
    client::Client,
    origin::{After, Origin},
    proxy::Proxy,
};

const ASK: &str =
    "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Y: z\r\n\r\n";

/// An origin that switches, greets and sends back what it gets; at the end of that it says goodbye.
fn echo() -> Origin {
    Origin::after_head(|_, stream| {
        stream.write_all(format!("{SWITCH}hi").as_bytes()).unwrap();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).unwrap();
        }
        let _ = stream.write_all(b"bye");
        After::Close
    })
}

#[test]
fn bytes_pass_both_ways_after_101_even_those_right_behind_the_heads() {
    let origin = echo();
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(format!("{ASK}early"));
    let head = client.answer();
    assert_eq!((head.status, head.field("upgrade"), head.field("x-y")), (101, Some("echo"), Some("z")));
    assert_eq!(head.field("connection"), Some("Upgrade"));
    assert_eq!(client.exactly(7), b"hiearly");
    for size in [1, 100, 100_000] {
        let bytes = vec![b'x'; size];
        client.send(&bytes);
        assert_eq!(client.exactly(size), bytes);
    }
    let seen = origin.only();
    assert_eq!((seen.field("connection"), seen.field("upgrade")), (Some("Upgrade"), Some("echo")));
}

#[test]
fn one_direction_may_end_before_the_other() {
    let origin = echo();
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(format!("{ASK}last"));
    assert_eq!(client.answer().status, 101);
    client.finish();
    assert_eq!(client.rest().unwrap(), b"hilastbye", "the backend's side ends after the client's");
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    for status in ["200 OK", "403 Forbidden", "426 Upgrade Required"] {
        let origin = Origin::scripted(move |_, stream| {
            let answer = format!("HTTP/1.1 {status}\r\nUpgrade: echo\r\ncontent-length: 2\r\n\r\nno");
            stream.write_all(answer.as_bytes()).unwrap();
            After::KeepOpen
        });
        let proxy = Proxy::to(&[origin.address]);
        let mut client = Client::connect(proxy.http());
        for _ in 0..2 {
            client.send(ASK);
            let answer = client.answer();
            assert!(status.starts_with(&answer.status.to_string()));
            assert_eq!((answer.text().as_str(), answer.field("connection")), ("no", None));
        }
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn http2_is_never_asked_for_by_upgrade() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    for upgrade in ["h2c", "echo, H2C"] {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        ));
        assert_eq!(client.answer().text(), "ok");
        let seen = origin.seen().pop().unwrap();
        for gone in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(seen.field(gone), None, "{gone}");
        }
    }
}

#[test]
fn an_upgrade_that_is_not_asked_for_in_full_is_not_passed_on() {
    let origin = Origin::named("ok");
    let proxy = Proxy::to(&[origin.address]);
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let mut client = Client::connect(proxy.http());
        client.send(head);
        assert_eq!(client.answer().text(), "ok");
        assert_eq!(origin.seen().pop().unwrap().field("upgrade"), None, "{head:?}");
    }
}

#[test]
fn a_tunnel_lasts_while_either_side_speaks_and_ends_when_both_are_silent() {
    let origin = Origin::after_head(|_, stream| {
        stream.write_all(SWITCH.as_bytes()).unwrap();
        // Speaks alone for several times the limit, paced by its own reads that nothing answers.
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        for _ in 0..30 {
            stream.write_all(b".").unwrap();
            let _ = stream.read(&mut [0]);
        }
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "the silent tunnel is closed");
        After::Close
    });
    let mut proxy = crate::proxy_with(|setup| setup.limits.tunnel_idle = Duration::from_millis(200));
    proxy.route_all(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(ASK);
    assert_eq!(client.answer().status, 101);
    assert_eq!(client.exactly(30), [b'.'; 30]);
    assert!(client.is_closed());
}

#[test]
fn a_tunnel_to_a_backend_that_dies_ends() {
    let origin = Origin::after_head(|_, stream| {
        stream.write_all(SWITCH.as_bytes()).unwrap();
        After::Close
    });
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send(ASK);
    assert_eq!(client.answer().status, 101);
    assert!(client.is_closed());
}
