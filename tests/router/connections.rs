//! Connections to endpoints: TLS with authorities, names and certificates, and the PROXY protocol.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    sync::{Arc, Mutex},
};

use selvedge_common::model::Certificate;
use selvedge_tests::{
    origin::{Origin, read_head},
    tls::{TlsOrigin, certificate, settings_with},
    waiting::until,
};
use serde_json::{Value, json};

use crate::{Mesh, address, orders, policy, speaking, told};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An origin that has this certificate and lets in clients that show that one.
fn secure(own: &Certificate, clients: Option<&Certificate>) -> TlsOrigin {
    TlsOrigin::with(settings_with(own, clients, &["http/1.1"]), OK)
}

/// A ConfigMap or Secret of namespace `shop` whose authority is this certificate.
fn authority(kind: &str, name: &str, certificate: &Certificate) -> Vec<Value> {
    let pem = String::from_utf8(certificate.chain_pem.to_vec()).unwrap();
    let data = if kind == "Secret" { "stringData" } else { "data" };
    vec![json!({
        "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"},
        data: {"ca.crt": pem},
    })]
}

/// A TLS Secret of namespace `shop`.
fn secret(name: &str, certificate: &Certificate) -> Vec<Value> {
    let text = |pem: &[u8]| String::from_utf8(pem.to_vec()).unwrap();
    vec![json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": "shop"},
        "stringData": {"tls.crt": text(&certificate.chain_pem), "tls.key": text(&certificate.key_pem)},
    })]
}

/// The names that an origin was asked for.
fn names(origin: &TlsOrigin) -> HashSet<Option<String>> {
    origin.seen().into_iter().map(|shaken| shaken.name).collect()
}

#[test]
fn an_endpoint_is_believed_if_an_authority_of_the_policy_vouches_for_its_name() {
    let (own, stranger) = (certificate(&["orders.shop.svc"]), certificate(&["orders.shop.svc"]));
    for (kind, ca) in [("ConfigMap", "{configMap: ca}"), ("Secret", "{secret: ca}")] {
        let origin = secure(&own, None);
        let tls = policy(&format!("{{tls: {{ca: {ca}}}}}"));
        let mesh = Mesh::of(&[orders(&[origin.address]), tls.clone(), authority(kind, "ca", &own)]);
        assert_eq!(mesh.get("/").text(), "ok", "{kind}");
        assert_eq!(names(&origin), [Some("orders.shop.svc".to_owned())].into());
        mesh.change(&[orders(&[origin.address]), tls.clone(), authority(kind, "ca", &stranger)]);
        until(|| (told(&mesh.get("/")) == (502, Some("connect"))).then_some(()));
        let origin = secure(&own, None);
        let mesh = Mesh::of(&[orders(&[origin.address]), tls]);
        assert_eq!(told(&mesh.get("/")), (502, Some("connect")), "without the {kind} nobody is believed");
    }
}

#[test]
fn a_certificate_for_another_name_is_refused_and_the_policy_may_say_the_name() {
    let own = certificate(&["internal.example"]);
    for (name, status) in
        [("", 502), (", serverName: internal.example", 200), (", serverName: x.example", 502)]
    {
        let origin = secure(&own, None);
        let tls = policy(&format!("{{tls: {{ca: {{configMap: ca}}{name}}}}}"));
        let mesh = Mesh::of(&[orders(&[origin.address]), tls, authority("ConfigMap", "ca", &own)]);
        assert_eq!(mesh.get("/").status, status, "{name}");
        let wanted = name.strip_prefix(", serverName: ").unwrap_or("orders.shop.svc");
        if status == 200 {
            assert_eq!(names(&origin), [Some(wanted.to_owned())].into());
        }
    }
}

#[test]
fn without_an_authority_only_the_systems_are_believed_unless_anybody_is() {
    let own = certificate(&["orders.shop.svc"]);
    for (tls, status) in [("{}", 502), ("{insecureSkipVerify: true}", 200)] {
        let origin = secure(&own, None);
        let mesh = Mesh::of(&[orders(&[origin.address]), policy(&format!("{{tls: {tls}}}"))]);
        assert_eq!(mesh.get("/").status, status, "{tls}");
    }
    // What a port speaks says nothing of whom to believe.
    let origin = secure(&own, None);
    assert_eq!(Mesh::of(&[speaking("https", orders(&[origin.address]))]).get("/").status, 200);
    let plain = Origin::named("plain");
    let mesh = Mesh::of(&[speaking("https", orders(&[plain.address])), policy("{tls: {mode: Plain}}")]);
    assert_eq!(mesh.get("/").text(), "plain");
}

#[test]
fn an_endpoint_that_asks_who_we_are_is_shown_the_certificate_of_the_policy() {
    let (own, ours, other) =
        (certificate(&["orders.shop.svc"]), certificate(&["router"]), certificate(&["other"]));
    for (shown, served) in [
        (", clientCertificate: {secret: ours}", true),
        (", clientCertificate: {secret: other}", false),
        ("", false),
    ] {
        let origin = secure(&own, Some(&ours));
        let tls = policy(&format!("{{tls: {{ca: {{configMap: ca}}{shown}}}}}"));
        let mesh = Mesh::of(&[
            orders(&[origin.address]),
            tls,
            authority("ConfigMap", "ca", &own),
            secret("ours", &ours),
            secret("other", &other),
        ]);
        assert_eq!(mesh.get("/").status, if served { 200 } else { 502 }, "{shown}");
    }
}

#[test]
fn a_certificate_that_changes_is_shown_to_new_connections_without_a_restart() {
    let (own, before, after) =
        (certificate(&["orders.shop.svc"]), certificate(&["router"]), certificate(&["router"]));
    let origin = secure(&own, Some(&after));
    let tls = || policy("{tls: {ca: {configMap: ca}, clientCertificate: {secret: ours}}}");
    let objects = |ours: &Certificate| {
        [orders(&[origin.address]), tls(), authority("ConfigMap", "ca", &own), secret("ours", ours)]
    };
    let mesh = Mesh::of(&objects(&before));
    assert_eq!(mesh.get("/").status, 502);
    mesh.change(&objects(&after));
    until(|| (mesh.get("/").status == 200).then_some(()));
}

/// What a connection to an origin began with, and the requests on it.
type Told = Arc<Mutex<Vec<(String, usize)>>>;

/// An origin that expects a header of the PROXY protocol on each connection: a source as text, and its requests.
fn proxied(read: fn(&mut dyn BufRead) -> String) -> (Origin, Told) {
    let told = Told::default();
    let noted = told.clone();
    let origin = Origin::raw(move |connection, mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let source = read(&mut reader);
        noted.lock().unwrap().push((source, connection));
        while read_head(&mut reader).is_some() {
            stream.write_all(OK.as_bytes()).unwrap();
        }
    });
    (origin, told)
}

fn read_text(reader: &mut dyn BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let words: Vec<_> = line.trim_end().split(' ').collect();
    assert_eq!((words[0], words[1], words.len()), ("PROXY", "TCP4", 6), "{line:?}");
    words[2].to_owned()
}

fn read_binary(reader: &mut dyn BufRead) -> String {
    let mut header = [0; 28];
    reader.read_exact(&mut header).unwrap();
    assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(&header[12..16], [0x21, 0x11, 0, 12]);
    format!("{}.{}.{}.{}", header[16], header[17], header[18], header[19])
}

#[test]
fn endpoints_are_told_the_address_of_each_client_and_never_of_another() {
    for (version, read) in [("v1", read_text as fn(&mut dyn BufRead) -> String), ("v2", read_binary)] {
        let (origin, told) = proxied(read);
        let mesh = Mesh::of(&[orders(&[origin.address]), policy(&format!("{{proxyProtocol: {version}}}"))]);
        let mut clients = [1, 2].map(|last| (last, mesh.client_from(last)));
        for _ in 0..3 {
            for (last, client) in &mut clients {
                let before = told.lock().unwrap().len();
                assert_eq!(client.get("orders.shop", "/").text(), "ok", "{version}");
                let told = told.lock().unwrap();
                // A connection of one client may serve it again, but nobody else.
                if told.len() > before {
                    assert_eq!(told.last().unwrap().0, address(*last).to_string(), "{version}");
                }
            }
        }
        let sources: HashSet<_> = told.lock().unwrap().iter().map(|(source, _)| source.clone()).collect();
        assert_eq!(sources, [1, 2].map(|last| address(last).to_string()).into(), "{version}");
    }
}

#[test]
fn tunnels_begin_with_the_address_of_the_client_too() {
    let (origin, told) = proxied(read_text);
    let mesh = Mesh::of(&[orders(&[origin.address]), policy("{proxyProtocol: v1}")]);
    let mut client = mesh.client_from(4);
    client.send("CONNECT orders.shop:80 HTTP/1.1\r\nHost: orders.shop:80\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(told.lock().unwrap()[0].0, address(4).to_string());
}
