//! The PROXY protocol on a listener: who the client is according to the balancer in front.

use selvedge_tests::{client::Client, origin::Origin, proxy::Proxy};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const V1: &[u8] = b"PROXY TCP4 9.8.7.6 127.0.0.1 1234 80\r\n";
const V1_6: &[u8] = b"PROXY TCP6 2001:db8::1 ::1 1234 80\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: version and command, family, addresses.
fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, addresses].concat()
}

fn start() -> (Proxy, Origin) {
    let origin = Origin::named("ok");
    let mut proxy = crate::proxy_with(|setup| setup.listener = |listener| listener.proxy_protocol = true);
    proxy.route_all(&[origin.address]);
    (proxy, origin)
}

#[test]
fn the_header_says_who_the_client_is() {
    let (proxy, origin) = start();
    let v4 = [9, 8, 7, 6, 127, 0, 0, 1, 4, 210, 0, 80];
    let mut v6 = vec![0x20, 1, 0xd, 0xb8];
    v6.resize(36, 1);
    let with_extension = [&v4[..], &[4, 0, 1, 0]].concat();
    let rows = [
        (V1.to_vec(), "9.8.7.6"),
        (V1_6.to_vec(), "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x21, 0x11, &v4), "9.8.7.6"),
        (v2(0x21, 0x11, &with_extension), "9.8.7.6"),
        (v2(0x21, 0x21, &v6), "2001:db8:101:101:101:101:101:101"),
        (v2(0x20, 0, &[]), "127.0.0.1"),
    ];
    for (header, client_ip) in rows {
        for apart in [false, true] {
            let mut client = Client::connect(proxy.http());
            if apart {
                header.iter().for_each(|byte| client.send([*byte]));
                client.send(REQUEST);
            } else {
                client.send([&header, REQUEST].concat());
            }
            assert_eq!(client.answer().status, 200, "{}", header.escape_ascii());
            let seen = origin.seen().pop().unwrap();
            assert_eq!(seen.field("x-forwarded-for"), Some(client_ip), "{}", header.escape_ascii());
            assert_eq!(seen.field("x-real-ip"), Some(client_ip));
            assert_eq!(client.get("a", "/").status, 200, "the header comes once");
        }
    }
}

#[test]
fn whoever_sends_no_good_header_is_closed_without_an_answer() {
    let (proxy, origin) = start();
    let rows: [Vec<u8>; 7] = [
        REQUEST.to_vec(),
        b"PROXY TCP4 9.8.7.6\r\n".to_vec(),
        b"PROXY TCP4 999.8.7.6 127.0.0.1 1234 80\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::1 ::1 1234 80\r\n".to_vec(),
        [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
        v2(0x31, 0x11, &[0; 12]),
        v2(0x21, 0x11, &[0; 4]),
    ];
    for header in rows {
        let mut client = Client::connect(proxy.http());
        let _ = client.try_send([&header, REQUEST].concat());
        assert!(client.is_closed(), "{}", header.escape_ascii());
    }
    assert_eq!(origin.seen(), []);
}

#[test]
fn a_listener_without_the_protocol_refuses_its_header() {
    let origin = Origin::named("never");
    let proxy = Proxy::to(&[origin.address]);
    let mut client = Client::connect(proxy.http());
    client.send([V1, REQUEST].concat());
    assert!(client.is_closed(), "what is no HTTP gets no answer");
    assert_eq!(origin.seen(), []);
}
